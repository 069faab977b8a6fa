"""Hooks on parameters, held against each other: both are shown the same gradient.

Whether a run's own gradient shows them does not matter then, nor its size, nor random draws.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.shown_gradients import SIZES, shown_gradient
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.obligations.state_values import ROUNDING, apart

__all__ = ["hook_findings"]


def hook_findings(
    matching: Matching,
    engines: tuple[Engine, Engine],
    hooked: tuple[Collection[str], Collection[str]],
) -> list[Finding]:
    """One finding for each parameter whose gradient hooks change otherwise than its counterpart's.

    Args:
        matching: of the two models.
        engines: of both.
        hooked: parameters of each on which hooks stand.
    """
    findings: list[Finding] = []
    if not any(hooked):
        return findings
    with engines[0].quiet(values=False), engines[1].quiet(values=False):
        for row in matching.parameters:
            names = [piece.second for piece in row.pieces]
            stands = row.first in hooked[0], any(name in hooked[1] for name in names)
            if names and any(stands) and _unlike(matching, engines, row, hooked):
                findings.append(_finding(matching, row, stands))
    return findings


def _unlike(
    matching: Matching,
    engines: tuple[Engine, Engine],
    row: ParameterRow,
    hooked: tuple[Collection[str], Collection[str]],
) -> bool:
    """Whether the same gradient, of one size or another, comes out otherwise on both sides."""
    return any(_apart_at(size, matching, engines, row, hooked) for size in SIZES)


def _apart_at(
    size: float,
    matching: Matching,
    engines: tuple[Engine, Engine],
    row: ParameterRow,
    hooked: tuple[Collection[str], Collection[str]],
) -> bool:
    shapes = {
        piece.second: matching.second.graph.parameters[piece.second].type.shape
        for piece in row.pieces
    }
    theirs = {name: shown_gradient(name, shape, size) for name, shape in shapes.items()}
    shape = matching.first.graph.parameters[row.first].type.shape
    ours = {row.first: mapped(row, np.zeros(shape, np.float32), theirs)}
    seen = _seen(engines[0], ours, hooked[0]), _seen(engines[1], theirs, hooked[1])
    own = seen[0][row.first]
    return apart(own, mapped(row, own, seen[1])) > ROUNDING


def _seen(
    engine: Engine, gradients: Mapping[str, Array], hooked: Collection[str]
) -> dict[str, Array]:
    """The gradients behind the hooks."""
    shown = {name: gradient for name, gradient in gradients.items() if name in hooked}
    return {**gradients, **engine.hooked(shown)}


def _finding(matching: Matching, row: ParameterRow, stands: tuple[bool, bool]) -> Finding:
    names = row.first, row.pieces[0].second
    if all(stands):
        cause = Cause.of("gradient.hook", first_name=names[0], second_name=names[1])
    else:
        side = 0 if stands[0] else 1
        cause = Cause.of("gradient.hook", side=side, parameter=names[side])
    owners = names[0].rpartition(".")[0], names[1].rpartition(".")[0]
    return Finding(
        "backward",
        "different",
        cause,
        *owners,
        places=(owners,),
        frameworks=matching.frameworks,
    )
