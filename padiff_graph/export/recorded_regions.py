"""A recording's regions: a model cut at every value that another one may be matched at, each part
run as a check runs it, on the model's own values, under seeded cotangents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.alignment.aligned import Known
from padiff_graph.alignment.evidence import derive
from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import Interpreter, differentiable
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.executor.buffer_updates import buffer_updates
from padiff_graph.executor.cut_graphs import cut_graphs
from padiff_graph.executor.pair_run import Fed
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.partition import Region
from padiff_graph.executor.questions import Answer, Request
from padiff_graph.executor.region_parameters import share
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.schedule import Stream
from padiff_graph.executor.side_run import run_side
from padiff_graph.export.recorded_graphs import write_graphs
from padiff_graph.export.recorded_sweep import write_doubles, write_sweep
from padiff_graph.matching.ladder import match
from padiff_graph.matching.result import Matching
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.sides.recorded_engine import value_name
from padiff_graph.sides.recording_file import RecordingWriter

__all__ = ["RecordedRegions", "write_regions"]


@dataclass(frozen=True)
class RecordedRegions:
    """What the manifest says of regions.

    Attributes:
        regions: each by its operations, what it reads, and what of it is recorded.
        seeded: outputs that were given cotangents in the sweep.
        graphs: runs of the whole graph.
        not_run: by precision, what could not be run, in sentences.
    """

    regions: list[dict[str, Any]] = field(default_factory=list)
    seeded: list[Value] = field(default_factory=list)
    graphs: list[dict[str, Any]] = field(default_factory=list)
    not_run: dict[str, list[str]] = field(default_factory=dict)


def write_regions(
    writer: RecordingWriter, graph: ComputationGraph, engine: Engine, precisions: Sequence[str]
) -> RecordedRegions:
    """Writes the values on the way, and what each region yields and sends back.

    Args:
        writer: of the file.
        graph: the capture, with its session.
        engine: of the model.
        precisions: "float32" for values and gradients, "float64" for the same in float64; none of
            them where it is not there.
    """
    told = RecordedRegions(not_run={precision: [] for precision in precisions})
    if not precisions:
        return told
    matching = _with_itself(graph)
    with engine.quiet(values=graph.calls_back):
        deployed = graph.framework == "onnx"
        shared = share(matching, engine, engine, as_they_are=deployed)
        for name in shared.randomised:
            writer.add("lively", name, shared.second[name])
        side = pair_of(matching, (engine, engine), shared).second
        recorder = _Recorder(writer, side, precisions, told)
        recorder.all_of(matching)
        if "float64" in precisions:
            write_doubles(writer, side, recorder.order)
        for precision in () if deployed else precisions:
            told.seeded[:] = write_sweep(writer, side, recorder.order, told.regions, precision)
        _Rest.of(side, writer, told.not_run[precisions[0]]).run(graph.records())
        if "float64" in precisions:
            runs, lost = write_graphs(writer, matching, engine)
            told.graphs.extend(runs)
            told.not_run["float64"].extend(lost)
    return told


def _with_itself(graph: ComputationGraph) -> Matching:
    """A model matched with itself: every value that a port may share with it is a point."""
    normal = normalize(graph)
    matching = match(normal, normal, hints=Hints())
    return derive(matching, Known(Hints(), {}, None, {}, {}))[0]


@dataclass(frozen=True)
class _Recorder:
    """Runs each region and writes what it yields."""

    writer: RecordingWriter
    side: Side
    precisions: Sequence[str]
    told: RecordedRegions
    order: list[Region] = field(default_factory=list)

    def all_of(self, matching: Matching) -> None:
        """Every region, in program order."""
        plan = cut_graphs(matching, updates=buffer_updates(matching))
        todo = frozenset(region.cut.index for region in plan.regions)
        Stream((self.side, self.side), plan, todo, self.written, self.lost).run()

    def lost(self, region: Region, reason: str) -> None:
        """Notes a region that could not be run."""
        self.told.not_run[self.precisions[0]].append(reason)

    def written(self, region: Region, feed: Fed) -> Mapping[Value, Array]:
        """Runs a region in each precision; returns its values."""
        number = len(self.told.regions)
        facts: dict[str, Any] = {
            "nodes": region.second.nodes,
            "values": region.second.values,
            "cut": region.cut.second,
            "seeded": self._seeded(region),
            "ungraded": {},
            "parameters": {},
        }
        values: Mapping[Value, Array] = {}
        for precision in self.precisions:
            double = precision == "float64"
            try:
                answer = run_side(self.side, self._request(region, feed, facts["seeded"], double))
            except NotRunnable as error:
                self.told.not_run[precision].append(str(error))
                continue
            if not double or not values:
                values = answer.outputs
            self._write(number, precision, answer)
            facts["ungraded"][precision] = answer.ungraded
            facts["parameters"][precision] = list(answer.parameters)
        self.told.regions.append(facts)
        self.order.append(region)
        return {value: values[value] for value in region.cut.second if value in values}

    def _seeded(self, region: Region) -> tuple[Value, ...]:
        """The values that are given cotangents; none where there are no gradients."""
        cut = region.cut.second
        graded = any(differentiable(self.side.dtype(value)) for value in cut)
        return cut if graded and self.side.engine.framework != "onnx" else ()

    def _request(
        self, region: Region, feed: Fed, seeded: tuple[Value, ...], double: bool
    ) -> Request:
        updates = (update.second_value for update in region.updates)
        return Request(
            region.second,
            feed.second,
            (*region.cut.second, *updates),
            recorded=self.side.engine.framework != "onnx",
            seeded=seeded,
            double=double,
        )

    def _write(self, number: int, precision: str, answer: Answer) -> None:
        kind = f"regions.{precision}"
        for value, array in answer.outputs.items():
            name = value_name(value)
            if precision == "float64":
                self.writer.add(kind, f"{number}.output.{name}", array)
            elif not self.writer.holds("values.float32", name):
                self.writer.add("values.float32", name, array)
        for value, gradient in answer.boundary.items():
            if gradient is not None:
                self.writer.add(kind, f"{number}.boundary.{value_name(value)}", gradient)
        for name, array in answer.parameters.items():
            self.writer.add(kind, f"{number}.parameter.{name}", array)


class _Rest(Interpreter):
    """Writes the values between those of the regions, each as soon as it is there."""

    writer: RecordingWriter
    side: Side
    lost: list[str]

    @classmethod
    def of(cls, side: Side, writer: RecordingWriter, lost: list[str]) -> _Rest:
        """With the weights and draws of a side."""
        run = cls(side.graph, side.engine, side.parameters.__getitem__, side.inputs)
        run.writer, run.side, run.lost = writer, side, lost
        return run

    def produced(self, value: Value, tensor: Any) -> None:
        name = value_name(value)
        operation = self.graph.record(value.node).kind == "operation"
        if operation and not self.writer.holds("values.float32", name):
            self.writer.add("values.float32", name, self.engine.array(tensor))

    def draw(self, node: Node) -> Array | None:
        return self.side.draw(node)

    def failed(self, node: Node, error: NotRunnable) -> None:
        if node.kind == "operation":
            self.lost.append(str(error))
