"""Weights that one model has folded into others: a BatchNorm into its convolution, the branches of
a re-parameterised block into one.

No map leads from the one's weights to the other's, and both hold what they should: then each side
runs with its own, as a deployed model does, and numbers decide.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from padiff_graph.alignment.map_trials import Trials, output_targets
from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.weights.lone_outputs import lone_weights, parameters_behind

__all__ = ["NOTE", "folded", "without_folded"]

NOTE = (
    "weights of one model are folded into others of the other one; each side ran with its own, and "
    "on them both compute the same"
)
REASON = "others are folded into it, or it into others"
ALLOWED = 2e-6
"""Relative difference of outputs in float64 up to which weights folded in float32 are the same:
a product of a few numbers of 6e-8 each, as in a BatchNorm's scale. An epsilon of 1e-5 for 1e-6
moves a unit variance by 4.5e-6."""


def folded(matching: Matching, first: Engine, second: Engine) -> bool:
    """Whether both models compute the same with the weights that they hold, though some have no
    counterpart.

    Not where what has none stands at a constant and all others are equal: a shift of zeros that is
    missing is no shift that was folded. Nor where no output that both return is computed of it.
    Weights of lone outputs are left out.
    """
    lone = lone_weights(matching)
    matching = matching if lone is None else lone.without(matching)
    lost = [row.first for row in matching.parameters if row.status == "open"]
    unused = list(matching.unused_second)
    if not lost and not unused:
        return False
    ours, theirs = _values(first), _values(second)
    told = all(_varied(ours, name) for name in lost) and all(
        _varied(theirs, name) for name in unused
    )
    if not told and not _moved(matching, ours, theirs):
        return False
    targets = output_targets(matching)
    read = parameters_behind(matching.first.graph, [target.first.node for target in targets])
    read_there = parameters_behind(
        matching.second.graph, [target.second.node for target in targets]
    )
    if not (
        read.issuperset(lost) and read_there.issuperset(set(unused) - set(matching.unread_second))
    ):
        return False
    trials = Trials((first, second), targets, as_they_are=True, allowed=ALLOWED)
    try:
        agreeing = trials.agreeing(matching)
    except NotRunnable:
        return False
    return bool(targets) and trials.double and len(agreeing) == len(targets)


def _values(engine: Engine) -> dict[str, Array]:
    return {name: engine.array(tensor) for name, tensor in engine.parameters().items()}


def _varied(values: dict[str, Array], name: str) -> bool:
    """Whether a parameter is not one number throughout."""
    array = values.get(name)
    return array is not None and array.size > 0 and bool((array != array.reshape(-1)[0]).any())


def _moved(matching: Matching, ours: dict[str, Array], theirs: dict[str, Array]) -> bool:
    """Whether a weight with a counterpart holds other numbers than that."""
    return any(_apart(row, ours, theirs) for row in matching.parameters)


def _apart(row: ParameterRow, ours: dict[str, Array], theirs: dict[str, Array]) -> bool:
    seconds = {piece.second for piece in row.pieces}
    if row.first not in ours or not seconds or not seconds <= theirs.keys():
        return False
    wanted = mapped(row, ours[row.first], theirs)
    return not np.allclose(ours[row.first], wanted, ALLOWED, ALLOWED)


def without_folded(matching: Matching, first: Engine, second: Engine) -> Matching:
    """The matching of two such models, in which a weight that others were folded into is no
    counterpart: its gradient is that of another weight."""
    ours, theirs = _values(first), _values(second)
    rows = tuple(
        replace(row, pieces=(), status="open", reason=REASON) if _apart(row, ours, theirs) else row
        for row in matching.parameters
    )
    return replace(matching, parameters=rows)
