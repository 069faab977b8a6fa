"""Gradients in half precision: how far off each side's are, and what no value forward shows.

Casts decide gradients too, since each gradient is held as what it is the gradient of. A cast that
changes no value forward may still change how gradients add up: it is put where the other side has
it, as forward, and both runs are differentiated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.executor.transfer import laid
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.findings.precision_result import GradientError
from padiff_graph.matching.result import ParameterRow
from padiff_graph.precision.backward import Backward, differentiated
from padiff_graph.precision.precision_findings import cast_finding, one_sided, tell
from padiff_graph.precision.profiles import Parted
from padiff_graph.precision.rounding import rounded
from padiff_graph.precision.trials import OutputPair, Trial, distance

__all__ = ["GradientLook", "look_at_gradients"]

SEED = 20_231
"""Of the cotangents, which both sides share."""
DRAWS = (1, 2)
"""Seeds of runs with another order of accumulation: two, since each costs a run and a backward."""
MARGIN = 2.0
"""As of the band of outputs: torch's own gradients in tests/precision stay within."""
PARAMETER = "parameter:"
"""What names of gradients begin with, of what is trained."""
Cotangents = tuple[Mapping[Value, Array], Mapping[Value, Array]]


@dataclass(frozen=True)
class GradientLook:
    """What was seen.

    Attributes:
        errors: of every parameter that both sides train.
        findings: about gradients alone.
        asked: how many gradients each side has.
        refused: why gradients could not be looked at; "" where they were, or where the models have
            no floating output in common.
    """

    errors: tuple[GradientError, ...] = ()
    findings: tuple[Finding, ...] = ()
    asked: tuple[int, int] = (0, 0)
    refused: str = ""


def look_at_gradients(trial: Trial, silent: Sequence[Sequence[Parted]]) -> GradientLook:
    """Both sides differentiated: under the same random cotangents of what the models return, and
    from the loss where there is one. Errors and ranges are those of the loss then.

    Args:
        trial: both sides.
        silent: groups of operations in other precisions that change no value forward.
    """
    look = _look(trial, silent, trial.outputs, ranges=not trial.losses)
    if not trial.losses:
        return look
    of_loss = _look(trial, silent, trial.losses, ranges=True)
    told = list(look.findings)
    for finding in of_loss.findings:
        tell(told, finding)
    return replace(of_loss, findings=tuple(told), refused=of_loss.refused or look.refused)


def _look(
    trial: Trial,
    silent: Sequence[Sequence[Parted]],
    pairs: Sequence[OutputPair],
    *,
    ranges: bool,
) -> GradientLook:
    """Both sides differentiated from some outputs.

    Args:
        ranges: whether it is told what one side's precision cannot hold.
    """
    seeds = _cotangents(trial, pairs)
    if not seeds[0]:
        return GradientLook()
    try:
        truth = [differentiated(side, None, seeds[n]) for n, side in enumerate(trial.sides)]
        runs = [
            [
                differentiated(side, trial.precision, seeds[number], noise=noise)
                for noise in (0, *DRAWS)
            ]
            for number, side in enumerate(trial.sides)
        ]
        base = runs[0][0], runs[1][0]
        told = _silent_findings(trial, silent, base, seeds)
    except NotRunnable as error:
        return GradientLook(refused=str(error))
    told += _range_findings(trial, base, truth) if ranges else ()
    counts = len(base[0].gradients), len(base[1].gradients)
    return GradientLook(_errors(trial, truth, runs), tuple(told), counts)


def _cotangents(trial: Trial, pairs: Sequence[OutputPair]) -> Cotangents:
    """The same random numbers at both models' outputs, as half precision holds them; one for a
    single number, which a loss is."""
    random = np.random.default_rng(SEED)
    both: tuple[dict[Value, Array], dict[Value, Array]] = ({}, {})
    for _, first, _, second in pairs:
        kinds = [trial.sides[n].graph.type_of(v) for n, v in enumerate((first, second))]
        size = 0 if kinds[1] is None else kinds[1].size
        numbers = rounded(random.standard_normal(size), trial.precision)
        if size == 1:
            numbers = np.ones(1)
        for side, (value, kind) in enumerate(zip((first, second), kinds, strict=True)):
            if kind is not None:
                both[side][value] = numbers.reshape(kind.shape)
    return both


def _errors(
    trial: Trial, truth: Sequence[Backward], runs: Sequence[Sequence[Backward]]
) -> tuple[GradientError, ...]:
    """Of every parameter that both sides train, in the first model's order."""
    found = []
    for row in trial.matching.parameters:
        keys = [PARAMETER + row.first], [PARAMETER + piece.second for piece in row.pieces]
        if not keys[1] or not all(
            key in truth[side].gradients for side in (0, 1) for key in keys[side]
        ):
            continue
        errors = [[_off(run, truth[side], keys[side]) for run in runs[side]] for side in (0, 1)]
        held = [run[0].gradients for run in runs]
        own = held[0][PARAMETER + row.first]
        scale = max(float(np.abs(truth[1].gradients[key]).max(initial=0.0)) for key in keys[1])
        found.append(
            GradientError(
                row.first,
                " + ".join(dict.fromkeys(piece.second for piece in row.pieces)),
                errors[0][0],
                errors[1][0],
                distance(own, _laid(row, own, held[1])),
                scale,
                MARGIN * (max(errors[0]) + max(errors[1])),
            )
        )
    return tuple(found)


def _off(run: Backward, truth: Backward, keys: Sequence[str]) -> float:
    return max(distance(run.gradients[key], truth.gradients[key]) for key in keys)


def _laid(row: ParameterRow, own: Array, second: Mapping[str, Array]) -> Array:
    """The second's gradient laid out like the first's."""
    pieces = {piece.second: second[PARAMETER + piece.second] for piece in row.pieces}
    return laid(row, own, pieces)


def _silent_findings(
    trial: Trial,
    groups: Sequence[Sequence[Parted]],
    base: tuple[Backward, Backward],
    seeds: Cotangents,
) -> list[Finding]:
    """Groups of casts that change gradients though no value forward; all of them are tried at once
    first, since most change nothing."""
    told: list[Finding] = []
    if not groups or not _moved(trial, [one for group in groups for one in group], base, seeds):
        return told
    for group in groups:
        error = _moved(trial, group, base, seeds)
        if error:
            tell(told, _silent_finding(trial, group, error))
    return told


def _moved(
    trial: Trial, group: Sequence[Parted], base: tuple[Backward, Backward], seeds: Cotangents
) -> float:
    """The largest absolute change of a gradient when one side's casts are the other's."""
    side, placement = trial.altered(group)
    ran = differentiated(trial.sides[side], trial.precision, seeds[side], placement).gradients
    moved = [distance(ran[name], own) for name, own in base[side].gradients.items()]
    return max(moved, default=0.0)


def _silent_finding(trial: Trial, group: Sequence[Parted], error: float) -> Finding:
    finding = cast_finding(trial, group, error)
    facts = {name: finding.reason.get(name) for name in ("op", "first_dtype", "second_dtype")}
    return replace(finding, phase="backward", reason=Cause.of("precision.gradient", **facts))


def _range_findings(
    trial: Trial, base: tuple[Backward, Backward], truth: Sequence[Backward]
) -> list[Finding]:
    """Gradients that one side's precision cannot hold: beyond its range, or all below its least
    number. Where values are beyond it already, gradients follow from that."""
    told: list[Finding] = []
    if any(ran.overflows for ran in trial.base):
        return told
    for side, run in enumerate(base):
        if run.overflows and not base[1 - side].overflows:
            value = run.overflows[0]
            op = trial.sides[side].graph.record(value.node).op
            cause = _range(trial, side, f"the gradient at {op}", "beyond the range")
            told.append(replace(one_sided(trial, side, value.node, cause, 0.0), phase="backward"))
    for row in trial.matching.parameters:
        keys = [PARAMETER + row.first], [PARAMETER + piece.second for piece in row.pieces]
        gone = [_vanished(base[side], truth[side], keys[side]) for side in (0, 1)]
        if keys[1] and gone[0] != gone[1]:
            cause = _range(
                trial, gone.index(True), f"the gradient of {row.first}", "below the least"
            )
            paths = row.first.rpartition(".")[0], row.pieces[0].second.rpartition(".")[0]
            behind = len(trial.matching.second.nodes)
            tell(
                told, Finding("backward", "different", cause, *paths, places=(paths,), order=behind)
            )
    return told


def _range(trial: Trial, side: int, what: str, end: str) -> Cause:
    return Cause.of(
        "precision.gradient_range", what=what, end=end, precision=trial.precision, side=side
    )


def _vanished(run: Backward, truth: Backward, keys: Sequence[str]) -> bool:
    """Whether a gradient is zero throughout that is not in float64."""
    known = [key for key in keys if key in truth.gradients]
    return any(truth.gradients[key].any() for key in known) and not any(
        run.gradients[key].any() for key in known
    )
