"""From region results and structural differences to findings: one cause, one finding, at its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from padiff_graph.capture.graph import Node
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.diagnosis.plain_names import plain_name
from padiff_graph.diagnosis.reordering import turning
from padiff_graph.executor.region_parameters import first_reads
from padiff_graph.findings.finding import Finding, Phase, Verdict
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.region_result import Part, RegionCheck, RegionResult, Surplus
from padiff_graph.referee.structural_evidence import claims, nodes_of, own_native_of

__all__ = ["region_findings"]

PLAIN = "yields other values than"
"""What is said where nothing is known of a difference but that there is one; such findings stay apart."""
MARKS = {
    "no_grad": "gradient path cut here ({op})",
    "gradient_hook": "a gradient hook changes the gradient here",
    "custom_function": "a custom backward function decides the gradient here",
}
"""What a mark on one side only says of a difference in gradients."""
SURE = 0.8
"""From this confidence on a match stands for itself: below it neighbours contradict it, or none bears it out."""
CUTTING = ("detach", "share_data", "stop_gradient")
"""Fragments of operator names that end a gradient path."""


def region_findings(
    check: RegionCheck, matching: Matching, differences: Sequence[Difference] = ()
) -> tuple[Finding, ...]:
    """All findings of a region check, most upstream first.

    A structural difference inside a differing region is that region's cause; inside regions that
    agree it is told as suspicious, since it changes nothing on this input. What differs without a
    structural difference is told by what the numbers and the operations' marks say.
    """
    where = _Where.of(check, matching)
    inside = [where.regions(found) for found in differences]
    findings = [
        finding
        for found, results in zip(differences, inside, strict=True)
        if (finding := _structural(found, results, matching)) is not None
    ]
    explained = {
        id(result)
        for found, results in zip(differences, inside, strict=True)
        if found.kind != "differently-built"
        for result in results
    }
    built = _built(where, matching, differences)
    plain = []
    for result in check.results:
        if result.verdict in ("equal", "rounding") or (
            result.verdict in ("different", "not-comparable") and id(result) in explained
        ):
            continue
        plain.append(
            _numeric(
                _origin(result, check) if result.astray else result,
                matching,
                built.get(id(result)),
                result,
            )
        )
    if any(part.kind == "parameter" for result in check.results for part in result.parts):
        findings += _frozen(matching)
    return tuple(
        sorted(
            (*findings, *_together(plain)), key=lambda finding: (finding.order, not finding.fails)
        )
    )


def _frozen(matching: Matching) -> list[Finding]:
    """Parameters that one model trains and the other does not. Regions differentiate all of them, so
    only the models' own flags tell."""
    groups: dict[bool, list[tuple[int, str, str]]] = {}
    nodes = first_reads(matching.second.graph)
    for row in matching.parameters:
        one = matching.first.graph.parameters.get(row.first)
        for piece in row.pieces:
            other = matching.second.graph.parameters.get(piece.second)
            if (
                one is not None
                and other is not None
                and not one.buffer
                and not other.buffer
                and one.trainable != other.trainable
            ):
                groups.setdefault(one.trainable, []).append(
                    (nodes.get(piece.second, 1 << 30), row.first, piece.second)
                )
    found = []
    for trainable, rows in groups.items():
        order, first, second = min(rows)
        places = tuple(
            dict.fromkeys(
                (one.rpartition(".")[0], other.rpartition(".")[0]) for _, one, other in sorted(rows)
            )
        )
        words = (
            f"{second} is frozen (requires_grad is False), {first} is trained"
            if trainable
            else f"{first} is frozen (stop_gradient is set), {second} is trained"
        )
        found.append(
            Finding("backward", "different", words, *places[0], places=places, order=order)
        )
    return found


# -- structural differences


@dataclass(frozen=True)
class _Where:
    """Which regions structural differences stand in."""

    check: RegionCheck
    matching: Matching
    claimed: tuple[Mapping[int, int], Mapping[int, int]]

    @classmethod
    def of(cls, check: RegionCheck, matching: Matching) -> _Where:
        return cls(check, matching, (claims(matching.first), claims(matching.second)))

    def regions(self, difference: Difference) -> list[RegionResult]:
        first, second = (
            own_native_of(normal, nodes_of(difference, side), self.claimed[side])
            for side, normal in enumerate((self.matching.first, self.matching.second))
        )
        return [
            result
            for result in self.check.results
            if not first.isdisjoint(result.first_nodes)
            or not second.isdisjoint(result.second_nodes)
        ]


def _built(
    where: _Where, matching: Matching, differences: Sequence[Difference]
) -> dict[int, Difference]:
    """How each region is built differently: what stands in no region that agrees before what does, then the
    first; at its place in that region."""
    found: dict[int, tuple[bool, Difference]] = {}
    for difference in differences:
        if difference.kind != "differently-built":
            continue
        apart = (
            [difference]
            if difference.native != (-1, -1)
            else [_at(difference, place, matching) for place in difference.places]
        )
        inside = [(one, result) for one in apart for result in where.regions(one)]
        harmless = any(result.verdict in ("equal", "rounding") for _, result in inside)
        for one, result in inside:
            if id(result) not in found or (found[id(result)][0] and not harmless):
                found[id(result)] = harmless, one
    return {key: difference for key, (_, difference) in found.items()}


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


def _structural(
    difference: Difference, results: Sequence[RegionResult], matching: Matching
) -> Finding | None:
    if difference.kind == "differently-built":
        return None
    differing = [result for result in results if result.verdict == "different"]
    unsure = [result for result in results if result.verdict == "not-comparable"]
    divergent = [
        result
        for result in results
        if result.verdict in ("framework-divergence", "framework-defect")
    ]
    first, second = _first(difference, matching), _second(difference, matching)
    order = _order(second, first, differing or results, matching)
    places = _places(difference, matching)
    ops, sources = (
        [_op(first, matching.first), _op(second, matching.second)],
        [first.source if first else "", second.source if second else ""],
    )
    for side, (normal, native) in enumerate(
        zip((matching.first, matching.second), difference.native, strict=True)
    ):
        if native >= 0:
            ops[side], sources[side] = (
                normal.graph.record(native).op,
                normal.graph.record(native).source,
            )
    base = Finding(
        "forward",
        "different",
        difference.cause,
        difference.first_path,
        difference.second_path,
        ops[0],
        ops[1],
        sources[0],
        sources[1],
        places=places,
        order=order,
    )
    if differing:
        part = max(
            (part for result in differing for part in result.parts if part.verdict == "different"),
            key=_weight,
        )
        verdict: Verdict = (
            "missing"
            if difference.kind == "missing"
            else "extra"
            if difference.kind == "extra"
            else "different"
        )
        base = replace(base, cause=_effect(difference.cause, part))
        return replace(
            base, phase=_phase(differing), verdict=verdict, error=part.error, relative=part.relative
        )
    if unsure:
        unasked = f"numbers could not be asked: {unsure[0].reason}"
        if difference.kind == "attribute" and _sure(difference, matching):
            return replace(base, phase="structure", advice=unasked)
        told = (
            f"these operations may not correspond, and {unasked}"
            if difference.kind == "attribute"
            else unasked
        )
        return replace(base, phase="structure", verdict="not-comparable", advice=told)
    if difference.kind == "attribute" and not divergent:
        return replace(
            base,
            phase="structure",
            verdict="suspicious",
            advice="it changes nothing on this input; check it with another input",
        )
    if difference.kind in ("missing", "extra") and results and not divergent:
        return replace(
            base,
            phase="structure",
            verdict="suspicious",
            advice="the regions around it agree on this input; check it with another input",
        )
    return None


def _sure(difference: Difference, matching: Matching) -> bool:
    """Whether at one of its places at least the operations surely correspond: else they are compared with what
    merely stands where they do, in another way of building the same."""
    nodes = set(nodes_of(difference, 0)), set(nodes_of(difference, 1))
    return any(
        match.confidence >= SURE
        for match in matching.matches
        if match.first in nodes[0] and match.second in nodes[1]
    )


EFFECTS = {
    "detach": "the gradient path is cut here: {cause} (detach, no_grad or stop_gradient)",
    "gradient_hook": "a gradient hook changes the gradient here: {cause}",
    "custom_function": "a custom backward function decides the gradient here: {cause}",
}
"""What a structural difference means, by a fragment of its cause."""


def _effect(cause: str, part: Part) -> str:
    """A structural cause with what it does, and with what the numbers add where the values alone say nothing."""
    for fragment, words in EFFECTS.items():
        if fragment in cause.lower():
            told = cause if words.partition(":")[0] in cause else words.format(cause=cause)
            return f"{told}; {part.probe.words}" if part.probe.kind == "hook" else told
    return cause


def _first(difference: Difference, matching: Matching) -> NormalNode | None:
    return matching.first.nodes[difference.first[0]] if difference.first else None


def _second(difference: Difference, matching: Matching) -> NormalNode | None:
    return matching.second.nodes[difference.second[0]] if difference.second else None


def _op(node: NormalNode | None, normal: NormalGraph) -> str:
    if node is None:
        return ""
    return normal.graph.record(node.native[-1]).op if node.native else node.op


def _order(
    second: NormalNode | None,
    first: NormalNode | None,
    results: Sequence[RegionResult],
    matching: Matching,
) -> int:
    """Position in the second's program: the node's own, else that of the region it stands in."""
    if second is not None and second.native:
        return max(second.native)
    return min((result.order for result in results), default=1 << 30)


def _places(difference: Difference, matching: Matching) -> tuple[tuple[str, str], ...]:
    places = [(difference.first_path, difference.second_path)]
    for one, other in difference.places:
        place = (
            matching.first.nodes[one].path if one >= 0 else difference.first_path,
            matching.second.nodes[other].path if other >= 0 else difference.second_path,
        )
        if place not in places:
            places.append(place)
    return tuple(places)


# -- differences without a structural one


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    op: str
    source: str


def _origin(result: RegionResult, check: RegionCheck) -> RegionResult:
    """The most upstream region behind which the values lie in another order, from a region that is astray."""
    of = {found.order: found for found in check.results}
    found, seen = result, {result.order}
    while True:
        above = [
            of[read] for read in found.reads if read in of and of[read].moved and read not in seen
        ]
        if not above:
            return found
        found = min(above, key=lambda region: region.order)
        seen.add(found.order)


def _numeric(
    result: RegionResult, matching: Matching, built: Difference | None, shown: RegionResult
) -> Finding:
    """`result` is the region of the place, `shown` the one that differs (most often the same); `built` is
    how the two sides of the region are built differently."""
    phase = _phase([shown])
    part = shown.worst()
    first, second = _place(result, matching, 0), _place(result, matching, 1)
    if shown.verdict == "not-comparable":
        return Finding(
            phase,
            "not-comparable",
            shown.reason or "could not be compared",
            first.path,
            second.path,
            first.op,
            second.op,
            first.source,
            second.source,
            places=((first.path, second.path),),
            order=result.order,
        )
    assert part is not None
    one, other = (
        (_first(built, matching), _second(built, matching)) if built is not None else (None, None)
    )
    pinned = (
        one is not None and other is not None and one.op == other.op
    )  # one matched operation that reads or does otherwise
    if pinned and one is not None and other is not None:
        first, second = (
            _Place(one.path, _op(one, matching.first), one.source),
            _Place(other.path, _op(other, matching.second), other.source),
        )
        if built is not None and min(built.native) >= 0:
            first, second = (
                _Place(record.path, record.op, record.source)
                for record in (
                    matching.first.graph.record(built.native[0]),
                    matching.second.graph.record(built.native[1]),
                )
            )
    cause, marked = _cause(result, part, matching, first, second, pinned)
    surplus = cause.partition(" ")[0] if cause.startswith(("extra ", "missing ")) else ""
    if built is not None and result.surplus is None:
        cause = f"{built.cause}; {cause}"
    first, second = marked[0] or first, marked[1] or second
    if shown is not result:
        turned = _turned(result, matching)
        cause, marked = turned if turned is not None else (cause, marked)
        first, second = marked[0] or first, marked[1] or second
        cause = f"{cause}; the order of the elements differs from here on, and {_place(shown, matching, 0).op} in {_place(shown, matching, 0).path or 'the root'} needs it"
    verdict: Verdict = "rounding" if shown.verdict == "equal" else shown.verdict
    if verdict == "different" and surplus:
        verdict = "extra" if surplus == "extra" else "missing"
    return Finding(
        phase, verdict, cause, first.path, second.path, first.op, second.op, first.source, second.source,
        part.error, part.relative, ((first.path, second.path),), order=result.order,
    )  # fmt: skip


def _cause(
    result: RegionResult,
    part: Part,
    matching: Matching,
    first: _Place,
    second: _Place,
    pinned: bool,
) -> tuple[str, tuple[_Place | None, _Place | None]]:
    """The sentence, and the places that it moves the finding to."""
    if part.kind in ("input", "parameter"):
        told = _marked(result, matching)
        if told is not None:
            cause, places = told
            return (f"{cause}: {part.probe.words}" if part.probe.words else cause), places
    words = part.probe.words
    if result.surplus is not None:
        return _left_out(result.surplus, matching)
    uneven = None if pinned else _uneven(result, matching)
    if uneven is not None:
        cause, places = uneven
        return (f"{cause}: {words}" if words else cause), places
    what = {
        "output": f"{first.op} in {first.path or 'the root'} {PLAIN} {second.op} in {second.path or 'the root'}",
        "buffer": f"the statistics {part.first} are updated otherwise than {part.second}",
        "input": f"the gradient that leaves {first.op} in {first.path or 'the root'} towards {part.first} differs",
        "parameter": f"the gradient of {part.first} differs from that of {part.second}",
    }[part.kind]
    lopsided = ""
    if result.reads_only_second and not words and part.kind == "output":
        lopsided = f"; only the second side reads {', '.join(result.reads_only_second)}"
    elif result.reads_only_first and not words and part.kind == "output":
        lopsided = f"; only the first side reads {', '.join(result.reads_only_first)}"
    return (f"{what}: {words}" if words else f"{what}{lopsided}"), (None, None)


def _marked(
    result: RegionResult, matching: Matching
) -> tuple[str, tuple[_Place | None, _Place | None]] | None:
    """A hook, a custom backward or a cut gradient path that one side has and the other has not."""
    found: list[list[tuple[str, Node]]] = []
    for normal, numbers in (
        (matching.first, result.first_nodes),
        (matching.second, result.second_nodes),
    ):
        marks = []
        for number in numbers:
            record = normal.graph.record(number)
            for mark in MARKS:
                if mark in record.marks:
                    marks.append((mark, record))
                    break
            else:
                if any(fragment in record.op for fragment in CUTTING):
                    marks.append(("no_grad", record))
        found.append(marks)
    kinds = [{mark for mark, _ in marks} for marks in found]
    for side, name in ((0, "first"), (1, "second")):
        own = [(mark, record) for mark, record in found[side] if mark not in kinds[1 - side]]
        if own:
            mark, record = own[0]
            place = _Place(record.path, record.op, record.source)
            words = f"{MARKS[mark].format(op=record.op)} on the {name} side only"
            return words, ((place, None) if side == 0 else (None, place))
    return None


TELLING = (
    "flip",
    "roll",
    "slice",
    "pad",
    "cat",
    "dropout",
    "clip",
    "clamp",
    "pixel_shuffle",
    "pixel_unshuffle",
    "tril",
    "triu",
    "cast",
    "gather",
    "index_select",
    "transpose",
    "mul",
)
"""Operators whose surplus on one side of a differing region is worth naming; from the most telling on."""


def _left_out(
    surplus: Surplus, matching: Matching
) -> tuple[str, tuple[_Place | None, _Place | None]]:
    """The operation without which both sides agree."""
    record = (matching.first, matching.second)[surplus.side].graph.record(surplus.node)
    place = _Place(record.path, record.op, record.source)
    deed = f", which hands on {surplus.deed}" if surplus.deed else ""
    cause = f"{('extra', 'missing')[surplus.side]} {_title(record.op)}: without {record.op} in {record.path or 'the root'} of the {('first', 'second')[surplus.side]} side{deed}, both sides agree"
    return cause, ((place, None) if surplus.side == 0 else (None, place))


def _turned(
    result: RegionResult, matching: Matching
) -> tuple[str, tuple[_Place | None, _Place | None]] | None:
    """The one operation of a region that turns what keeps its shape."""
    found = turning(
        (matching.first.graph, matching.second.graph), (result.first_nodes, result.second_nodes)
    )
    if found is None:
        return None
    side, record = found
    place = _Place(record.path, record.op, record.source)
    words = f"{('extra', 'missing')[side]} {_title(record.op)}: {record.op} in {record.path or 'the root'} of the {('first', 'second')[side]} side turns a value that keeps its shape"
    return words, ((place, None) if side == 0 else (None, place))


def _title(op: str) -> str:
    return plain_name(op).title().replace("_", "")


def _uneven(
    result: RegionResult, matching: Matching
) -> tuple[str, tuple[_Place | None, _Place | None]] | None:
    """An operation that one side has more of, where nothing else explains a difference."""
    sides = []
    equal = _read_alike(result, matching)
    for side, (normal, numbers) in enumerate(
        ((matching.first, result.first_nodes), (matching.second, result.second_nodes))
    ):
        by: dict[str, list[Node]] = {}
        for number in numbers:
            record = normal.graph.record(number)
            idle = (
                "dropout" in record.op and "random" not in record.marks
            )  # out of training it hands on what it gets
            if record.constant is None and not idle and number not in equal[side]:
                by.setdefault(plain_name(record.op), []).append(record)
        sides.append(by)
    for name in TELLING:
        ones, others = sides[0].get(name, []), sides[1].get(name, [])
        if len(ones) == len(others) or (ones and others):
            continue
        record = (ones or others)[-1]
        place = _Place(record.path, record.op, record.source)
        owner = "first" if ones else "second"
        return (
            f"{'extra' if ones else 'missing'} {_title(record.op)}: {record.op} in {record.path or 'the root'} stands on the {owner} side only",
            ((place, None) if ones else (None, place)),
        )
    return None


def _read_alike(result: RegionResult, matching: Matching) -> tuple[set[int], set[int]]:
    """Native operations between matched ones that come to the same on both sides: movement of operands that
    are read alike, however many operations each side takes for it."""
    inside = set(result.second_nodes)
    found: tuple[set[int], set[int]] = (set(), set())
    for match in matching.matches:
        a, b = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if inside.isdisjoint(b.native):
            continue
        for x, y in match.operands:
            one, other = a.inputs[x], b.inputs[y]
            if (
                one is None
                or other is None
                or one.view is None
                or other.view is None
                or one.view.size != other.view.size
                or one.view.source != other.view.source
            ):
                continue
            if one.view.reshape(other.view.shape).same(other.view):
                found[0].update(one.through)
                found[1].update(other.through)
    return found


def _place(result: RegionResult, matching: Matching, side: int) -> _Place:
    """The operation that a region is about: its earliest one without a counterpart, else the one that yields its result."""
    normal = (matching.first, matching.second)[side]
    numbers = (result.first_nodes, result.second_nodes)[side]
    matched = {match.first if side == 0 else match.second for match in matching.matches}
    alone = [
        node
        for node in normal.nodes
        if not node.leaf
        and node.id not in matched
        and node.native
        and set(node.native) <= set(numbers)
    ]
    if alone:
        node = alone[0]
        return _Place(node.path, _op(node, normal), node.source)
    own = (result.first_normal, result.second_normal)[side]
    if own:
        node = normal.nodes[own[-1]]
        return _Place(node.path, _op(node, normal), node.source)
    if numbers:
        record = normal.graph.record(numbers[-1])
        return _Place(record.path, record.op, record.source)
    return _Place("", "", "")


def _phase(results: Sequence[RegionResult]) -> Phase:
    forward = any(
        part.kind in ("output", "buffer") and part.verdict not in ("equal", "rounding")
        for result in results
        for part in result.parts
    )
    compared = any(
        part.verdict not in ("equal", "rounding") for result in results for part in result.parts
    )
    return "forward" if forward or not compared else "backward"


def _weight(part: Part) -> float:
    return part.relative


def _together(findings: Sequence[Finding]) -> list[Finding]:
    """Findings of one cause at several places become one, at the most upstream place."""
    kept: dict[tuple[object, ...], Finding] = {}
    for finding in sorted(findings, key=lambda finding: finding.order):
        stem = finding.cause
        for word in (finding.paddle_path, finding.torch_path):
            stem = stem.replace(word, "") if word else stem
        if finding.verdict == "different" and PLAIN in finding.cause and ":" not in finding.cause:
            kept[id(finding),] = finding
            continue
        key = (
            finding.phase,
            finding.verdict,
            finding.paddle_op,
            finding.torch_op,
            "".join(c for c in stem if not c.isdigit() and c not in ".-+e"),
        )
        if key in kept:
            known = kept[key]
            kept[key] = replace(
                known,
                places=(
                    *known.places,
                    *(place for place in finding.places if place not in known.places),
                ),
                error=max(known.error, finding.error),
                relative=max(known.relative, finding.relative),
            )
        else:
            kept[key] = finding
    return list(kept.values())
