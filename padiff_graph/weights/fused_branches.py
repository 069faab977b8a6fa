"""Branches that one model adds up where the other has one convolution or linear layer, as a
re-parameterised block is deployed: kernels with their norms in evaluation mode, a norm of the input
itself, all of one value.

No row of a map leads from the ones' weights to the other's, but what the branches add up to is one
convolution, whose weights are worked out. Only sums of two kernels and more are taken so: one
kernel and a norm behind it, of which the other model has the kernel alone, is a norm left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.diagnosis.finding_places import Place, finding_at
from padiff_graph.diagnosis.merging import merged
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding, Verdict
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import RegionCheck
from padiff_graph.weights.assignment import new_values
from padiff_graph.weights.linear_forms import KERNELS, Form, Stretch

__all__ = [
    "FUSED",
    "Fusion",
    "branch_findings",
    "can_hold",
    "fusions",
    "with_branches",
    "without_told",
]

FUSED = (
    "one model computes as one operation what branches of the other add up to; each side ran with "
    "the weights that it holds",
    "the first model computes as one operation what branches of the second add up to; weights for "
    "it were worked out of theirs, and each side ran with its own",
)
"""Where weights are not copied, and where they are."""
LEAST = 1e-9
"""Share of the largest number of a kernel below which another is zero: what float64 leaves of sums
that cancel."""
ALLOWED = 2e-6
"""Share of the largest weight up to which weights fused in float32 are the same; as of
`folded_weights`."""
ADVICE = {
    "different": "mend the fusion: window, strides and groups, and the weights that it is given",
    "not-comparable": (
        "load weights of one training into both, fused where a model is, and check with "
        "auto_weights=False"
    ),
}


_Partner = tuple[int, Mapping[int, int]]


@dataclass(frozen=True)
class Fusion:
    """One operation of one model, and the branches of the other that it stands for.

    Attributes:
        side: the model that has the one operation.
        node: the operation.
        end: what adds the branches up, in the other graph.
        branches: the operations that are added up there.
        values: the operation's weights by name, as the branches give them; None where it can hold
            none that do.
        why: what keeps it from that.
        apart: where the operation holds other weights than those: the largest difference, the
            largest weight, and the module that was left out of them, "" where none explains it.
    """

    side: int
    node: int
    end: int
    branches: frozenset[int]
    values: Mapping[str, Array] | None
    why: str = ""
    apart: tuple[float, float, str] | None = None


def fusions(matching: Matching, engines: tuple[Engine, Engine]) -> tuple[Fusion, ...]:
    """Every operation without a counterpart that stands for branches of the other model; none where
    some weight without a counterpart has nothing to do with them."""
    lost = {row.first for row in matching.parameters if row.status == "open"}
    if not lost or not matching.unused_second:
        return ()
    weights = [
        {name: engine.array(tensor) for name, tensor in engine.parameters().items()}
        for engine in engines
    ]
    found = [
        fusion for side in (0, 1) for fusion in _fusions(matching, side, (weights[0], weights[1]))
    ]
    read: tuple[set[str], set[str]] = set(), set()
    for fusion in found:
        graphs = (matching.first, matching.second)
        read[fusion.side].update(_names(graphs[fusion.side], [fusion.node]))
        read[1 - fusion.side].update(_names(graphs[1 - fusion.side], fusion.branches))
    unread = set(matching.unread_second)
    complete = lost <= read[0] and set(matching.unused_second) - unread <= read[1]
    return tuple(found) if complete else ()


def _fusions(
    matching: Matching, side: int, weights: tuple[Mapping[str, Array], Mapping[str, Array]]
) -> Iterator[Fusion]:
    graphs = matching.first, matching.second
    own, other = graphs[side], graphs[1 - side]
    partner = _partners(matching, side)
    taken = {match for match, _ in partner.values()}
    users, theirs = own.users(), other.users()
    for node in own.nodes:
        matched = partner[node.id][0] if node.id in partner else None
        if node.op not in KERNELS or (matched is not None and other.nodes[matched].op != "Add"):
            continue
        source = _plain(node.inputs[0])
        if source is None or source not in partner:
            continue
        start = partner[source][0]
        stretch = Stretch(other, start, weights[1 - side], node.op == "Linear")
        end = _end(node, partner, users, graphs, side) if matched is None else matched
        if end is None:
            end = _last_sum(stretch, taken)
        if end is None or (end in taken and end != matched):
            continue
        form = stretch.form(end)
        if form is None or len(form.kernels) < 2 or form.shift.shape != _channels(node):
            continue
        branches = _behind(other, end, start)
        if not any(other.nodes[branch].op == "Add" for branch in branches):
            continue
        if _again(other, branches):  # a layer called twice is no branch that somebody merged
            continue
        values, why = _fitted(own, node, form, weights[side])
        fusion = Fusion(side, node.id, end, branches, values, why)
        apart = None if values is None else _apart(fusion, stretch, own, weights[side])
        yield replace(fusion, apart=apart)
        readers = [[user for user, _ in users[node.id]], [user for user, _ in theirs[end]]]
        if all(len(one) == 1 for one in readers) and readers[1][0] not in taken:
            partner.setdefault(readers[0][0], (readers[1][0], {}))


def can_hold(fusion: Fusion, copied: bool) -> bool:
    """Whether the operation can hold what the branches add up to, and it is known what each holds:
    of one weight that is `copied` into branches nothing says how it is spread over them."""
    return fusion.values is not None and not (copied and fusion.side)


def with_branches(alignment: Alignment, found: Sequence[Fusion]) -> dict[str, Array]:
    """The second model's weights as the first holds them, by the map and by what branches add up
    to."""
    rows = [row for row in alignment.matching.parameters if row.pieces]
    values = new_values(rows, *alignment.engines)
    for fusion in found:
        values.update(fusion.values or {})
    return values


def _partners(matching: Matching, side: int) -> dict[int, _Partner]:
    """By node of one side that of the other, with its operands by those of the one."""
    if side == 0:
        return {match.first: (match.second, dict(match.operands)) for match in matching.matches}
    return {
        match.second: (match.first, {theirs: ours for ours, theirs in match.operands})
        for match in matching.matches
    }


def _end(
    node: NormalNode,
    partner: Mapping[int, _Partner],
    users: list[list[tuple[int, int]]],
    graphs: tuple[NormalGraph, NormalGraph],
    side: int,
) -> int | None:
    """The one node of the other graph that what reads the operation reads there."""
    own, other = graphs[side], graphs[1 - side]
    ends: set[int | None] = set()
    for user, position in users[node.id]:
        if user not in partner:
            return None
        reader, operands = partner[user]
        at = operands.get(position, position)
        inputs = other.nodes[reader].inputs
        ends.add(_plain(inputs[at]) if at < len(inputs) else None)
    for one, another in zip(own.outputs.values(), other.outputs.values(), strict=False):
        if one.source == node.id:
            ends.add(_plain(another))
    return ends.pop() if len(ends) == 1 else None


def _last_sum(stretch: Stretch, taken: Set[int]) -> int | None:
    """The one sum of branches that no other one of the same value adds up further, where what reads
    the operation has no counterpart."""
    normal = stretch.normal
    sums = [
        node.id
        for node in normal.nodes[stretch.source + 1 :]
        if node.op == "Add" and node.id not in taken and stretch.form(node.id) is not None
    ]
    inner = {other for one in sums for other in _behind(normal, one, stretch.source) - {one}}
    last = [one for one in sums if one not in inner]
    return last[0] if len(last) == 1 else None


def _plain(edge: Edge | None) -> int | None:
    """What an operand reads as it is."""
    if edge is None or edge.view is None or not edge.view.identity or edge.output:
        return None
    return edge.source if (edge.scale, edge.shift) == (1.0, 0.0) else None


def _channels(node: NormalNode) -> tuple[int]:
    shape = node.outputs[0].shape
    return (shape[-1] if node.op == "Linear" else shape[1],)


def _behind(normal: NormalGraph, end: int, start: int) -> frozenset[int]:
    """The operations between two values."""
    found: set[int] = set()
    waiting = [end]
    while waiting:
        at = waiting.pop()
        if at == start or at in found or normal.nodes[at].leaf:
            continue
        found.add(at)
        waiting += [edge.source for edge in normal.nodes[at].inputs if edge is not None]
    return frozenset(found)


def _names(normal: NormalGraph, nodes: frozenset[int] | list[int]) -> set[str]:
    """The parameters that some operations read."""
    edges = [edge for node in nodes for edge in normal.nodes[node].inputs if edge is not None]
    return {
        normal.nodes[edge.source].name
        for edge in edges
        if normal.nodes[edge.source].op == "Parameter"
    }


def _again(normal: NormalGraph, branches: frozenset[int]) -> bool:
    """Whether several of some operations read the same parameter."""
    names = [name for branch in branches for name in _names(normal, [branch])]
    return len(set(names)) < len(names)


# -- the weights


def _fitted(
    normal: NormalGraph, node: NormalNode, form: Form, weights: Mapping[str, Array]
) -> tuple[dict[str, Array] | None, str]:
    """The operation's weights that compute a form, else what keeps it from that."""
    kernel, why = form.kernel, ""
    edges = node.inputs[1:]
    if node.op == "Conv":
        kernel, why = _windowed(node, form, _shape(edges[0]))
    else:
        kernel = kernel.T
    if why:
        return None, why
    if len(edges) < 2 or edges[1] is None:
        if form.shift.any():
            return None, "it has no bias, and they add a shift"
        edges = edges[:1]
    values: dict[str, Array] = {}
    for edge, numbers in zip(edges, (kernel, form.shift), strict=False):
        assert edge is not None
        name = normal.nodes[edge.source].name
        unscaled = (edge.scale, edge.shift) == (1.0, 0.0)
        if name not in weights or name in values or not unscaled or edge.view is None:
            return None, "its weights are computed before they are read"
        filled = np.array(weights[name])
        if edge.view.size != filled.size or numbers.size != filled.size:
            return None, "its weight is of another size"
        edge.view.scatter(filled, numbers.reshape(edge.view.shape).astype(filled.dtype))
        values[name] = filled
    return values, ""


def _shape(edge: Edge | None) -> tuple[int, ...]:
    return () if edge is None or edge.view is None else edge.view.shape


def _windowed(node: NormalNode, form: Form, shape: tuple[int, ...]) -> tuple[Array, str]:
    """The form's kernel as the operation's window and groups hold it, or what they cannot."""
    axes = len(form.space)
    strides, dilations = tuple(node.attrs["strides"]), tuple(node.attrs["dilations"])
    pads, group = tuple(node.attrs["pads"][:axes]), int(node.attrs["group"])
    if strides != form.strides:
        return form.kernel, f"its strides are {list(strides)}, and theirs {list(form.strides)}"
    if tuple(node.outputs[0].shape[2:]) != form.space:
        return form.kernel, f"with pads {list(pads)} it yields fewer or more places than they do"
    out, inside, *places = shape
    wide = np.zeros((out, inside * group, *places))
    least = LEAST * float(np.abs(form.kernel).max(initial=0.0))
    for at in np.argwhere(np.abs(form.kernel) > least):
        where = [
            int(place) + pad - lead
            for place, pad, lead in zip(at[2:], pads, form.lead, strict=True)
        ]
        inner = [place // step for place, step in zip(where, dilations, strict=True)]
        apart = any(place % step for place, step in zip(where, dilations, strict=True))
        if apart or any(not 0 <= one < count for one, count in zip(inner, places, strict=True)):
            return form.kernel, (
                f"its window {list(places)} with pads {list(pads)} and dilations {list(dilations)} "
                "leaves out places that they read"
            )
        wide[tuple([at[0], at[1], *inner])] = form.kernel[tuple(at)]
    kernel = np.zeros(shape)
    for one in range(group):
        rows = slice(one * out // group, (one + 1) * out // group)
        kernel[rows] = wide[rows, one * inside : (one + 1) * inside]
    if np.count_nonzero(kernel) != np.count_nonzero(wide):
        return form.kernel, f"its {group} groups leave out channels that they read"
    return kernel, ""


def _apart(
    fusion: Fusion, stretch: Stretch, own: NormalGraph, held: Mapping[str, Array]
) -> tuple[float, float, str] | None:
    """How far the weights that the operation holds are from those that it should; None where they
    are these but for rounding."""
    assert fusion.values is not None
    error, scale = _difference(fusion.values, held)
    if error <= ALLOWED * scale:
        return None
    total = stretch.normal.nodes[fusion.end]
    for left_out, edge in enumerate(total.inputs if total.op == "Add" else ()):
        rest = tuple(other for at, other in enumerate(total.inputs) if at != left_out)
        form = stretch.made(replace(total, inputs=rest))
        if form is None or edge is None:
            continue
        values, _ = _fitted(own, own.nodes[fusion.node], form, held)
        if values is not None and _difference(values, held)[0] <= ALLOWED * scale:
            return error, scale, stretch.normal.nodes[edge.source].path
    return error, scale, ""


def _difference(values: Mapping[str, Array], held: Mapping[str, Array]) -> tuple[float, float]:
    """The largest difference of weights, and the largest of them."""
    errors = [float(np.abs(values[name] - held[name]).max(initial=0.0)) for name in values]
    scales = [float(np.abs(values[name]).max(initial=0.0)) for name in values]
    return max(errors), max(*scales, np.finfo(np.float32).tiny)


# -- what is to be said


def branch_findings(found: Sequence[Fusion], matching: Matching, held: bool) -> tuple[Finding, ...]:
    """What is to be said of operations that stand for branches.

    One that can hold no weights that do is different. Where both models are compared with the
    weights that they hold, so is one that `held` others. Elsewhere nothing says what each branch
    of the first model should hold of the second's one weight.
    """
    told = []
    for fusion in found:
        if fusion.values is None:
            told.append(_finding(fusion, matching, "different", "branches.unfit", text=fusion.why))
        elif not held:
            told.append(_finding(fusion, matching, "not-comparable", "branches.apart"))
        elif fusion.apart is not None:
            error, scale, left_out = fusion.apart
            more = {"left_out": left_out} if left_out else {}
            told.append(
                replace(
                    _finding(
                        fusion, matching, "different", "branches.other_weights", error=error,
                        scale=scale, **more,
                    ),
                    error=error,
                    relative=error / scale,
                )
            )  # fmt: skip
    return tuple(merged(told))


def without_told(regions: RegionCheck, found: Sequence[Fusion], matching: Matching) -> RegionCheck:
    """The results without those of operations that are known to hold other weights than the
    branches that they stand for: that is why they differ."""
    graphs = matching.first, matching.second
    told = [
        (fusion.side, set(graphs[fusion.side].nodes[fusion.node].native))
        for fusion in found
        if fusion.apart is not None
    ]
    results = tuple(
        result
        for result in regions.results
        if not any(
            natives & set((result.first_nodes, result.second_nodes)[side]) for side, natives in told
        )
    )
    return replace(regions, results=results)


def _finding(
    fusion: Fusion, matching: Matching, verdict: Verdict, kind: str, **facts: object
) -> Finding:
    graphs = matching.first, matching.second
    own, other = graphs[fusion.side], graphs[1 - fusion.side]
    node, end = own.nodes[fusion.node], other.nodes[fusion.end]
    modules = [
        other.nodes[at].path for at in sorted(fusion.branches) if other.nodes[at].op != "Add"
    ]
    cause = Cause.of(
        kind, side=fusion.side, path=node.path, op=node.op,
        modules=tuple(dict.fromkeys(modules)), **facts,
    )  # fmt: skip
    places = Place.of_node(node, own), Place.of_node(end, other)
    order = fusion.node if fusion.side else fusion.end
    pair = places if fusion.side == 0 else (places[1], places[0])
    found = finding_at(pair, "weights", verdict, cause, matching, order)
    return replace(found, advice=ADVICE[verdict])
