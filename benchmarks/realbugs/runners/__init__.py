"""Tools that are asked about a case, each a `Runner` under a name.

Any other tool plugs in as "package.module:attribute" on the command line.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from benchmarks.realbugs.runners.runner import Runner, Said

__all__ = ["RUNNERS", "Runner", "Said", "prepare", "runner"]

RUNNERS = {
    "padiff-graph": "benchmarks.realbugs.runners.padiff_graph:ask",
    "outputs": "benchmarks.realbugs.runners.outputs:ask",
    "padiff": "benchmarks.realbugs.runners.padiff:ask",
}
"""Name on the command line -> where the runner is; imported when it is asked for."""


def runner(name: str) -> Runner:
    """The runner of a name, or of "package.module:attribute".

    Raises:
        ValueError: for a name that is neither.
    """
    module, attribute = _place(name)
    return cast(Runner, getattr(import_module(module), attribute))


def prepare(name: str) -> None:
    """Imports a runner, and what its `prepare` imports, before the cases' processes are forked."""
    module, _ = _place(name)
    getattr(import_module(module), "prepare", lambda: None)()


def _place(name: str) -> tuple[str, str]:
    module, colon, attribute = RUNNERS.get(name, name).partition(":")
    if not colon:
        raise ValueError(f"no runner {name!r}; known are {', '.join(RUNNERS)}, or module:attribute")
    return module, attribute
