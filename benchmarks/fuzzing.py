"""What all kinds of the fuzz benchmark share: mutations, and calls whose faults are told apart."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from padiff_graph import CaptureError, UsageError
from padiff_graph.errors import NotWrittenError

REFUSALS = (UsageError, CaptureError, NotWrittenError)
EVIL = (
    "\nopen('pwned', 'w')",
    '"""\nopen("pwned", "w")\n"""',
    "'\\\"];open('pwned','w')#",
    "\x1b]0;owned\x07",
    "\n::error::owned",
    "\u202eabc",
    "\ud800",
    "\x00",
    "../../etc/passwd",
    "/etc/passwd",
    "#",
    "",
    "é" * 300,
)
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 2**31, 2**62, 2**63, -(2**63), 10**30, 0.5, float("nan"),
    "", "x", "F32", [], [0], [1, -1], [[1]], {}, {"a": 1}, [2**40, 2**40], [None], ["a", "b"],
)  # fmt: skip


# -- mutations


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to everything inside lists and dicts."""
    found = [way] if way else []
    members: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    for key, member in members:
        found += places(member, (*way, key))
    return found


def mutate_data(value: Any, pick: random.Random) -> Any:
    """Plain data with one to three places replaced, removed, renamed or repeated."""
    value = json.loads(json.dumps(value))
    for _ in range(pick.choice((1, 1, 2))):
        ways = places(value)
        if not ways:
            return pick.choice(JUNK)
        *above, last = pick.choice(ways)
        holder = value
        for key in above:
            holder = holder[key]
        act = pick.choice((0, 1, 2, 3, 4, 4, 5))
        if act == 0:
            del holder[last]
        elif act == 1:
            holder[last] = pick.choice(EVIL)
        elif act == 2 and isinstance(holder, dict):
            holder[pick.choice(EVIL)] = holder.pop(last)
        elif act == 3 and isinstance(holder, list):
            holder.append(holder[last])
        elif act == 4 and type(holder[last]) is int:
            holder[last] = pick.choice((holder[last] + 1, holder[last] - 1, -holder[last], 10**12))
        else:
            holder[last] = pick.choice(JUNK)
    return value


def mutate_bytes(data: bytes, pick: random.Random) -> bytes:
    """Bytes flipped, cut, inserted or repeated."""
    changed = bytearray(data)
    for _ in range(pick.randint(1, 4)):
        at = pick.randrange(len(changed) + 1)
        act = pick.randrange(5)
        if act == 0:
            del changed[at:]
        elif act == 1:
            del changed[at : at + pick.randint(1, 16)]
        elif act == 2:
            changed[at:at] = pick.randbytes(pick.randint(1, 16))
        elif act == 3:
            changed[at:at] = changed[at : at + pick.randint(1, 64)]
        elif at < len(changed):
            changed[at] = pick.choice((0, 255, 127, pick.randrange(256)))
    return bytes(changed)


# -- calls


def refusable(call: Callable[[], Any]) -> str:
    """Runs a call: "done" or "refused"; everything else is a fault and leaves."""
    try:
        call()
    except REFUSALS as error:
        if not str(error).strip():
            raise AssertionError("refused without a word") from error
        return "refused"
    except TypeError as error:
        if not str(error).startswith("expected "):  # of capture, which knows no UsageError
            raise
        return "refused"
    return "done"


def command(arguments: list[str]) -> int:
    """The command line in this process; no traceback, a documented code."""
    from padiff_graph.cli.answers import run
    from padiff_graph.cli.commands import cli
    from padiff_graph.cli.exit_codes import MEANINGS

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(lambda: cli.main(arguments, prog_name="padiff-graph", standalone_mode=False))
    assert "Traceback" not in said.getvalue(), said.getvalue()
    assert "\x1b" not in said.getvalue(), repr(said.getvalue())
    assert "\n::" not in said.getvalue(), repr(said.getvalue())
    assert code in MEANINGS, code
    return code


def state_of(folder: Path) -> dict[str, str]:
    """A digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
