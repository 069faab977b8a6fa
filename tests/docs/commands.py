"""Commands that a page shows, run in this process: its frameworks are imported once for all.

A process of its own would import both of them anew for each command, which takes longer than the
command. What a command may find otherwise in a new process is as there: modules of the folder,
search path, arguments, random states.
"""

import contextlib
import importlib.metadata
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

OF_A_SHELL = re.compile(r"[|<>&;$`*]")
"""What only a shell understands."""
TOOL = "padiff-graph"


@dataclass
class Printed:
    """What ran: its exit code and what it printed."""

    code: int
    out: str
    err: str


def printed_by(run: Callable[[], object]) -> Printed:
    """Runs a function; what it raises goes on, but for the end of the program."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run()
        except SystemExit as end:
            code = end.code
    if code is not None and not isinstance(code, int):
        code, err = 1, io.StringIO(f"{err.getvalue()}{code}\n")
    return Printed(int(code or 0), out.getvalue(), err.getvalue())


def commanded(line: str, folder: Path) -> Printed:
    """Runs one command line in `folder`: the tool and Python here, all else in a shell."""
    words = shlex.split(line, comments=True)
    run = None if OF_A_SHELL.search(line.partition(" #")[0]) else _function(words)
    if run is None:
        done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=300)
        return Printed(done.returncode, done.stdout, done.stderr)

    def told() -> None:
        try:
            run()
        except Exception:
            traceback.print_exc()
            sys.exit(1)

    with _as_a_program(words, folder):
        return printed_by(told)


def _function(words: list[str]) -> Callable[[], object] | None:
    """What runs a command in this process; None where that needs a process of its own."""
    if words[0] == TOOL:
        (script,) = importlib.metadata.entry_points(group="console_scripts", name=TOOL)
        return script.load()
    if words[:2] == ["python", "-m"]:
        return lambda: runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    if words[0] == "python" and words[1].endswith(".py"):
        return lambda: runpy.run_path(words[1], run_name="__main__")
    return None


@contextlib.contextmanager
def ran_here(folder: Path) -> Iterator[None]:
    """Works in `folder`, whose modules can be imported; nothing of it is left in the process."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        with _own_modules(folder), _own_draws(), warnings.catch_warnings():
            sys.path.insert(0, str(folder))
            yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _as_a_program(words: list[str], folder: Path) -> Iterator[None]:
    arguments = sys.argv
    sys.argv = words if words[0] == TOOL else words[2 if words[1] == "-m" else 1 :]
    try:
        with _own_modules(folder), _own_draws(), warnings.catch_warnings():
            yield
    finally:
        sys.argv = arguments


@contextlib.contextmanager
def _own_modules(folder: Path) -> Iterator[None]:
    """No module of `folder` is imported yet; afterwards those of before are there again."""

    def of_folder() -> dict[str, object]:
        return {
            name: module
            for name, module in list(sys.modules.items())
            if str(getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}")
        }

    def left_out() -> dict[str, object]:
        known = of_folder()
        for name in known:
            del sys.modules[name]
        return known

    kept, path = left_out(), [*sys.path]
    try:
        yield
    finally:
        left_out()
        sys.modules.update(kept)
        sys.path[:] = path


@contextlib.contextmanager
def _own_draws() -> Iterator[None]:
    """Draws begin where those of a new process do, and go on afterwards as if nothing was."""
    import paddle
    import torch

    states = torch.get_rng_state(), paddle.get_rng_state()
    torch.set_rng_state(FIRST_STATES.setdefault("torch", states[0]))
    paddle.set_rng_state(FIRST_STATES.setdefault("paddle", states[1]))
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        paddle.set_rng_state(states[1])


FIRST_STATES: dict = {}
"""The random states of the frameworks when the process began with its first page."""
