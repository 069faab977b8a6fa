"""Structural differences with what the numbers of their regions say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.diagnosis.finding_places import NOWHERE, Place, finding_at
from padiff_graph.diagnosis.region_phase import AGREEING, region_phase
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.difference_causes import difference_cause, difference_places
from padiff_graph.findings.finding import Finding, Phase, Verdict
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.region_result import EMPTY, Part, RegionCheck, RegionResult
from padiff_graph.referee.structural_evidence import claims, nodes_of, own_native_of

__all__ = [
    "Located",
    "built_differently",
    "explains",
    "locate",
    "names_a_setting",
    "structural_finding",
]

SURE = 0.8
"""From this confidence on a match stands for itself: below it neighbours contradict it, or none
bears it out (`matching.confidence` sets the steps)."""
NOWHERE_IN_ORDER = 1 << 30
"""Behind every operation: the order of what no region holds."""
FAILING: Mapping[str, Verdict] = {"missing": "missing", "extra": "extra"}
"""Kind of a difference -> verdict where its region differs; "different" for all others."""
EFFECTS = ("gradient.hook", "gradient.custom_backward")
"""Kinds of which a differing region shows that they have an effect."""
MADE = frozenset({"attribute.exponent"})
"""Attributes of operators that the normal form composes an operation of."""
FORWARD = frozenset({"scale", "shift"})
"""Causes that show in the outputs wherever they show at all."""
DEEDS: Mapping[str, frozenset[str]] = {
    "scale": frozenset({"values.scaled", "values.negated", "values.affine", "values.zero"}),
    "shift": frozenset({"values.shifted", "values.affine", "values.inverted"}),
}
"""What an operation does that such a difference may be a spelling of."""
OTHER_INPUT = "check it with another input"
OTHER_DRAW = "the draws of this check hit the same on both sides; others do not"
DIVERGENT = frozenset({"framework-divergence", "framework-defect"})


@dataclass(frozen=True)
class Located:
    """A structural difference with the regions that it stands in."""

    difference: Difference
    results: tuple[RegionResult, ...]

    def of(self, *verdicts: str) -> list[RegionResult]:
        """The regions of these verdicts."""
        return [result for result in self.results if result.verdict in verdicts]


def locate(
    check: RegionCheck, matching: Matching, differences: Sequence[Difference]
) -> list[Located]:
    """Every difference with its regions."""
    normals = matching.first, matching.second
    claimed = claims(normals[0]), claims(normals[1])
    located = []
    for difference in differences:
        natives = [
            own_native_of(normals[side], nodes_of(difference, side), claimed[side])
            for side in (0, 1)
        ]
        results = tuple(
            result
            for result in check.results
            if not natives[0].isdisjoint(result.first_nodes)
            or not natives[1].isdisjoint(result.second_nodes)
        )
        located.append(Located(difference, results))
    return located


def structural_finding(
    located: Located, matching: Matching, *, trained: bool = False
) -> Finding | None:
    """The finding that a difference is; None where numbers say all there is to say.

    Where its region differs it is the cause; where numbers could not be asked it may be; where they
    agree it is suspicious, since it changes nothing on this input. A size needs no numbers: the
    weights are others; so it is where both sides have `trained` weights of other sizes there.
    """
    difference = located.difference
    if difference.kind == "differently-built":
        return None
    differing = [result for result in located.of("different") if explains(difference, result)]
    unsure = located.of("not-comparable")
    base = _base(located, matching)
    if difference.kind == "size":
        return replace(base, phase="structure")
    if any(result.setting is not None for result in differing):
        return None  # what the normal form makes of a setting is told as the setting
    if differing:
        return _failing(base, difference, differing)
    if difference.kind == "shared":
        # no region shows it: each sees the gradient of one reader alone
        return replace(base, phase="structure")
    if unsure:
        return _undecided(base, difference, unsure[0], matching)
    if located.of(*DIVERGENT) or located.of("different"):
        return None
    if trained:
        return replace(base, phase="structure")
    if difference.kind == "attribute" and _draws(difference, matching):
        return replace(base, phase="structure", advice=OTHER_DRAW)
    return _without_effect(base, located)


def explains(difference: Difference, result: RegionResult) -> bool:
    """Whether a difference inside a region that differs may be why: a factor or a shift changes
    what is computed, so that where the outputs agree the gradients differ by something else. It is
    not where an operation that does another deed was left out and both sides agreed."""
    if difference.cause_id not in FORWARD:
        return True
    deed = None if result.surplus is None else result.surplus.deed
    if deed is not None and deed.kind not in DEEDS[difference.cause_id]:
        return False
    return any(
        part.verdict == "different" and part.kind in ("output", "buffer") for part in result.parts
    )


def names_a_setting(difference: Difference) -> bool:
    """Whether a difference is as good a cause as a setting of the native operations that it stands
    at."""
    named = difference.cause_id.startswith("attribute.") and difference.cause_id not in MADE
    return named or difference.cause_id == "operation.replaced"


def _base(located: Located, matching: Matching) -> Finding:
    """The finding at its place, as if its region differed."""
    difference = located.difference
    second = _node(matching.second, difference.second)
    if second is not None and second.native:
        order = max(second.native)
    else:
        results = located.of("different") or located.results
        order = min((result.order for result in results), default=NOWHERE_IN_ORDER)
    places = (
        _place(matching.first, difference.first, difference.native[0]),
        _place(matching.second, difference.second, difference.native[1]),
    )
    cause = difference_cause(difference)
    return replace(
        finding_at(places, "forward", "different", cause, matching, order),
        paddle_path=difference.first_path,
        torch_path=difference.second_path,
        places=difference_places(difference, matching),
    )


def _node(normal: NormalGraph, nodes: tuple[int, ...]) -> NormalNode | None:
    return normal.nodes[nodes[0]] if nodes else None


def _place(normal: NormalGraph, nodes: tuple[int, ...], native: int) -> Place:
    """Operator and line: of the native operation that decides it, else of the node."""
    if native >= 0:
        return Place.of_record(normal.graph.record(native))
    node = _node(normal, nodes)
    return NOWHERE if node is None else Place.of_node(node, normal)


def _failing(base: Finding, difference: Difference, differing: list[RegionResult]) -> Finding:
    parts = [part for result in differing for part in result.parts if part.verdict == "different"]
    part = max(parts, key=lambda part: part.relative)
    phase = region_phase(differing)
    return replace(
        base,
        reason=_felt(base.reason, part, phase),
        phase=phase,
        verdict=FAILING.get(difference.kind, "different"),
        error=part.error,
        relative=part.relative,
    )


def _felt(cause: Cause, part: Part, phase: Phase) -> Cause:
    """A cause in the backward pass with what it does; else the cause as it is. A detach among other
    operations is the cause only where they yield the same values."""
    cuts = phase == "backward" and cause.kind != "gradient.detached" and _speaks_of_detach(cause)
    if cuts:
        cause = Cause.of("gradient.detached", inner=cause)
    elif cause.kind in EFFECTS:
        cause = Cause.of(cause.kind, inner=cause)
    elif cause.kind != "gradient.detached":
        return cause
    seen = part.probe
    if seen is not None and seen.kind in ("gradient.scaled", "gradient.reversed"):
        return cause.followed_by(seen)
    return cause


def _speaks_of_detach(cause: Cause) -> bool:
    """Whether a detach is among the operations of a cause, with others."""
    operations = cause.get("operations")
    named = (cause.get("first_op"), cause.get("second_op"))
    return "Detach" in named or (isinstance(operations, tuple) and "Detach" in operations)


def _undecided(
    base: Finding, difference: Difference, unsure: RegionResult, matching: Matching
) -> Finding:
    """Numbers could not be asked: an attribute of operations that surely correspond is a bug all
    the same."""
    unasked = f"numbers could not be asked: {unsure.reason}"
    if difference.kind != "attribute":
        return replace(base, phase="structure", verdict="not-comparable", advice=unasked)
    # with no elements at all structure is all there is to tell two functions apart
    if unsure.reason == EMPTY or _sure(difference, matching):
        return replace(base, phase="structure", advice=unasked)
    told = f"these operations may not correspond, and {unasked}"
    return replace(base, phase="structure", verdict="not-comparable", advice=told)


def _draws(difference: Difference, matching: Matching) -> bool:
    """Whether the operations that a difference stands at draw random numbers: how likely each is
    does not show in one draw."""
    sides = (matching.first, difference.first), (matching.second, difference.second)
    return all(
        any("random" in normal.nodes[node].marks for node in nodes) for normal, nodes in sides
    )


def _sure(difference: Difference, matching: Matching) -> bool:
    """Whether at one of its places at least the operations surely correspond: else they are
    compared with what merely stands where they do, in another way of building the same."""
    firsts, seconds = set(nodes_of(difference, 0)), set(nodes_of(difference, 1))
    return any(
        match.confidence >= SURE
        for match in matching.matches
        if match.first in firsts and match.second in seconds
    )


def _without_effect(base: Finding, located: Located) -> Finding | None:
    kind = located.difference.kind
    if kind == "attribute":
        advice = f"it changes nothing on this input; {OTHER_INPUT}"
    elif kind in ("missing", "extra") and located.results:
        advice = f"the regions around it agree on this input; {OTHER_INPUT}"
    else:
        return None
    return replace(base, phase="structure", verdict="suspicious", advice=advice)


# -- differently built


def built_differently(
    check: RegionCheck, matching: Matching, differences: Sequence[Difference]
) -> dict[int, Difference]:
    """How each region is built differently, by the identity of its result, at its place in that
    region.

    What stands in no region that agrees comes before what does, then the first.
    """
    found: dict[int, tuple[bool, Difference]] = {}
    for difference in differences:
        if difference.kind != "differently-built":
            continue
        inside = locate(check, matching, _apart(difference, matching))
        harmless = any(located.of(*AGREEING) for located in inside)
        for located in inside:
            for result in located.results:
                known = found.get(id(result))
                if known is None or (known[0] and not harmless):
                    found[id(result)] = harmless, located.difference
    return {result: difference for result, (_, difference) in found.items()}


def _apart(difference: Difference, matching: Matching) -> list[Difference]:
    """The difference at each of its places alone; whole where a native operation decides it."""
    if difference.native != (-1, -1):
        return [difference]
    return [_at(difference, place, matching) for place in difference.places]


def _at(difference: Difference, place: tuple[int, int], matching: Matching) -> Difference:
    """The difference at one of its places alone; whole where that is all there is."""
    if len(difference.places) == 1 or min(place) < 0:
        return difference
    first, second = matching.first.nodes[place[0]], matching.second.nodes[place[1]]
    return replace(
        difference,
        first=(first.id,),
        second=(second.id,),
        places=(place,),
        first_path=first.path,
        second_path=second.path,
    )
