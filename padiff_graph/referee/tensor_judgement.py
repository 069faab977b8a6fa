"""One tensor of both sides judged, from its arrays in float32 and float64 and from bounds alone."""

from __future__ import annotations

from dataclasses import dataclass

from padiff_graph.capture.engine import Array
from padiff_graph.findings.cause import Cause
from padiff_graph.referee.referee import Measured, imprecise, judge, measure
from padiff_graph.referee.region_result import RegionVerdict

__all__ = ["Judgement", "Rules", "judge_tensor"]

Arrays = tuple[Array, Array]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a tensor is judged by.

    Attributes:
        bound: relative difference that rounding explains.
        gradient: whether it is a gradient.
        attribute: whether structure names a differing epsilon here.
        mixed: whether the sides compute in different floating dtypes here, which float64 would
            hide.
        size: how large the terms are that it sums up, where they may be far larger than the sum.
    """

    bound: float
    gradient: bool = False
    attribute: bool = False
    mixed: bool = False
    size: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one tensor.

    Attributes:
        single, double: differences in the models' precision and in float64, None where that was not
            asked.
        coarse: which side alone loses precision; None where none does.
    """

    verdict: RegionVerdict
    single: Measured
    double: Measured | None = None
    coarse: Cause | None = None


def judge_tensor(single: Measured, plain: Arrays, fine: Arrays | None, rules: Rules) -> Judgement:
    """Judges one tensor.

    Args:
        single: `plain`, measured.
        plain: both sides in the precision of the models.
        fine: both sides in float64; None where that was not asked.
        rules: what it is judged by.
    """
    if fine is None:
        verdict = judge(single, rules.bound, None, precision=rules.mixed, attribute=rules.attribute)
        return Judgement(verdict, single)
    double = measure(*fine)
    lost = measure(plain[0], fine[0]).error, measure(plain[1], fine[1]).error
    coarse = imprecise(lost, single, double, rules.bound, rules.size)
    verdict = judge(
        single,
        rules.bound,
        double,
        lost[1] if rules.gradient else 0.0,
        attribute=rules.attribute,
        precision=rules.mixed or coarse is not None,
    )
    return Judgement(verdict, single, double, coarse)
