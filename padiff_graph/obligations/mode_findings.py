"""Modes that a run left otherwise: a forward that calls `train()` or `eval()` on itself or on a
module of its own, held against the other model's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from padiff_graph.alignment.module_rows import module_rows
from padiff_graph.capture.engine import Engine
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.obligations.left_behind import LeftBehind, attribute_now

__all__ = ["BEHIND", "LEFT_MODE", "MODE", "counterparts", "mode_findings"]

SURE = 0.8
"""From this confidence on a module's counterpart is where its operations say; below it, where the
name says (`matching.confidence` sets the steps)."""
BEHIND = 1 << 30
"""Order of what stands behind every operation."""
MODE = "training"
"""The attribute of a module that holds its mode, in both frameworks."""
LEFT_MODE = "state.mode"
"""The id of the cause."""
WORDS = {True: "training", False: "evaluation"}
ADVICE = "call train() and eval() outside the forward, or in both models' alike"

Modes = Mapping[str, bool]
"""Modules that a run left in another mode than it found them, by path."""


def counterparts(matching: Matching) -> tuple[dict[str, str], dict[str, str]]:
    """Modules whose counterpart has another path, by path, in both directions."""
    rows = [row for row in module_rows(matching) if row.confidence >= SURE]
    there = {row.paddle_path: row.torch_path for row in rows}
    return there, {second: first for first, second in reversed(there.items())}


def mode_findings(
    matching: Matching,
    engines: tuple[Engine, Engine],
    left: tuple[LeftBehind, LeftBehind],
) -> Iterator[Finding]:
    """A finding where a run leaves a module in another mode than its counterpart is in; suspicious,
    since a mode that nothing asks for changes no number.

    A module without a counterpart counts where the other run left no module at all in its mode.
    """
    modes = _modes(left[0]), _modes(left[1])
    there, back = counterparts(matching)
    pairs = dict.fromkeys(
        [
            *((path, there.get(path, path)) for path in _outermost(modes[0])),
            *((back.get(path, path), path) for path in _outermost(modes[1])),
        ]
    )
    apart: dict[tuple[str, str], Cause] = {}
    for pair in pairs:
        cause = _apart(engines, pair, modes)
        if cause is not None:
            apart[pair] = cause
    if apart:
        places = tuple(apart)
        yield Finding(
            "forward",
            "suspicious",
            apart[places[0]],
            *places[0],
            places=places,
            advice=ADVICE,
            order=BEHIND,
            frameworks=matching.frameworks,
        )


def _modes(left: LeftBehind) -> Modes:
    return {
        owner: bool(leaves[""])
        for (owner, name), leaves in left.attributes.items()
        if name == MODE and "" in leaves
    }


def _outermost(modes: Modes) -> Iterator[str]:
    """Modules inside no other that was left in the same mode: `train()` sets all below."""
    for path, mode in modes.items():
        if not any(modes.get(above) is mode for above in _above(path)):
            yield path


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition(".")[0]
        yield path


def _apart(
    engines: tuple[Engine, Engine], pair: tuple[str, str], modes: tuple[Modes, Modes]
) -> Cause | None:
    """What is to be told of two corresponding modules, None where they are in one mode."""
    after = [_after(*given) for given in zip(engines, pair, modes, strict=True)]
    names = [path or "the model" for path in pair]
    for side, own in enumerate(after):
        if own is not None and after[1 - side] is None:
            if own in modes[1 - side].values():
                return None
            return Cause.of(LEFT_MODE, side=side, name=names[side], setting=WORDS[own])
    if after[0] is None or after[1] is None or after[0] == after[1]:
        return None
    return Cause.of(
        LEFT_MODE,
        first_name=names[0],
        second_name=names[1],
        first_setting=WORDS[after[0]],
        second_setting=WORDS[after[1]],
    )


def _after(engine: Engine, path: str, modes: Modes) -> bool | None:
    """A module's mode after the run; None where there is no such module, or it is not known."""
    if path in modes:
        return modes[path]
    now = attribute_now(engine, (path, MODE))
    mode = (now or {}).get("")
    return mode if isinstance(mode, bool) else None
