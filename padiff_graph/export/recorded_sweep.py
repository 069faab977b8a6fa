"""A recording's backward sweep: what each region sends back of the gradient that arrives at it from
the outputs, so that regions can be put together that a port computes as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.executor.partition import Region
from padiff_graph.executor.questions import Answer, Request
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.seeded_cotangents import output_cotangents
from padiff_graph.executor.side_run import input_values, run_side
from padiff_graph.sides.recorded_engine import value_name
from padiff_graph.sides.recording_file import RecordingWriter

__all__ = ["write_doubles", "write_sweep"]


def write_doubles(writer: RecordingWriter, side: Side, regions: Sequence[Region]) -> None:
    """Writes what the regions yield one after the other in float64, from the inputs on."""
    for region in regions:
        if not region.second.nodes:
            continue
        try:
            feed = _feed(writer, side, region, "float64")
            updates = (update.second_value for update in region.updates)
            wanted = (*region.cut.second, *updates)
            request = Request(region.second, feed, wanted, double=True)
            answer = run_side(side, request)
        except NotRunnable:
            continue  # what reads it is left out too
        for value, array in answer.outputs.items():
            if not writer.holds("values.float64", value_name(value)):
                writer.add("values.float64", value_name(value), array)


def write_sweep(
    writer: RecordingWriter,
    side: Side,
    regions: Sequence[Region],
    facts: Sequence[dict[str, Any]],
    precision: str,
) -> list[Value]:
    """Differentiates the regions from the last to the first, each under what the later ones sent
    back, the outputs under seeded cotangents.

    Args:
        writer: of the file, which holds the values of the regions already.
        side: the model with the weights of the regions.
        regions: as they were run, one after the other.
        facts: what the manifest says of each; "swept" is told of each that a gradient reaches.
        precision: "float32" or "float64".

    Returns:
        The outputs that were given cotangents.
    """
    arriving = output_cotangents(side.graph)
    seeded = list(arriving)
    for number in reversed(range(len(regions))):
        region = regions[number]
        # one without operations compares a value that another one yields
        if region.second.nodes and any(value in arriving for value in region.cut.second):
            answer = _sent_back(writer, side, region, arriving, precision)
            facts[number].setdefault("swept", {})[precision] = answer is not None
            if answer is not None:
                _write(writer, f"sweep.{precision}", number, answer, arriving)
    return seeded


def _sent_back(
    writer: RecordingWriter,
    side: Side,
    region: Region,
    arriving: dict[Value, Array],
    precision: str,
) -> Answer | None:
    """A region under the gradient that arrives at it; None where it cannot be differentiated."""
    cut, double = region.cut.second, precision == "float64"
    cotangents = {value: arriving.pop(value) for value in cut if value in arriving}
    try:
        feed = _feed(writer, side, region, precision)
        request = Request(region.second, feed, cut, True, cotangents, double=double)
        answer = run_side(side, request)
    except NotRunnable:
        return None
    return None if answer.ungraded else answer


def _feed(
    writer: RecordingWriter, side: Side, region: Region, precision: str
) -> dict[Value, Array]:
    """What a region reads, as it was written.

    Raises:
        NotRunnable: it was not, since it could not be computed.
    """
    inputs = [value for value in region.second.values if value.node in side.inputs]
    feed = input_values(side, inputs)
    for value in region.second.values:
        if value not in feed and not writer.holds(f"values.{precision}", value_name(value)):
            raise NotRunnable("what it reads could not be computed")
        if value not in feed:
            feed[value] = writer.array(f"values.{precision}", value_name(value))
    return feed


def _write(
    writer: RecordingWriter,
    kind: str,
    number: int,
    answer: Answer,
    arriving: dict[Value, Array],
) -> None:
    """Writes the shares of one region, and adds them to what arrives further up."""
    for value, share in answer.boundary.items():
        if share is not None:
            writer.add(kind, f"{number}.boundary.{value_name(value)}", share)
            arriving[value] = arriving[value] + share if value in arriving else share
    for name, share in answer.parameters.items():
        writer.add(kind, f"{number}.parameter.{name}", share)
