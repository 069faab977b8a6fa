"""What both models' runs left behind, held against each other: attributes, buffers, parameters,
inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from padiff_graph.capture.engine import Engine
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding, Verdict
from padiff_graph.matching.result import Matching
from padiff_graph.obligations.left_behind import Leaves, LeftBehind, Place, attribute_now
from padiff_graph.obligations.mode_findings import BEHIND, MODE, counterparts, mode_findings
from padiff_graph.obligations.state_values import ROUNDING, apart, same_values, unlike

__all__ = ["Runs", "kept_places", "state_findings"]

SHOWN = (bool, int, float, str)
"""Values that a sentence shows."""
ONCE = "check whether the next call reads it"


@dataclass(frozen=True)
class Runs:
    """Both models with what a run of each left behind.

    Attributes:
        matching, engines: of the two models.
        left: what was left behind.
        inputs: which input leaves correspond, (first, second).
        drawn: places of each model whose values depend on random draws.
        random: whether the runs drew random numbers of their own.
    """

    matching: Matching
    engines: tuple[Engine, Engine]
    left: tuple[LeftBehind, LeftBehind]
    inputs: Sequence[tuple[str, str]] = ()
    drawn: tuple[frozenset[Place], frozenset[Place]] = (frozenset(), frozenset())
    random: bool = False

    @property
    def normals(self) -> tuple[NormalGraph, NormalGraph]:
        """Both graphs."""
        return self.matching.first, self.matching.second


def state_findings(runs: Runs) -> list[Finding]:
    """All that the runs left otherwise than each other."""
    return [
        *_kept(runs),
        *mode_findings(runs.matching, runs.engines, runs.left),
        *_written_in_backward(runs),
        *_parameters(runs),
        *_inputs(runs),
        *_containers(runs),
    ]


def kept_places(runs: Runs) -> tuple[dict[Place, Leaves], dict[Place, Leaves]]:
    """What each run left in attributes and buffers, those of norms left out: running statistics are
    compared with what updates them. Modes are held against each other by themselves."""
    first, second = (_without_norms(runs, side) for side in (0, 1))
    return first, second


def _without_norms(runs: Runs, side: int) -> dict[Place, Leaves]:
    norms = _norms(runs.normals[side])
    changed = runs.left[side].attributes
    return {
        place: leaves
        for place, leaves in changed.items()
        if place[0] not in norms and place[1] != MODE
    }


def _norms(normal: NormalGraph) -> set[str]:
    """Modules that own the running statistics of a batch normalisation."""
    return {
        normal.nodes[edge.source].name.rpartition(".")[0]
        for node in normal.nodes
        if node.op == "BatchNormalization"
        for edge in node.inputs[3:5]
        if edge is not None and normal.nodes[edge.source].op == "Parameter"
    }


# -- attributes and buffers


def _kept(runs: Runs) -> Iterator[Finding]:
    changed = kept_places(runs)
    there, back = counterparts(runs.matching)
    pairs = dict.fromkeys(
        [
            *(((owner, name), (there.get(owner, owner), name)) for owner, name in changed[0]),
            *(((back.get(owner, owner), name), (owner, name)) for owner, name in changed[1]),
        ]
    )
    for pair in pairs:
        if pair[0] not in runs.drawn[0] and pair[1] not in runs.drawn[1]:
            yield from _compared(runs, pair)


def _compared(runs: Runs, pair: tuple[Place, Place]) -> Iterator[Finding]:
    """One attribute of two corresponding modules, where at least one of them changed it. A norm's
    own statistics stand against those that the other model writes by itself."""
    now = [attribute_now(engine, place) for engine, place in zip(runs.engines, pair, strict=True)]
    after = [runs.left[side].attributes.get(pair[side], now[side]) for side in (0, 1)]
    for side in (0, 1):
        if after[side] is None:
            yield _one_sided(runs, pair, 1 - side)
            return
    ours, theirs = after[0] or {}, after[1] or {}
    way = unlike(ours, theirs)
    if way is None or not _began_alike(now[0], now[1]):
        return
    names = [_named(place, way) for place in pair]
    values = ours.get(way), theirs.get(way)
    facts: dict[str, object] = {"first_name": names[0], "second_name": names[1]}
    if all(isinstance(value, SHOWN) for value in values):
        facts |= {"first_value": values[0], "second_value": values[1]}
    kind = "buffer.written" if _are_buffers(runs, pair) else "state.attribute"
    yield _finding(runs, "different", Cause.of(kind, **facts), pair[0][0], pair[1][0])


def _began_alike(ours: Leaves | None, theirs: Leaves | None) -> bool:
    """Whether both held the same before, as far as both held something."""
    if not ours or not theirs or ours.get("", 0) is None or theirs.get("", 0) is None:
        return True
    return not _arrays_differ(ours, theirs)


def _arrays_differ(ours: Leaves, theirs: Leaves) -> bool:
    common = ours.keys() & theirs.keys()
    return not same_values({way: ours[way] for way in common}, {way: theirs[way] for way in common})


def _one_sided(runs: Runs, pair: tuple[Place, Place], side: int) -> Finding:
    name = _named(pair[side], "")
    cause = Cause.of("state.attribute", side=side, parameter=name)
    return _finding(runs, "suspicious", cause, pair[0][0], pair[1][0])


def _named(place: Place, way: str) -> str:
    return ".".join(part for part in (*place, way.removeprefix(".")) if part)


def _are_buffers(runs: Runs, pair: tuple[Place, Place]) -> bool:
    return all(
        _named(place, "") in normal.graph.parameters
        for place, normal in zip(pair, runs.normals, strict=True)
    )


# -- buffers that recomputation writes again


def _written_in_backward(runs: Runs) -> Iterator[Finding]:
    """Buffers that one backward writes once more: a block that is recomputed counts its batch
    twice."""
    again = [left.in_backward for left in runs.left]
    for row in runs.matching.parameters:
        for piece in row.pieces:
            wrote = row.first in again[0], piece.second in again[1]
            if wrote[0] != wrote[1]:
                side = 0 if wrote[0] else 1
                name = (row.first, piece.second)[side]
                cause = Cause.of("buffer.written_again", side=side, parameter=name)
                owners = _owner(row.first), _owner(piece.second)
                yield _finding(runs, "different", cause, *owners, phase="backward")
                return


# -- parameters


def _parameters(runs: Runs) -> Iterator[Finding]:
    ours, theirs = (left.parameters for left in runs.left)
    for row in runs.matching.parameters:
        names = [piece.second for piece in row.pieces]
        wrote = row.first in ours, any(name in theirs for name in names)
        if not names or not any(wrote):
            continue
        owners = _owner(row.first), _owner(names[0])
        if wrote[0] != wrote[1]:
            side = 0 if wrote[0] else 1
            name = (row.first, names[0])[side]
            cause = Cause.of("state.parameter_written", side=side, parameter=name)
            yield _finding(runs, "different", cause, *owners)
        elif all(name in theirs for name in names):
            own = ours[row.first]
            if apart(own, mapped(row, own, theirs)) > ROUNDING:
                facts = {"first_name": row.first, "second_name": names[0]}
                cause = Cause.of("state.parameter_written", **facts)
                yield _finding(runs, "different", cause, *owners)


# -- inputs


def _inputs(runs: Runs) -> Iterator[Finding]:
    ours, theirs = (left.inputs for left in runs.left)
    for first, second in runs.inputs:
        if (first in ours) != (second in theirs):
            side = 0 if first in ours else 1
            cause = Cause.of("state.input_written", side=side, name=(first, second)[side])
            yield _finding(runs, "different", cause, "", "")
        elif first in ours and apart(ours[first], theirs[second]) > ROUNDING:
            cause = Cause.of("state.input_written", first_name=first, second_name=second)
            yield _finding(runs, "different", cause, "", "")


def _containers(runs: Runs) -> Iterator[Finding]:
    """Lists and dicts that both models are handed: what one of them puts in or takes out, its
    caller finds there afterwards."""
    ours, theirs = (left.containers for left in runs.left)
    pairs = [(name, name) for name in ours if name in theirs]
    if not pairs and len(ours) == len(theirs):
        pairs = list(zip(ours, theirs, strict=True))
    for first, second in pairs:
        mine, other = ours[first], theirs[second]
        if mine is not None and other is not None:
            if not runs.random and unlike(mine, other) is not None:
                cause = Cause.of("state.container", first_name=first, second_name=second)
                yield _finding(runs, "different", cause, "", "")
        elif mine is not None or other is not None:
            side = 0 if mine is not None else 1
            cause = Cause.of("state.container", side=side, name=(first, second)[side])
            yield _finding(runs, "different", cause, "", "")


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _finding(
    runs: Runs,
    verdict: Verdict,
    cause: Cause,
    first_path: str,
    second_path: str,
    *,
    phase: str = "forward",
) -> Finding:
    advice = ONCE if verdict == "suspicious" else ""
    return Finding(
        phase,  # type: ignore[arg-type]
        verdict,
        cause,
        first_path,
        second_path,
        places=((first_path, second_path),),
        advice=advice,
        order=BEHIND,
        frameworks=runs.matching.frameworks,
    )
