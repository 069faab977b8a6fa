"""One side of a finding's region as statements of Python, and the values that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node, Value
from padiff_graph.executor.partition import Slice
from padiff_graph.executor.region_run import Side
from padiff_graph.export.recorded_values import Recorded, recorded
from padiff_graph.printable import code_comment
from padiff_graph.report.source_lines import short_source

__all__ = ["Saved", "WrittenSide", "leaf_array", "write_side"]

Saved = dict[str, Array]
"""The arrays of the .npz file beside a script, by key."""


@dataclass
class WrittenSide:
    """One side of the region as source.

    Attributes:
        lines: statements of its function.
        names: how the script calls each native value.
        leaves: names in the script of everything that is fed in.
        own: operations that stand as saved numbers, and why no call could be written.
    """

    framework: str
    lines: list[str] = field(default_factory=list)
    names: dict[Value, str] = field(default_factory=dict)
    leaves: list[str] = field(default_factory=list)
    own: dict[int, str] = field(default_factory=dict)

    def operands(self, record: Node) -> list[str]:
        """How the script calls what an operation reads."""
        return ["None" if value is None else self.names[value] for value in record.inputs]


def write_side(
    side: Side,
    part: Slice,
    feed: Mapping[Value, Array],
    seeds: Mapping[Value, Array],
    label: str,
    saved: Saved,
) -> WrittenSide:
    """The operations of one side as statements; what they read goes into `saved`.

    Raises:
        NotRunnable: the framework's operations cannot be written, or a value is not known.
    """
    written = WrittenSide(side.engine.framework)
    for value in part.values:
        record = side.graph.record(value.node)
        key = f"{label}_value_{value.node}_{value.output}"
        saved[key] = np.ascontiguousarray(feed[value])
        _add_leaf(written, value, key, record.path or record.name, side.dtype(value))
    for number in part.leaves:
        record = side.graph.record(number)
        key = f"{label}_{record.kind}_{number}"
        saved[key] = np.ascontiguousarray(leaf_array(side, record))
        _add_leaf(written, Value(number), key, record.name, side.dtype(Value(number)))
    calls = _calls(side, part, written)
    if written.own:
        kept = recorded(side, part, feed, seeds, list(written.own))
        for number, numbers in kept.items():
            record = side.graph.record(number)
            calls[number] = _as_numbers(written, record, numbers, f"{label}_own_{number}", saved)
    for number in part.nodes:
        record = side.graph.record(number)
        line = f"v{number} = {calls[number]}"
        if record.source:
            place = f"{record.path or '(root)'}, {short_source(record.source)}"
            line += f"  # {code_comment(place)}"
        written.lines.append(line)
    return written


def _add_leaf(written: WrittenSide, value: Value, key: str, note: str, dtype: str) -> None:
    name = f"v{value.node}_{value.output}"
    written.names[value] = name
    written.leaves.append(name)
    arguments = f'saved["{key}"]'
    if dtype == "bfloat16":  # numpy's files cannot hold it
        arguments += f', "{dtype}"'
    line = f"{name} = {written.framework}_leaf({arguments})"
    if note:
        line += f"  # {code_comment(note)}"
    written.lines.append(line)


def leaf_array(side: Side, record: Node) -> Array:
    """The value of a parameter, a constant or an input."""
    if record.kind in ("parameter", "buffer"):
        return np.asarray(side.parameters[record.name])
    if record.constant is not None:
        kind = record.outputs[0] if record.outputs else None
        if kind is not None and kind.size == record.constant.size:
            return record.constant.reshape(kind.shape)
        return record.constant
    if record.id in side.inputs:
        return np.asarray(side.engine.array(side.inputs[record.id]))
    raise NotRunnable(f"the value of {record.kind} {record.name or record.id!r} is not known")


def _calls(side: Side, part: Slice, written: WrittenSide) -> dict[int, str]:
    """The call of each operation; those that cannot be written are noted in `written.own`."""
    scripts = backend(written.framework).scripts
    if scripts is None:
        raise NotRunnable(f"operations of {written.framework} cannot be written as lines of Python")
    calls: dict[int, str] = {}
    for number in part.nodes:
        record = side.graph.record(number)
        for output in range(max(len(record.outputs), 1)):
            written.names[Value(number, output)] = f"v{number}[{output}]"
        try:
            calls[number] = scripts.expression(record, written.operands(record))
        except NotRunnable as error:
            written.own[number] = str(error)
    return calls


def _as_numbers(
    written: WrittenSide, record: Node, numbers: Recorded, key: str, saved: Saved
) -> str:
    """An operation as what it yielded and the gradients that it sent back."""
    results: list[str] = []
    for place, name in enumerate(_save(saved, f"{key}_result", numbers.results)):
        if name != "None":
            written.names[Value(record.id, place)] = f"v{record.id}[{len(results)}]"
            kind = record.outputs[place]
            dtype = "float32" if kind is None else kind.dtype
            results.append(f"({name}, {dtype!r})")
    gradients = _save(saved, f"{key}_gradient", numbers.gradients)
    arguments = (results, gradients, written.operands(record))
    lists = ", ".join(f"[{', '.join(names)}]" for names in arguments)
    return f"{written.framework}_saved({lists})"


def _save(saved: Saved, key: str, arrays: Sequence[Array | None]) -> list[str]:
    """Saves arrays, and says how the script reads each."""
    names = []
    for place, array in enumerate(arrays):
        if array is None:
            names.append("None")
        else:
            saved[f"{key}_{place}"] = array
            names.append(f'saved["{key}_{place}"]')
    return names
