"""From everything that a check found to one verdict, and the words for what is only rounding.

The rule: passed exactly when something was compared, no finding is different, missing or extra, and
every compared value is within the tolerance asked for, values explained by a known framework
divergence left out; and nothing is left uncompared that only a region or a map of the weights would show, a
difference in structure least of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.check.end_to_end import WholeCheck
from padiff_graph.findings.finding import Finding, Phase
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import AGREE, Part, RegionCheck, RegionResult
from padiff_graph.referee.tolerance import Quantity
from padiff_graph.report.report import Compared
from padiff_graph.request.options import Options
from padiff_graph.training.training_steps import Training

__all__ = [
    "Measured",
    "compared",
    "contributions",
    "depth",
    "divergent_buffers",
    "judge",
    "one_cause",
    "unexplained",
]

PHASES: dict[str, Phase] = {
    "output": "forward",
    "buffer": "forward",
    "loss": "loss",
    "input": "backward",
    "parameter": "backward",
}
"""Kind of a compared tensor -> phase of a finding about it."""
LARGE = 0.05
"""Relative difference of an output that accumulated rounding does not reach by itself."""


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        options: what was asked for.
        whole: the whole run; None where it could not be made.
        regions: the regions; None where capture failed.
        training: training steps; None where none were asked for.
        complete: whether regions cover everything and the two sides hold the same weights.
        loose: why the weights of both sides could not be made equal, "" where they are.
    """

    options: Options
    whole: WholeCheck | None = None
    regions: RegionCheck | None = None
    training: Training | None = None
    complete: bool = False
    loose: str = ""

    @property
    def by_units(self) -> bool:
        """Whether the verdict rests on the regions: asked for, or since random draws part the whole runs."""
        return self.options.single_step or (self.whole is not None and self.whole.random)

    @property
    def blind(self) -> bool:
        """Whether something was compared nowhere: not in the whole runs, which draw their own numbers, nor by its region;
        or gradients of weights that no map was found for."""
        if self.loose and self.options.diff_phase != "forward":
            return True
        random = self.whole is not None and self.whole.random
        return (
            random
            and self.regions is not None
            and any(result.verdict == "not-comparable" for result in self.regions.results)
        )

    def held(self) -> list[tuple[Quantity, str]]:
        """Every value that the verdict depends on, with the second model's module path."""
        if self.by_units:
            found = (
                []
                if self.regions is None
                else [
                    (part.held, result.label)
                    for result in self.regions.results
                    for part in result.parts
                    if part.held is not None
                    and part.verdict not in ("framework-divergence", "framework-defect")
                ]
            )
        else:
            found = (
                []
                if self.whole is None
                else [(one, "") for one in self.whole.quantities if one.counted]
            )
        if self.training is not None and not (self.whole is not None and self.whole.random):
            found += [
                (one, f"step {step}") for step, one in self.training.quantities if one.counted
            ]
        return found


def judge(measured: Measured, findings: Sequence[Finding]) -> tuple[bool, tuple[Finding, ...]]:
    """The verdict, and the findings with those added that only the verdict can tell.

    Args:
        measured: numbers.
        findings: of every phase so far.
    """
    held = measured.held()
    failing = any(finding.fails for finding in findings)
    beyond = [(quantity, where) for quantity, where in held if not quantity.within]
    added: list[Finding] = []
    if not held:
        reason = (
            "; ".join(measured.whole.notes)
            if measured.whole is not None and measured.whole.notes
            else "no value of one model could be laid beside one of the other"
        )
        added.append(
            Finding(
                "capture",
                "not-comparable",
                f"nothing was compared, and so nothing passed: {reason}",
            )
        )
    elif (
        beyond
        and not failing
        and not any(
            finding.verdict in ("rounding", "not-comparable") and finding.phase == "optimizer"
            for finding in findings
        )
    ):
        added.append(_beyond(measured, beyond, findings))
    # a difference in structure that numbers could not decide may hide within the tolerance of the whole run
    undecided = any(
        finding.phase == "structure" and finding.verdict == "not-comparable" for finding in findings
    )
    passed = bool(held) and not failing and not beyond and not measured.blind and not undecided
    return passed, tuple(sorted((*findings, *added), key=_rank))


def _rank(finding: Finding) -> tuple[int, int]:
    """What fails stands first, most upstream first; a parameter without counterpart behind what it follows from."""
    unmapped = finding.phase == "weights" and finding.verdict in ("missing", "extra")
    return (2 if not finding.fails else 1 if unmapped else 0), finding.order


def unexplained(whole: WholeCheck, regions: RegionCheck) -> bool:
    """Whether the whole runs are further apart than rounding carries, though no region differs.

    The regions had random values in the place of constants; with the constants themselves a function may
    stand at a kink (a leaky ReLU behind a scale of zero), where frameworks choose another slope.
    """
    agree = bool(regions.results) and all(result.verdict in AGREE for result in regions.results)
    return agree and any(
        one.counted and not one.within and one.relative > LARGE for one in whole.quantities
    )


def _beyond(
    measured: Measured, beyond: Sequence[tuple[Quantity, str]], findings: Sequence[Finding]
) -> Finding:
    """What to call values beyond the tolerance when no place is known to be wrong."""
    options = measured.options
    worst, where = max(
        beyond, key=lambda pair: (pair[0].kind in ("output", "loss"), pair[0].relative)
    )
    phase = PHASES[worst.kind]
    error = worst.mean_error if options.compare_mode == "mean" else worst.error
    tell = f"{_kind(worst)} differs by {error:.3g} ({options.compare_mode}; largest value {worst.scale:.3g}), beyond atol={options.atol:g}, rtol={options.rtol:g}"
    tell = f"{tell} in {where}" if where else tell
    needed = _enough([quantity for quantity, _ in beyond])
    common: dict[str, Any] = {"error": worst.error, "relative": worst.relative}
    if worst.reason:
        return Finding(phase, "different", f"{_kind(worst)}: {worst.reason}", **common)
    known = [
        finding
        for finding in findings
        if finding.verdict in ("framework-divergence", "framework-defect")
        and finding.phase == phase
    ]
    if known and worst.relative > LARGE:
        return Finding(
            phase,
            known[0].verdict,
            f"{tell}: it follows from what the frameworks do differently in {known[0].torch_path or 'the root'}; {needed}",
            order=max(finding.order for finding in known) + 1,
            **common,
        )
    if measured.complete:
        return Finding(
            phase,
            "rounding",
            f"{tell}: this is rounding, since every part of both models agrees on equal inputs; {needed}",
            advice=f"set options to {needed.removesuffix(' would have been enough')}",
            **common,
        )
    if measured.loose:
        return Finding(
            phase,
            "not-comparable",
            f"{tell}; {measured.loose}, so the two runs do not hold the same weights",
            **common,
        )
    gradients = max(
        (quantity.scale for quantity, _ in beyond if quantity.kind in ("input", "parameter")),
        default=0.0,
    )
    relative = (
        worst.error / gradients
        if worst.kind in ("input", "parameter") and gradients
        else worst.relative
    )
    if relative > LARGE and not any(
        finding.verdict in ("framework-defect", "framework-divergence") for finding in findings
    ):
        return Finding(
            phase,
            "different",
            f"{tell}; no single place was found, since not every part of the models could be compared",
            **common,
        )
    return Finding(
        phase,
        "not-comparable",
        f"{tell}; whether this is rounding is not known, since not every part of the models could be compared; {needed}",
        **common,
    )


def _enough(beyond: Sequence[Quantity]) -> str:
    """Which tolerance would have been enough; where the second's value is zero no relative one is."""
    least = {name: max(getattr(quantity, name) for quantity in beyond) for name in ("rtol", "atol")}
    finite = [f"{name}={_above(number)}" for name, number in least.items() if math.isfinite(number)]
    return (
        f"{' or '.join(finite)} would have been enough"
        if finite
        else "no tolerance would have been enough"
    )


def _above(number: float) -> str:
    """The number in two digits, never below it."""
    shown = f"{number:.2g}"
    return (
        shown
        if float(shown) >= number
        else f"{number + 0.5 * 10 ** (math.floor(math.log10(number)) - 1):.2g}"
    )


def _kind(quantity: Quantity) -> str:
    words = {
        "output": "the output",
        "loss": "the loss",
        "input": "the gradient of the input",
        "parameter": "the gradient of",
        "buffer": "the buffer",
    }
    name = (
        ""
        if quantity.kind == "loss" or (quantity.kind == "output" and quantity.first == "output")
        else f" {quantity.first}"
    )
    return f"{words[quantity.kind]}{name}"


def one_cause(findings: Sequence[Finding]) -> list[Finding]:
    """The findings without those of weights that another one explains: a parameter has no counterpart
    because the operation that reads it has none."""
    explained = [
        place
        for finding in findings
        if finding.fails and finding.phase != "weights"
        for place in ((finding.paddle_path, finding.torch_path), *finding.places)
    ]
    taken = {side: {place[side] for place in explained} for side in (0, 1)}
    return [
        finding
        for finding in findings
        if not (
            finding.phase == "weights"
            and finding.verdict in ("missing", "extra")
            and _named(finding, taken)
        )
    ]


def _named(finding: Finding, taken: Mapping[int, set[str]]) -> bool:
    side = 0 if finding.verdict == "extra" else 1
    places = [place[side] for place in finding.places] or [
        (finding.paddle_path, finding.torch_path)[side]
    ]
    return all(place in taken[side] for place in places)


# -- for the report


def divergent_buffers(regions: RegionCheck) -> set[str]:
    """First-side names of the buffers that a known divergence of the frameworks explains."""
    return {
        part.first
        for result in regions.results
        for part in result.parts
        if part.kind == "buffer" and part.verdict == "framework-divergence"
    }


def compared(
    matching: Matching | None, regions: RegionCheck | None, whole: WholeCheck | None
) -> Compared:
    """How much was compared."""
    parts = [] if regions is None else [part for result in regions.results for part in result.parts]
    results = [] if regions is None else [result for result in regions.results if result.parts]
    counted = (
        [] if whole is None else [quantity for quantity in whole.quantities if quantity.counted]
    )
    return Compared(
        operations=sum(len(result.second_nodes) for result in results),
        parameters=0 if matching is None else sum(bool(row.pieces) for row in matching.parameters),
        regions=len(results),
        outputs=sum(quantity.kind == "output" for quantity in counted),
        gradients=sum(part.kind in ("input", "parameter") for part in parts)
        + sum(quantity.kind in ("input", "parameter") for quantity in counted),
    )


def contributions(
    matching: Matching, regions: RegionCheck, most: int = 5
) -> tuple[tuple[str, str, float], ...]:
    """Regions that add most to the difference: (paddle path, torch path, relative error)."""
    # a buffer's new value is read by no other region
    found = [
        (
            *_paths(matching, result),
            max((part.relative for part in result.parts if part.kind != "buffer"), default=0.0),
        )
        for result in regions.results
    ]
    return tuple(sorted((one for one in found if one[2] > 0), key=lambda one: -one[2])[:most])


def depth(
    matching: Matching, regions: RegionCheck
) -> tuple[tuple[int, str, str, str, float, str], ...]:
    """Error along depth: (order, paddle path, torch path, phase, relative error, verdict)."""
    found = []
    for result in regions.results:
        by_phase: dict[str, Part] = {}
        for part in result.parts:
            phase = PHASES[part.kind]
            if phase not in by_phase or part.relative > by_phase[phase].relative:
                by_phase[phase] = part
        found += [
            (result.order, *_paths(matching, result), phase, part.relative, part.verdict)
            for phase, part in by_phase.items()
        ]
    return tuple(found)


def _paths(matching: Matching, result: RegionResult) -> tuple[str, str]:
    return _path(matching.first.graph, result.first_nodes), _path(
        matching.second.graph, result.second_nodes
    )


def _path(graph: ComputationGraph, nodes: Sequence[int]) -> str:
    return graph.record(max(nodes)).path if nodes else ""
