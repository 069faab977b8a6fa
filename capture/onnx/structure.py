"""Whether an ONNX model's parts fit together: what onnx's own readers take for granted.

A file from elsewhere may read names that nothing makes, call functions that call each other, loop
for ever or declare tensors without their data. Each is refused here, before anything is inlined,
inferred or run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import onnx
import onnx.numpy_helper

from padiff_graph.capture.capture_errors import CaptureError

__all__ = ["check_functions", "check_structure", "inner_graphs"]

MOST = 1_000_000
"""Nodes that local functions may come to once they are inlined; chosen ten times above the largest
exported language models, which have about 100,000."""
TRIPS = 1 << 24
"""Trips of a loop that nothing but its count ends; chosen far above any loop over a sequence."""

FunctionKey = tuple[str, str, str]


# -- local functions


def check_functions(proto: onnx.ModelProto) -> None:
    """Local functions can be inlined: none calls itself, and what they come to is bounded.

    Raises:
        CaptureError: naming the function.
    """
    functions = {(each.domain, each.name, _overload(each)): each for each in proto.functions}
    sizes: dict[FunctionKey, int] = {}
    for key in functions:
        _inlined_size(key, functions, sizes, ())
    total = _nodes_of(proto.graph.node, functions, sizes, ())
    if total > MOST:
        raise CaptureError(
            f"expected a model of at most {MOST} nodes; its local functions come to {total}"
        )


def _overload(message: onnx.FunctionProto | onnx.NodeProto) -> str:
    """Of IR version 10 on."""
    return str(getattr(message, "overload", ""))


def _inlined_size(
    key: FunctionKey,
    functions: Mapping[FunctionKey, onnx.FunctionProto],
    sizes: dict[FunctionKey, int],
    above: tuple[FunctionKey, ...],
) -> int:
    """How many nodes a function comes to."""
    if key in above:
        raise CaptureError(
            f"expected local functions that can be inlined; {key[1]} calls itself; "
            "export the model again"
        )
    if key not in sizes:
        sizes[key] = _nodes_of(functions[key].node, functions, sizes, (*above, key))
    return sizes[key]


def _nodes_of(
    nodes: Sequence[onnx.NodeProto],
    functions: Mapping[FunctionKey, onnx.FunctionProto],
    sizes: dict[FunctionKey, int],
    above: tuple[FunctionKey, ...],
) -> int:
    total = 0
    for node in nodes:
        key = node.domain, node.op_type, _overload(node)
        total += _inlined_size(key, functions, sizes, above) if key in functions else 1
        for inner in inner_graphs(node):
            total += _nodes_of(inner.node, functions, sizes, above)
    return total


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs among a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


# -- names, data, loops


def check_structure(graph: onnx.GraphProto, known: frozenset[str] = frozenset()) -> None:
    """Every name that is read was made before, once; tensors have their data; loops end.

    Args:
        graph: of a model whose local functions are inlined, or inside one of its nodes.
        known: names of the graphs around it.

    Raises:
        CaptureError: naming the node, the name or the tensor.
    """
    made = set(known) | {entry.name for entry in graph.input}
    for tensor in graph.initializer:
        _check_data(tensor, tensor.name)
        made.add(tensor.name)
    made |= {tensor.values.name for tensor in graph.sparse_initializer}
    later = {name for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        _check_reads(node, made, later)
        _check_makes(node, made, known)
        _check_loop(node, constants)
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _check_data(attribute.t, _called(node))
        for inner in inner_graphs(node):
            check_structure(inner, frozenset(made))
        made.update(name for name in node.output if name)
    lost = [entry.name for entry in graph.output if entry.name not in made]
    if lost:
        raise CaptureError(
            f"expected a node for each output; nothing makes {', '.join(lost)}; "
            "export the model again"
        )


def _called(node: onnx.NodeProto) -> str:
    return f"{node.op_type} ({node.name or next(iter(node.output), '')})"


def _check_reads(node: onnx.NodeProto, made: set[str], later: set[str]) -> None:
    for name in node.input:
        if name and name not in made:
            fault = "which nothing makes"
            if name in later:
                fault = "which is made only after it: the graph has a cycle or is out of order"
            raise CaptureError(f"{_called(node)} reads {name}, {fault}; export the model again")


def _check_makes(node: onnx.NodeProto, made: set[str], known: frozenset[str]) -> None:
    named = [name for name in node.output if name]
    if not named:
        raise CaptureError(f"{_called(node)} has no output; export the model again")
    for name in named:
        if (name in made and name not in known) or named.count(name) > 1:
            raise CaptureError(
                f"{_called(node)} makes {name}, which is made already; export the model again"
            )


def _check_data(tensor: onnx.TensorProto, where: str) -> None:
    """A tensor's data are of its shape and dtype."""
    if tensor.HasField("segment"):
        raise CaptureError(f"the tensor {where} stands in segments, which are not read")
    if any(extent < 0 for extent in tensor.dims):
        raise CaptureError(f"the tensor {where} has a negative extent: {list(tensor.dims)}")
    try:
        held = onnx.numpy_helper.to_array(tensor).size
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise CaptureError(
            f"the data of the tensor {where} do not fit its shape {list(tensor.dims)} ({error}); "
            "export the model again"
        ) from None
    if held != math.prod(tensor.dims):
        raise CaptureError(f"the tensor {where} holds {held} elements for {list(tensor.dims)}")


def _check_loop(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> None:
    """A loop whose condition its own body never changes ends by its count."""
    if node.op_type != "Loop" or node.domain not in ("", "ai.onnx") or not node.input:
        return
    count = constants.get(node.input[0])
    trips = math.inf
    if count is not None:
        trips = int(onnx.numpy_helper.to_array(count).reshape(-1)[0])
    elif node.input[0]:
        return  # computed by the model: the run is bounded by time
    bodies = list(inner_graphs(node))
    if trips > TRIPS and bodies and _never_ends(bodies[0]):
        raise CaptureError(
            f"{_called(node)} runs its body {trips} times, and nothing else ends it; "
            f"expected at most {TRIPS} trips"
        )


def _never_ends(body: onnx.GraphProto) -> bool:
    """Whether the body hands on the condition that it was given, or a constant one."""
    if not body.output or len(body.input) < 2:
        return True
    told = body.output[0].name
    makers = {name: node for node in body.node for name in node.output}
    while told in makers and makers[told].op_type == "Identity":
        told = makers[told].input[0]
    if told in makers:
        return bool(makers[told].op_type == "Constant")
    return True
