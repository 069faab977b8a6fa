"""What running region pairs found, as plain frozen data: numbers and causes, no tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from padiff_graph.findings.cause import Cause
from padiff_graph.referee.closeness import Closeness
from padiff_graph.referee.tolerance import Quantity

__all__ = [
    "AGREE",
    "EMPTY",
    "VERDICTS",
    "OtherSetting",
    "Part",
    "RegionCheck",
    "RegionResult",
    "Surplus",
]

VERDICTS = (
    "different",
    "framework-defect",
    "not-comparable",
    "framework-divergence",
    "rounding",
    "equal",
)
"""What a region can be, worst first."""
EMPTY = "it yields no elements on this input"
"""Reason of a region that numbers say nothing of, as with an empty batch."""
AGREE = ("equal", "rounding", "framework-divergence", "framework-defect")
"""Those under which the two models compute the same."""

RegionVerdict = Literal[
    "different", "framework-defect", "not-comparable", "framework-divergence", "rounding", "equal"
]


@dataclass(frozen=True, slots=True)
class Part:
    """One compared tensor of a region.

    Attributes:
        kind: "output", "input" (gradient of a boundary value), "parameter" (gradient), "buffer".
        first, second: the names on both sides: of a parameter or buffer, else of the value.
        error: largest absolute difference in the precision of the models.
        scale: what the error is held against: the largest reference value or cotangent.
        bound: how much of `scale` rounding may explain.
        double: largest absolute difference in float64; None where the referee was not needed.
        verdict: of this tensor alone.
        probe: what the numbers show of a difference, None where nothing fits.
        held: the tensor against the tolerance asked for; None where none was.
        closeness: further numbers, of an output; None elsewhere.
    """

    kind: Literal["output", "input", "parameter", "buffer"]
    first: str
    second: str
    error: float
    scale: float
    bound: float
    verdict: RegionVerdict
    double: float | None = None
    probe: Cause | None = None
    held: Quantity | None = None
    closeness: Closeness | None = None

    @property
    def relative(self) -> float:
        """The error against the scale."""
        return self.error / self.scale if self.scale else self.error


@dataclass(frozen=True, slots=True)
class Surplus:
    """An operation without which both sides of a region agree.

    Attributes:
        side: 0 where the first side has it, 1 for the second.
        node: the native operation.
        deed: what it hands on, None where the numbers do not tell.
    """

    side: int
    node: int
    deed: Cause | None = None


@dataclass(frozen=True, slots=True)
class OtherSetting:
    """A setting of an operation with whose other value both sides of a region agree.

    Attributes:
        cause: the setting with both values.
        natives: the operation that it is of on either side, -1 where a side has none like it.
    """

    cause: Cause
    natives: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RegionResult:
    """One region pair after running.

    Attributes:
        order: position in the second model's program order.
        verdict: the worst of its parts.
        parts: every compared tensor.
        first_nodes, second_nodes: native operations of both sides.
        first_normal, second_normal: normal-form nodes whose results the region yields.
        reads_only_first, reads_only_second: boundary values that one side reads and the other does
            not, in words.
        reason: why it could not be compared, "" where it could.
        referee: whether float64 was asked.
        label: the region in words.
        reads: the second side's native nodes whose values it reads.
        moved: whether the two sides hold its result in another order or shape.
        astray: whether it differs only by the order in which values arrive from further up.
        surplus: the operation without which both sides agree, where there is one.
        setting: the setting with whose other value both sides agree, where there is one.
        tried: a cause without which both sides agree: truth values inverted, parts turned round.
        began: the native operations at which it begins, where its last ones, in another module,
            read other values already.
    """

    order: int
    verdict: RegionVerdict
    parts: tuple[Part, ...]
    first_nodes: tuple[int, ...]
    second_nodes: tuple[int, ...]
    first_normal: tuple[int, ...] = ()
    second_normal: tuple[int, ...] = ()
    reads_only_first: tuple[str, ...] = ()
    reads_only_second: tuple[str, ...] = ()
    reason: str = ""
    referee: bool = False
    label: str = ""
    reads: tuple[int, ...] = ()
    moved: bool = False
    astray: bool = False
    surplus: Surplus | None = None
    setting: OtherSetting | None = None
    tried: Cause | None = None
    began: tuple[int, int] | None = None

    def worst(self, kind: str = "") -> Part | None:
        """The most telling part: the worst verdict, forward before backward, then the largest
        relative error."""
        rank = {"output": 0, "buffer": 1, "input": 2, "parameter": 3}
        parts = [part for part in self.parts if not kind or part.kind == kind]
        return min(
            parts,
            key=lambda part: (VERDICTS.index(part.verdict), rank[part.kind], -part.relative),
            default=None,
        )


@dataclass(frozen=True)
class RegionCheck:
    """All region pairs of two models.

    Attributes:
        results: in program order of the second model.
        notes: what the user should know, in sentences.
        seconds: time by step ("second", "first", "compare", "referee").
        left: how many were not run, since a difference was to end the check.
    """

    results: tuple[RegionResult, ...]
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    left: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Number of region pairs by verdict."""
        return dict(Counter(result.verdict for result in self.results))

    def compared(self, kind: str) -> int:
        """How many tensors of a kind ("output", "input", "parameter", "buffer") were compared."""
        return sum(part.kind == kind for result in self.results for part in result.parts)


def worst(verdicts: list[RegionVerdict]) -> RegionVerdict:
    """The worst of several verdicts; "equal" for none."""
    found: RegionVerdict = "equal"
    for verdict in verdicts:
        if VERDICTS.index(verdict) < VERDICTS.index(found):
            found = verdict
    return found
