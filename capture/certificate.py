"""The proof that a capture is faithful: the graph is replayed and held against the eager run.

Compared are the outputs, what the run writes to buffers, and the gradients of inputs and
parameters under random cotangents, or under a loss's own where they are equal bit for bit; both
runs start from the same random state, so that random operations draw alike. A gradient that does
not arrive counts as zero.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from padiff_graph.capture.certified_replay import Further, replay
from padiff_graph.capture.departure import where_it_departs
from padiff_graph.capture.eager_run import (
    KINDS,
    Eager,
    Quantities,
    eager_run,
    moved_by_rounding,
)
from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.late_array import LateArray
from padiff_graph.capture.remote.whole import asked_whole, is_away
from padiff_graph.capture.remote.wire import crossing
from padiff_graph.capture.replay_difference import (
    identical,
    judge,
    relative_errors,
    tolerance_of,
)

__all__ = ["Certificate", "certify"]


@crossing
@dataclass(frozen=True)
class Certificate:
    """What the replay of a capture showed.

    Attributes:
        valid: whether the graph computes what the model computes.
        certified: whether it could be replayed at all; `valid` is False where it could not.
        errors: for each of `KINDS` the largest difference relative to the largest value.
        counts: for each of `KINDS` how many arrays were compared.
        reasons: what differs, or why nothing could be compared, in sentences.
        backward: whether gradients were compared.
        seconds: time the certificate took.
    """

    valid: bool
    certified: bool = True
    errors: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    backward: bool = True
    seconds: float = 0.0

    def __str__(self) -> str:
        reasons = "; ".join(self.reasons)
        if not self.certified:
            return f"not possible: {reasons}"
        if not self.valid:
            return f"differs: {reasons}"
        compared = ", ".join(_counted(count, kind) for kind, count in self.counts.items() if count)
        largest = max(self.errors.values(), default=0.0)
        return f"equal in {compared}; largest relative difference {largest:.2g}"


def certify(
    graph: ComputationGraph,
    engine: Engine,
    example: Mapping[str, Any],
    *,
    seed: int = 0,
    eager: Eager | None = None,
    further: Further | None = None,
) -> Certificate:
    """Replays a graph against its model.

    Args:
        graph: the capture, with its session.
        engine: the model's engine.
        example: the example that the capture was made with.
        seed: of the cotangents.
        eager: the eager run to hold the replay against, where it was made already with the weights
            as they are. Where it is one that the replay has to equal bit for bit and does not,
            another is made.
        further: other cotangents that the replay is differentiated under on the way; not where the
            model is called back in a backward.
    """
    if is_away(engine):
        seeds = None if further is None else dict(further.seeds)
        there, noted, yielded = _certified_there(graph, engine, example, seed, eager, seeds)
        graph.notes.extend(noted)
        if further is not None and yielded is not None:
            further.told(yielded)
        return there
    started = time.perf_counter()
    if graph.session is not None and graph.session.abstract:
        return _impossible(
            "the model or the example has shapes and no numbers, so that nothing can be run",
            backward=False,
        )
    written = _written_late(graph, engine)
    if written:
        return _impossible(
            f"the model writes its parameter {written[0]}, whose numbers are in a file",
            backward=False,
        )
    if eager is None:
        eager = eager_run(graph, engine, example, seed)
    if graph.calls_back:
        further = None
    certificate = _against(eager, graph, engine, example, further)
    if certificate is None:
        certificate = _against(eager_run(graph, engine, example, seed), graph, engine, example)
        assert certificate is not None  # only an exact run is asked for another
    return replace(certificate, seconds=time.perf_counter() - started)


def _written_late(graph: ComputationGraph, engine: Engine) -> list[str]:
    """Parameters that a run writes though they are read anew for each reader."""
    if not graph.updates:
        return []
    own = engine.parameters()
    return [name for name in graph.updates if isinstance(own.get(name), LateArray)]


@asked_whole
def _certified_there(
    graph: ComputationGraph,
    engine: Engine,
    example: Mapping[str, Any],
    seed: int,
    eager: Eager | None,
    seeds: Mapping[str, Array] | None,
) -> tuple[Certificate, list[str], Quantities | None]:
    """The certificate by the process of the model, what it noted of the graph, and what the replay
    yields under further cotangents."""
    before = len(graph.notes)
    yielded: list[Quantities] = []
    further = None if seeds is None else Further(seeds, yielded.append)
    certificate = certify(graph, engine, example, seed=seed, eager=eager, further=further)
    return certificate, graph.notes[before:], next(iter(yielded), None)


def _against(
    eager: Eager,
    graph: ComputationGraph,
    engine: Engine,
    example: Mapping[str, Any],
    further: Further | None = None,
) -> Certificate | None:
    """The certificate by one eager run; None where it has to be equal bit for bit and is not."""
    backward = not eager.ungraded
    if not backward and graph.framework != "onnx":
        graph.notes.append(f"gradients are not certified, eager mode has none: {eager.ungraded}")
    seeds = eager.seeds if backward else None
    try:
        with engine.quiet(values=graph.calls_back):
            replayed = replay(graph, engine, seeds, eager.differentiable, further)
    except NotRunnable as error:
        return _impossible(f"the graph cannot be replayed: {error}", backward=backward)
    ours = eager.quantities(graph.parameters)
    replayed = _with_standing_buffers(replayed, ours, eager)
    if eager.exact and ours["output"]:
        if not identical(ours, replayed):
            return None
        counts = {kind: len(arrays) for kind, arrays in ours.items()}
        return Certificate(True, True, dict.fromkeys(KINDS, 0.0), counts)

    def noise(forward: bool) -> Mapping[str, Mapping[str, float]]:
        weights: set[str] = set()
        if forward:
            weights = {name for name, info in graph.parameters.items() if not info.buffer}
        return relative_errors(ours, moved_by_rounding(engine, example, seeds, weights))

    judged = judge(ours, replayed, tolerance_of(graph), noise)
    reasons = judged.reasons
    if reasons:
        wrong = {kind: [name for name, _ in pairs] for kind, pairs in judged.departed.items()}
        reasons += where_it_departs(graph, engine, example, wrong)
    return Certificate(not reasons, True, judged.errors, judged.counts, tuple(reasons), backward)


def _with_standing_buffers(replayed: Quantities, ours: Quantities, eager: Eager) -> Quantities:
    """What the graph does not write stays as it was.

    What eager leaves out holds no numbers (a recurrent layer's scratch).
    """
    buffers = {**eager.before, **replayed["buffer"]}
    known = {name: array for name, array in buffers.items() if name in ours["buffer"]}
    return {**replayed, "buffer": known}


def _impossible(reason: str, *, backward: bool) -> Certificate:
    return Certificate(False, False, reasons=(reason,), backward=backward)


def _counted(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}s"
