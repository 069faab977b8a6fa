"""What to call values beyond the tolerance when no place is known to be wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding, Phase
from padiff_graph.obligations.remainders import WholeProof
from padiff_graph.referee.tolerance import Quantity
from padiff_graph.request.options import Options

__all__ = ["LARGE", "PHASES", "Beyond", "beyond_finding", "unexplained_finding"]

Beyond = tuple[Quantity, str]
"""A compared value, and where it was compared: a region, a step, "" for the whole run."""

PHASES: dict[str, Phase] = {
    "output": "forward",
    "buffer": "forward",
    "loss": "loss",
    "input": "backward",
    "parameter": "backward",
}
"""Kind of a compared tensor -> phase of a finding about it."""
LARGE = 0.05
"""Relative difference of an output that accumulated rounding does not reach by itself; chosen so
that deep correct models stay well below it."""
TENSORS = {
    "output": "the output",
    "loss": "the loss",
    "input": "the gradient of the input",
    "parameter": "the gradient of",
    "buffer": "the buffer",
}
"""Kind of a compared tensor -> what it is called before its name."""
FRAMEWORK = ("framework-divergence", "framework-defect")
NO_TOLERANCE = "no tolerance worth the name"
WORTH_NAMING = 0.1
"""Largest tolerance, relative to the largest value, that is ever named; chosen so that following
the advice lets no difference pass that a person would see."""


def beyond_finding(
    beyond: Sequence[Beyond],
    findings: Sequence[Finding],
    options: Options,
    *,
    complete: bool,
    loose: Cause | None,
    frameworks: tuple[str, str],
    proof: WholeProof | None = None,
) -> Finding:
    """The finding about the worst of these values.

    Args:
        beyond: at least one.
        findings: what else was found.
        options: the tolerance asked for.
        complete: whether regions cover everything and the two sides hold the same weights.
        loose: why they do not.
        frameworks: of the two models.
        proof: what float64 leaves of both models as a whole; None where it was not asked.
    """
    worst, where = max(
        beyond, key=lambda pair: (pair[0].kind in ("output", "loss"), pair[0].relative)
    )
    finding = Finding(
        PHASES[worst.kind],
        "different",
        _cause(worst, where, options),
        error=worst.error,
        relative=worst.relative,
        frameworks=frameworks,
    )
    if worst.reason:
        return finding
    quantities = [quantity for quantity, _ in beyond]
    known = [other for other in findings if _may_carry(other, finding)]
    vanished = proof is not None and not proof.reason and not proof.left
    if known and worst.relative > LARGE:
        return _carried(finding, known, quantities)
    if proof is not None and proof.left and not known:
        return unexplained_finding(proof, frameworks)
    enough = _enough(quantities)
    if proof is not None and proof.reason and complete:
        unproved = {"text": proof.reason, "enough": f"{enough} would have been enough"}
        return replace(_as(finding, "rounding.unproved", **unproved), verdict="not-comparable")
    if vanished:
        rounding = _as(finding, "rounding.accumulated", enough=f"{enough} would have been enough")
        named = "" if enough == NO_TOLERANCE else f"{enough}, or "
        return replace(
            rounding, verdict="rounding", advice=f"set options to {named}allow_rounding=True"
        )
    if loose is not None:
        return replace(_as(finding, "whole.other_weights", loose=loose), verdict="not-comparable")
    blamed = any(other.verdict in FRAMEWORK for other in findings)
    if _relative(worst, quantities) > LARGE and not blamed:
        return _as(finding, "whole.not_located")
    undecided = _as(finding, "rounding.undecided", enough=f"{enough} would have been enough")
    return replace(undecided, verdict="not-comparable")


def _may_carry(other: Finding, finding: Finding) -> bool:
    """Whether a value may differ for what the frameworks do otherwise elsewhere. A defect is one of
    gradients, also where a statistic that differs beside it makes the region's phase forward."""
    if other.verdict not in FRAMEWORK:
        return False
    defect = other.verdict == "framework-defect" and finding.phase == "backward"
    return defect or other.phase == finding.phase


def unexplained_finding(proof: WholeProof, frameworks: tuple[str, str]) -> Finding:
    """Both models as a whole differ, and no part by itself: the first value that departs."""
    first, *others = proof.left
    cause = Cause.of(
        "whole.unexplained",
        tensor=_named(first.kind, first.first),
        error=first.error,
        scale=first.scale,
        noise=first.noise,
    )
    if others:
        cause = replace(cause, facts=(*cause.facts, ("others", len(others))))
    return Finding(
        PHASES[first.kind],
        "different",
        cause,
        error=first.error,
        relative=first.relative,
        frameworks=frameworks,
    )


def _cause(worst: Quantity, where: str, options: Options) -> Cause:
    """How far the value is beyond the tolerance; why it cannot be compared where that is so."""
    if worst.reason:
        return Cause.of("tensor.not_comparable", tensor=_name(worst), text=worst.reason)
    error = worst.mean_error if options.compare_mode == "mean" else worst.error
    atol, rtol = worst.own or (options.atol, options.rtol)
    cause = Cause.of(
        "whole.not_located",
        tensor=_name(worst),
        error=error,
        mode=options.compare_mode,
        scale=worst.scale,
        atol=atol,
        rtol=rtol,
    )
    return replace(cause, facts=(*cause.facts, ("where", where))) if where else cause


def _as(finding: Finding, kind: str, **facts: object) -> Finding:
    """The finding with what its difference is taken for."""
    measured = finding.reason.facts
    return replace(finding, reason=Cause(kind, (*measured, *facts.items())))


def _carried(finding: Finding, known: Sequence[Finding], quantities: Sequence[Quantity]) -> Finding:
    """It follows from what the frameworks do differently further up."""
    enough = f"{_enough(quantities)} would have been enough"
    carried = _as(finding, "framework.carried", path=known[0].torch_path, enough=enough)
    order = max(other.order for other in known) + 1
    return replace(carried, verdict=known[0].verdict, order=order)


def _relative(worst: Quantity, quantities: Sequence[Quantity]) -> float:
    """The worst difference against the largest value; of a gradient against the largest
    gradient."""
    gradients = [
        quantity.scale for quantity in quantities if quantity.kind in ("input", "parameter")
    ]
    largest = max(gradients, default=0.0)
    if worst.kind in ("input", "parameter") and largest:
        return worst.error / largest
    return worst.relative


def _enough(beyond: Sequence[Quantity]) -> str:
    """Which tolerance would have been enough, as far as it is worth naming: where the second's
    value is next to zero a relative one is absurd, and a large one passes real differences."""
    rtol = max(quantity.rtol for quantity in beyond)
    atol = max(quantity.atol for quantity in beyond)
    scale = max(quantity.scale for quantity in beyond)
    worth = [f"rtol={_above(rtol)}"] if rtol <= WORTH_NAMING else []
    if atol <= WORTH_NAMING * scale:
        worth.append(f"atol={_above(atol)}")
    return " or ".join(worth) or NO_TOLERANCE


def _above(number: float) -> str:
    """The number in two digits, never below it."""
    shown = f"{number:.2g}"
    if float(shown) >= number:
        return shown
    half_a_digit = 0.5 * 10 ** (math.floor(math.log10(number)) - 1)
    return f"{number + half_a_digit:.2g}"


def _name(quantity: Quantity) -> str:
    """A compared tensor in words; the only output goes by that very name."""
    return _named(quantity.kind, quantity.first)


def _named(kind: str, name: str) -> str:
    only = kind == "output" and name == "output"
    return TENSORS[kind] if kind == "loss" or only else f"{TENSORS[kind]} {name}"
