"""A trace made into a `ComputationGraph`, with its notes and what the engine needs beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from padiff_graph.capture import leaf_names
from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType
from padiff_graph.capture.torch import effects, values
from padiff_graph.capture.torch.aliases import Untold
from padiff_graph.capture.torch.aten_call import run_node
from padiff_graph.capture.torch.aten_schema import DTYPES
from padiff_graph.capture.torch.captured_nodes import CapturedNodes, Leaf, type_of_tensor
from padiff_graph.capture.torch.flat_model import FlatModel
from padiff_graph.capture.torch.fx_graph import Conversion
from padiff_graph.capture.torch.fx_places import Places
from padiff_graph.capture.torch.node_order import ordered
from padiff_graph.capture.torch.quiet import without_warnings
from padiff_graph.capture.torch.tracers import Traced, forget_results

__all__ = ["Session", "graph_of", "parameter_table"]


@dataclass
class Session:
    """What the engine needs beside the graph.

    Attributes:
        tensors: the example's leaves and large constants by node id.
        recorded: gradient hooks and custom functions by token.
        rung: the way that the capture took.
        abstract: whether there are shapes only.
    """

    tensors: dict[int, torch.Tensor]
    recorded: effects.Effects
    rung: str
    abstract: bool


def graph_of(
    flat: FlatModel,
    given: Mapping[str, torch.Tensor],
    traced: Traced,
    recorded: effects.Effects,
    rung: str,
    *,
    abstract: bool,
) -> ComputationGraph:
    """The graph of a trace.

    Args:
        flat: the model as it was traced.
        given: the inputs that it was traced on, by leaf name.
        traced: the trace; its results are let go.
        recorded: what was registered during the capture.
        rung: the way that the capture took.
        abstract: whether there are shapes only.

    Raises:
        Untold: where the program cannot be said as a graph of values.
    """
    returned = flat.returned
    if not returned.outputs:
        raise Untold("the model returns no tensor, so there is nothing to capture")
    captured = CapturedNodes(recorded, _evaluate)
    conversion = Conversion(Places(flat.model), captured)
    for name, tensor in given.items():
        conversion.leaf(Leaf("input", name, tensor, True))
    for leaf in traced.read_leaves():
        conversion.leaf(leaf)
    slots = conversion.run(traced.module, traced.leaves)
    updates = conversion.updates()
    replaced = slots[len(returned.outputs) :]
    for name, slot in zip(returned.replaced, replaced, strict=True):
        updates[name] = conversion.aliases.read(slot)
    for name, slot in zip(returned.outputs, slots, strict=False):
        conversion.output(name, slot)
    forget_results(traced.module)
    final = ordered(captured, updates)
    graph = ComputationGraph.build(
        "torch",
        final.nodes,
        training=flat.model.training,
        modules={name: type(module).__name__ for name, module in flat.model.named_modules()},
        parameters=parameter_table(flat.model),
    )
    graph.updates = final.updates
    graph.notes = _notes(flat, given, conversion.decisions)
    graph.decided = bool(conversion.decisions or flat.returned.taken)
    tensors = {
        number: tensor.detach()
        for number, tensor in final.tensors.items()
        if final.nodes[number].kind in ("input", "constant")
    }
    graph.session = Session(tensors, recorded, rung, abstract)
    return graph


def parameter_table(model: torch.nn.Module) -> dict[str, ParameterInfo]:
    """Every parameter and buffer by its first name, with its other names."""
    names: dict[int, list[str]] = {}
    first: dict[str, tuple[torch.Tensor, bool]] = {}

    def add(name: str, tensor: torch.Tensor, buffer: bool) -> None:
        if id(tensor) not in names:
            first[name] = (tensor, buffer)
        names.setdefault(id(tensor), []).append(name)

    for name, tensor in model.named_parameters(remove_duplicate=False):
        add(name, tensor, False)
    for name, tensor in model.named_buffers(remove_duplicate=False):
        add(name, tensor, True)
    table = {}
    for name, (tensor, buffer) in first.items():
        aliases = tuple(names[id(tensor)][1:])
        kind = type_of_tensor(tensor)
        table[name] = ParameterInfo(name, kind, aliases, buffer, tensor.requires_grad)
    return table


def _notes(
    flat: FlatModel, given: Mapping[str, torch.Tensor], decisions: Mapping[str, Any]
) -> list[str]:
    shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in given.items())
    notes = [f"shapes are those of the example: {shapes}"]
    fixed = ", ".join(
        f"{name}={value!r}"
        for name, value in leaf_names.values(flat.example, values.is_tensor).items()
        if isinstance(value, (bool, int, float, str))
    )
    if fixed:
        notes.append(f"Python values of the example are fixed in the graph: {fixed}")
    for source, value in decisions.items():
        notes.append(
            f"{source or 'a line of the model'}: Python took the value {value!r} from a tensor;"
            " the graph follows the path that the example takes"
        )
    for source in flat.returned.taken:
        notes.append(
            f"{source}: numbers of a tensor went through Python or numpy;"
            " the graph holds what they were for the example"
        )
    return notes


def _evaluate(
    node: Node, arrays: Sequence[np.ndarray[Any, Any] | None], types: Sequence[TensorType | None]
) -> np.ndarray[Any, Any] | None:
    """An operation over constants, computed on the host; None where it cannot be."""
    if "empty" in node.op:
        return None  # memory as it was found
    operands: list[torch.Tensor | None] = []
    for array, kind in zip(arrays, types, strict=True):
        if array is None or kind is None:
            operands.append(None)
        else:
            operands.append(torch.from_numpy(np.array(array, copy=True)).to(DTYPES[kind.dtype]))
    try:
        with torch.no_grad(), without_warnings():
            (result,) = run_node(node, operands, torch.device("cpu"))
    except (RuntimeError, NotRunnable, NotImplementedError, TypeError, ValueError, IndexError):
        return None  # a constant is a convenience: the node itself stays
    return None if result is None else values.array(result).copy()
