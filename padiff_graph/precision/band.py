"""How far two real runs in half precision may be apart, and how far off each side is where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.findings.precision_result import OutputError, PlaceError
from padiff_graph.matching.result import Matching
from padiff_graph.precision.placement import LOW
from padiff_graph.precision.rounding import Emulation, emulate
from padiff_graph.precision.trials import OutputPair, Trial, distance

__all__ = ["output_errors", "place_errors", "truths"]

DRAWS = (1, 2, 3)
"""Seeds of runs with another order of accumulation; three, since each costs a run."""
MARGIN = 2.0
"""The largest error of a few draws against that of many: chosen so that torch's own bfloat16 runs
of the models in tests/precision stay within."""


def truths(trial: Trial) -> tuple[Emulation, Emulation]:
    """Both sides in float64."""
    first, second = (emulate(side, None, side.placement.keys()) for side in trial.sides)
    return first, second


def output_errors(
    trial: Trial, truth: tuple[Emulation, Emulation], pairs: Sequence[OutputPair]
) -> tuple[OutputError, ...]:
    """Of every one of these pairs of outputs."""
    names = [pair for pair in pairs if pair[1] in truth[0].values]
    if not names:
        return ()
    kept = [{pair[1] for pair in names}, {pair[3] for pair in names}]
    draws = [
        [emulate(side, trial.precision, wanted, noise=seed).values for seed in DRAWS]
        for side, wanted in zip(trial.sides, kept, strict=True)
    ]
    answers = []
    for first_name, first, second_name, second in names:
        errors = []
        for side, value in enumerate((first, second)):
            runs = [trial.base[side].values, *draws[side]]
            errors.append([distance(run[value], truth[side].values[value]) for run in runs])
        answers.append(
            OutputError(
                first_name,
                second_name,
                errors[0][0],
                errors[1][0],
                distance(trial.base[0].values[first], trial.base[1].values[second]),
                float(np.abs(truth[1].values[second]).max(initial=0.0)),
                MARGIN * (max(errors[0]) + max(errors[1])),
                int(truth[1].values[second].size),
            )
        )
    return tuple(answers)


def place_errors(
    trial: Trial, truth: tuple[Emulation, Emulation], matching: Matching
) -> tuple[PlaceError, ...]:
    """At every matched operation whose value both sides hold."""
    found = []
    for match in sorted(matching.matches, key=lambda match: match.second):
        nodes = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if nodes[0].leaf:
            continue
        values = [
            reading.results(node) for reading, node in zip(trial.readings, nodes, strict=True)
        ]
        if not values[0] or not values[1]:
            continue
        errors = [
            _relative(trial.base[side].values, truth[side].values, values[side][-1])
            for side in (0, 1)
        ]
        held = {trial.readings[side].placement[values[side][-1]] for side in (0, 1)}
        if LOW in held or max(errors) > 0:
            found.append(PlaceError(nodes[0].path, nodes[1].path, nodes[1].op, *errors))
    return tuple(found)


def _relative(run: Mapping[Value, Array], truth: Mapping[Value, Array], value: Value) -> float:
    own, true = run[value], truth[value]
    with np.errstate(all="ignore"):
        scale = float(np.sqrt(np.mean(np.square(true))))
        error = float(np.sqrt(np.mean(np.square(own - true))))
    if not np.isfinite(error):
        return float("inf")
    return error / scale if scale else error
