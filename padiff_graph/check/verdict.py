"""From everything that a check found to one verdict.

The rule: passed exactly when something was compared, no finding is different, missing or extra, and
every compared value is within the tolerance asked for, values explained by a known framework
divergence left out; and nothing is left uncompared that only a region or a map of the weights would
show, a difference in structure least of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from padiff_graph.check.beyond_tolerance import (
    LARGE,
    Beyond,
    beyond_finding,
    unexplained_finding,
)
from padiff_graph.check.end_to_end import WholeCheck
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.obligations.remainders import WholeProof
from padiff_graph.referee.region_result import AGREE, RegionCheck
from padiff_graph.referee.tolerance import Quantity
from padiff_graph.request.options import Options
from padiff_graph.training.training_steps import Training

__all__ = ["Judgement", "Measured", "judge", "one_cause", "unexplained"]

NO_PAIR = "no value of one model could be laid beside one of the other"
EXCUSED = frozenset({"framework-divergence", "framework-defect"})
"""Verdicts of parts that the models are not to blame for."""
UNDECIDED = frozenset({"rounding", "not-comparable"})
"""Verdicts of a training that already say what values beyond the tolerance are."""


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        options: what was asked for.
        whole: the whole run; None where it could not be made.
        regions: the regions; None where capture failed.
        training: training steps; None where none were asked for.
        complete: whether regions cover everything and the two sides hold the same weights.
        loose: why the weights of both sides could not be made equal, None where they are.
        frameworks: of the two models.
        proof: what float64 leaves of both models as a whole; None where it was not asked.
        diverging: whether a known divergence of the frameworks parts the whole runs.
    """

    options: Options
    whole: WholeCheck | None = None
    regions: RegionCheck | None = None
    training: Training | None = None
    complete: bool = False
    loose: Cause | None = None
    frameworks: tuple[str, str] = ("paddle", "torch")
    proof: WholeProof | None = None
    diverging: bool = False

    @property
    def random(self) -> bool:
        """Whether random draws part the whole runs."""
        return self.whole is not None and self.whole.random

    @property
    def by_units(self) -> bool:
        """Whether the verdict rests on the regions: asked for, or since random draws part the whole
        runs."""
        return self.options.single_step or self.random

    @property
    def blind(self) -> bool:
        """Whether something was compared nowhere: not in the whole runs, which draw their own
        numbers, nor by its region; or gradients of weights that no map was found for."""
        if self.loose is not None and self.options.diff_phase != "forward":
            return True
        if not self.random or self.regions is None:
            return False
        return any(result.verdict == "not-comparable" for result in self.regions.results)

    def held(self) -> list[Beyond]:
        """Every value that the verdict depends on, with its place; those of regions too where a
        divergence of the frameworks leaves out some of the whole."""
        values = [] if self.by_units else list(self._of_whole())
        if self.by_units or self.diverging:
            values += self._of_regions()
        return [*values, *self.of_training()]

    def _of_regions(self) -> Iterator[Beyond]:
        for result in self.regions.results if self.regions is not None else ():
            for part in result.parts:
                if part.held is not None and part.verdict not in EXCUSED:
                    yield part.held, result.label

    def _of_whole(self) -> Iterator[Beyond]:
        for quantity in self.whole.quantities if self.whole is not None else ():
            if quantity.counted:
                yield quantity, ""

    def of_training(self) -> Iterator[Beyond]:
        """Values after training steps."""
        if self.training is None:
            return
        for step, quantity in self.training.quantities:
            if quantity.counted:
                yield quantity, f"step {step}"


@dataclass(frozen=True)
class Judgement:
    """The verdict.

    Attributes:
        passed: what the call asks: no finding fails, and every value is within the tolerance.
        equivalent: whatever the tolerance: True where nothing but proved rounding differs, False
            where the models differ, None where that is not decided.
        findings: in the order of a report, with those that only the verdict can tell.
    """

    passed: bool
    equivalent: bool | None
    findings: tuple[Finding, ...]


def judge(measured: Measured, findings: Sequence[Finding]) -> Judgement:
    """The verdict on everything.

    Args:
        measured: numbers.
        findings: of every phase so far.
    """
    held = measured.held()
    beyond = [(quantity, where) for quantity, where in held if not quantity.within]
    ordered = sorted((*findings, *_added(measured, findings, held, beyond)), key=_rank)
    failing = any(finding.fails for finding in ordered)
    hidden = measured.blind or any(_undecided(finding) for finding in ordered)
    decided = bool(held) and not hidden
    equivalent = _equivalent(measured, ordered) if decided and not failing else None
    allowed = measured.options.allow_rounding and equivalent is True
    passed = decided and not failing and (not beyond or allowed)
    return Judgement(passed, False if failing else equivalent, tuple(ordered))


def _added(
    measured: Measured,
    findings: Sequence[Finding],
    held: Sequence[Beyond],
    beyond: Sequence[Beyond],
) -> list[Finding]:
    """What only the verdict can tell: that nothing was compared, or what values beyond the
    tolerance are."""
    if not held:
        return [_nothing(measured)]
    if any(finding.fails for finding in findings):
        return []
    proof = measured.proof
    if proof is not None and proof.left and not any(_of_frameworks(other) for other in findings):
        return [unexplained_finding(proof, measured.frameworks)]
    if not beyond or any(_of_training(finding) for finding in findings):
        return []
    told = beyond_finding(
        beyond,
        findings,
        measured.options,
        complete=measured.complete,
        loose=measured.loose,
        frameworks=measured.frameworks,
        proof=proof,
    )
    return [told]


def _equivalent(measured: Measured, findings: Sequence[Finding]) -> bool | None:
    """Whether nothing but rounding differs, where no finding fails and nothing is hidden. Of a
    training that is shown by the band in which two right ones part."""
    departs = any(not quantity.within for quantity, _ in measured.of_training())
    shown = [finding.verdict for finding in findings if finding.phase == "optimizer"]
    if departs and ("rounding" not in shown or "not-comparable" in shown):
        return None
    proof = measured.proof
    if proof is not None:
        return None if proof.reason or proof.left else True
    return True if measured.complete else None


def _of_frameworks(finding: Finding) -> bool:
    """Whether it tells what the frameworks themselves do differently, which the whole carries."""
    return finding.verdict in EXCUSED and finding.phase != "optimizer"


def _nothing(measured: Measured) -> Finding:
    notes = measured.whole.notes if measured.whole is not None else ()
    cause = Cause.of("nothing.compared", text="; ".join(notes) or NO_PAIR)
    return Finding("capture", "not-comparable", cause, frameworks=measured.frameworks)


def _of_training(finding: Finding) -> bool:
    """Whether training says already what values beyond the tolerance are."""
    return finding.phase == "optimizer" and finding.verdict in UNDECIDED


def _undecided(finding: Finding) -> bool:
    """A difference in structure that numbers could not decide: it may hide within the tolerance of
    the whole run."""
    return finding.phase == "structure" and finding.verdict == "not-comparable"


def _rank(finding: Finding) -> tuple[int, int]:
    """What fails stands first, most upstream first; a parameter without counterpart behind what it
    follows from."""
    if not finding.fails:
        return 2, finding.order
    return int(_without_counterpart(finding)), finding.order


def _without_counterpart(finding: Finding) -> bool:
    return finding.phase == "weights" and finding.verdict in ("missing", "extra")


def unexplained(whole: WholeCheck, regions: RegionCheck) -> bool:
    """Whether the whole runs are further apart than rounding carries, though no region differs.

    The regions had random values in the place of constants; with the constants themselves a
    function may stand at a kink (a leaky ReLU behind a scale of zero), where frameworks choose
    another slope.
    """
    agree = bool(regions.results) and all(result.verdict in AGREE for result in regions.results)
    return agree and any(_far(quantity) for quantity in whole.quantities)


def _far(quantity: Quantity) -> bool:
    return quantity.counted and quantity.relative > LARGE


def one_cause(findings: Sequence[Finding]) -> list[Finding]:
    """The findings without those of weights that another one explains: a parameter has no
    counterpart because the operation that reads it has none."""
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
        if not (_without_counterpart(finding) and _named(finding, taken))
    ]


def _named(finding: Finding, taken: Mapping[int, set[str]]) -> bool:
    """Whether other findings stand at all places of one about a parameter."""
    side = 0 if finding.verdict == "extra" else 1
    places = finding.places or ((finding.paddle_path, finding.torch_path),)
    return all(place[side] in taken[side] for place in places)
