"""The ladder of ways to capture a torch model.

First `torch.export`, which sees every operator whole and needs no numbers; where Python depends on
what is computed, `make_fx` along the path that the example takes. Each step down is noted with its
reason. The user's model is traced inside a wrapper that takes and returns tensors in a row, so that
any nesting of inputs and outputs is captured, and named by `capture.leaves`.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.fx.experimental.proxy_tensor import make_fx

from padiff_graph.capture import leaf_names as leaves
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType
from padiff_graph.capture.torch import effects, values
from padiff_graph.capture.torch.aliases import Untold
from padiff_graph.capture.torch.aten_call import run_node
from padiff_graph.capture.torch.aten_schema import DTYPES
from padiff_graph.capture.torch.engine import SWITCHES_ITSELF
from padiff_graph.capture.torch.fx_graph import Conversion, Leaf, type_of_tensor
from padiff_graph.capture.torch.fx_places import ROOT, Places, foreign, innermost_frame
from padiff_graph.capture.torch.quiet import quiet

__all__ = ["RUNGS", "Session", "trace"]


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


@dataclass(eq=False)
class Answers:
    """Names of what the model returned, and of buffers to which it assigned a new tensor,
    and lines that handed a tensor's numbers to Python; an object of its own, because tracers put back a module's lists."""

    names: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)


class Flat(torch.nn.Module):  # type: ignore[misc]
    """The user's model with tensors in a row as inputs and outputs."""

    def __init__(self, model: torch.nn.Module, example: Mapping[str, Any], abstract: bool) -> None:
        super().__init__()
        self.abstract = abstract
        self.model = model
        self.example = dict(example)
        self.names = list(leaves.leaves(self.example, values.is_tensor))
        self.answers = Answers()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        own = {name: tensor.clone() for name, tensor in zip(self.names, tensors, strict=True)}
        before = {name: id(buffer) for name, buffer in self.model.named_buffers()}
        answer = leaves.output_leaves(
            self.model(**leaves.replace(self.example, values.is_tensor, own)), values.is_tensor
        )
        replaced = {
            name: buffer
            for name, buffer in self.model.named_buffers()
            if before.get(name, id(buffer)) != id(buffer)
        }
        self.answers.names, self.answers.replaced = list(answer), list(replaced)
        return (*answer.values(), *replaced.values())


@dataclass
class Traced:
    """An fx graph and what its placeholders and attributes stand for."""

    module: fx.GraphModule
    leaves: dict[str, Leaf]


def trace(
    model: torch.nn.Module, example: Mapping[str, Any], *, below: str = ""
) -> ComputationGraph:
    """Captures a model in the mode it is in, uncertified.

    Args:
        model: the user's model; as before afterwards.
        example: keyword arguments; tensors on the meta device stand for shapes.
        below: skip the rungs down to this one.

    Raises:
        CaptureError: where no rung succeeds.
    """
    lazy = [
        name
        for name, parameter in model.named_parameters()
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter)
    ]
    if lazy:
        raise CaptureError(
            f"parameter {lazy[0]} has no shape yet; run the model once on an example before capturing it"
        )
    tensors = leaves.leaves(example, values.is_tensor)
    if not tensors:
        raise CaptureError(
            f"the example holds no torch tensor (found {', '.join(f'{k}: {type(v).__name__}' for k, v in example.items()) or 'nothing'}); give the inputs of forward by name"
        )
    abstract = any(t.is_meta for t in tensors.values()) or any(
        t.is_meta for t in model.parameters()
    )
    device = next((t.device for t in model.parameters()), torch.device("cpu"))
    given = {
        name: _leaf(tensor, device if abstract else tensor.device)
        for name, tensor in tensors.items()
    }
    attempts: list[tuple[str, str]] = []
    source = ""
    for name, rung in RUNGS[_start(below) :]:
        for differentiable in (True, False):
            inputs = (
                given
                if differentiable
                else {label: tensor.detach() for label, tensor in given.items()}
            )
            try:
                with effects.recorded() as recorded, quiet(model), _silence(), torch.enable_grad():
                    flat = Flat(model, example, abstract)
                    traced = rung(flat, list(inputs.values()))
                graph = _graph(model, example, inputs, flat, traced, recorded, name, abstract)
            except (
                Exception
            ) as error:  # whatever a tracer or a user's forward raises: the next rung may do
                if differentiable and SWITCHES_ITSELF in str(error):
                    continue
                where = error.source if isinstance(error, Untold) else _source_of(error)
                attempts.append(
                    (
                        name,
                        f"{error if isinstance(error, Untold) else _first_line(error)}{f' ({where})' if where else ''}",
                    )
                )
                source = where or source
                break
            graph.notes[:0] = [f"not captured by {tried}: {reason}" for tried, reason in attempts]
            if not differentiable:
                graph.notes.append(
                    "the model switches gradients of its input on by itself; gradients of the inputs are not compared"
                )
            return graph
    raise CaptureError(_failure(model, attempts, source), source, tuple(attempts))


def _start(below: str) -> int:
    return 0 if not below else [name for name, _ in RUNGS].index(below) + 1


def _leaf(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A fresh leaf for an input, on the model's device where only shapes count."""
    if tensor.is_meta and device.type != "meta":
        own = torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
    else:
        own = tensor.detach().to(device)
        with torch.inference_mode(False):
            own = own.clone() if own.is_inference() else own
    return own.requires_grad_() if own.is_floating_point() and own is not tensor else own


# -- rungs


def _by_export(flat: Flat, tensors: Sequence[torch.Tensor]) -> Traced:
    """`torch.export`, non-strict: operators whole, shapes only, no numbers."""
    with _noted_places(flat, modules=False):
        exported = torch.export.export(flat, tuple(tensors), strict=False)
    own = _own_leaves(flat)
    found: dict[str, Leaf] = {}
    inputs = iter(zip(flat.names, tensors, strict=True))
    for spec in exported.graph_signature.input_specs:
        name = spec.arg.name
        if spec.kind == torch.export.graph_signature.InputKind.USER_INPUT:
            label, tensor = next(inputs)
            found[name] = Leaf("input", label, tensor, True)
        elif spec.target in own:
            found[name] = own[spec.target]
        elif isinstance(exported.constants.get(spec.target), torch.Tensor):
            found[name] = Leaf(
                "constant", spec.target.removeprefix(ROOT + "."), exported.constants[spec.target]
            )
        else:
            raise Untold(f"the trace reads {spec.target}, which is no tensor of the model")
    return Traced(exported.graph_module, found)


def _along_example(
    flat: Flat, tensors: Sequence[torch.Tensor], pre_dispatch: bool = True
) -> Traced:
    """`make_fx` with the example's numbers: Python takes the branches that they decide."""
    if flat.abstract:
        raise Untold("the example has shapes only, and Python depends on numbers")
    with quiet(flat.model), _noted_places(flat):
        module = make_fx(
            flat.forward,
            pre_dispatch=pre_dispatch,
            tracing_mode="real",
            _allow_non_fake_inputs=True,
            _error_on_data_dependent_ops=False,
        )(*tensors)
    with quiet(flat.model):
        _Filled(module).run(*tensors)
    own = {id(leaf.tensor): leaf for leaf in _own_leaves(flat).values()}
    found = {
        node.target: Leaf("input", name, tensor, True)
        for node, name, tensor in zip(
            module.graph.find_nodes(op="placeholder"), flat.names, tensors, strict=True
        )
    }
    for node in module.graph.find_nodes(op="get_attr"):
        thing = getattr(module, node.target, None)
        if id(thing) in own:
            found[node.target] = own[id(thing)]
    return Traced(module, found)


def _below_autograd(flat: Flat, tensors: Sequence[torch.Tensor]) -> Traced:
    """`make_fx` at the lowest level, where transformations such as vmap are gone and operators come in parts."""
    return _along_example(flat, tensors, pre_dispatch=False)


RUNGS: list[tuple[str, Callable[[Flat, Sequence[torch.Tensor]], Traced]]] = [
    ("torch.export", _by_export),
    ("make_fx along the example", _along_example),
    ("make_fx along the example, below autograd", _below_autograd),
]
"""Ways to capture, best first."""


class _Filled(fx.Interpreter):  # type: ignore[misc]
    """Runs a traced graph once more and keeps each result, for its shape and for whose memory it looks at."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, (int, float, bool)):
            n.meta["decided"] = result
        else:
            n.meta["val"] = result
        return result


@contextmanager
def _noted_places(flat: Flat, modules: bool = True) -> Iterator[None]:
    """Notes the source line on every fx node that is made inside, and with `modules` its module path and call.

    torch.export knows the modules itself; of lines it keeps only those of the forwards.
    """
    names = {id(module): name for name, module in flat.named_modules()}
    counts: dict[str, int] = {}
    stack: list[tuple[str, str]] = [("L__self__", "")]
    original = fx.Graph.create_node

    def enter(module: torch.nn.Module, args: Any) -> None:
        name = names.get(id(module), stack[-1][1])
        counts[name] = counts.get(name, -1) + 1
        stack.append((f"{name}@{counts[name]}", name))

    def leave(module: torch.nn.Module, args: Any, result: Any) -> None:
        stack.pop()

    def create_node(self: fx.Graph, *args: Any, **kwargs: Any) -> fx.Node:
        node = original(self, *args, **kwargs)
        source = innermost_frame(sys._getframe(1))
        if source:
            node.meta["padiff_source"] = source
        if modules:
            node.meta["nn_module_stack"] = {key: (name, "") for key, name in stack}
        return node

    def handing(name: str, method: Any) -> Any:
        def hand(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            source = innermost_frame(sys._getframe(1))
            if source and source not in flat.answers.taken:
                flat.answers.taken.append(source)
            return method(tensor, *args, **kwargs)

        return hand

    doors = (
        {
            name: handing(name, getattr(torch.Tensor, name))
            for name in ("numpy", "tolist", "__array__")
        }
        if modules
        else {}
    )
    own = {name: vars(torch.Tensor)[name] for name in doors if name in vars(torch.Tensor)}
    handles = (
        [
            torch.nn.modules.module.register_module_forward_pre_hook(enter),
            torch.nn.modules.module.register_module_forward_hook(leave, always_call=True),
        ]
        if modules
        else []
    )
    fx.Graph.create_node = create_node
    try:
        for name, door in doors.items():
            setattr(torch.Tensor, name, door)
        yield
    finally:
        fx.Graph.create_node = original
        for name in doors:
            if name in own:
                setattr(torch.Tensor, name, own[name])
            elif name in vars(torch.Tensor):
                delattr(torch.Tensor, name)
        for handle in handles:
            handle.remove()


def _own_leaves(flat: Flat) -> dict[str, Leaf]:
    """Every parameter and buffer of the model under every name that the wrapper gives it."""
    found: dict[str, Leaf] = {}
    first: dict[int, str] = {}
    for name, tensor in flat.named_parameters(remove_duplicate=False):
        own = first.setdefault(id(tensor), name.removeprefix(ROOT + "."))
        found[name] = Leaf("parameter", own, tensor, tensor.requires_grad)
    for name, tensor in flat.named_buffers(remove_duplicate=False):
        own = first.setdefault(id(tensor), name.removeprefix(ROOT + "."))
        found[name] = Leaf("buffer", own, tensor, tensor.requires_grad)
    return found


# -- the graph


def _graph(
    model: torch.nn.Module,
    example: Mapping[str, Any],
    given: Mapping[str, torch.Tensor],
    flat: Flat,
    traced: Traced,
    recorded: effects.Effects,
    rung: str,
    abstract: bool,
) -> ComputationGraph:
    if not flat.answers.names:
        raise Untold("the model returns no tensor, so there is nothing to capture")
    conversion = Conversion(Places(model), recorded, _evaluate)
    for name, tensor in given.items():
        conversion.leaf(Leaf("input", name, tensor, True))
    read = {
        node.target
        for node in traced.module.graph.nodes
        if node.op in ("placeholder", "get_attr") and node.users
    }
    for target, leaf in traced.leaves.items():
        if target in read:
            conversion.leaf(leaf)
    names = flat.answers.names
    answers = conversion.run(traced.module, traced.leaves)
    updates = conversion.updates() | {
        name: conversion.aliases.read(slot)
        for name, slot in zip(flat.answers.replaced, answers[len(names) :], strict=True)
    }
    for name, slot in zip(names, answers, strict=False):
        conversion.output(name, slot)
    _forget_results(traced.module)
    nodes, updates, tensors = conversion.finish(updates)
    graph = ComputationGraph.build(
        "torch",
        nodes,
        training=model.training,
        modules={name: type(module).__name__ for name, module in model.named_modules()},
        parameters=parameter_table(model),
    )
    graph.updates = updates
    graph.notes = _notes(example, given, conversion)
    graph.notes += [
        f"{source}: numbers of a tensor went through Python or numpy; the graph holds what they were for the example"
        for source in flat.answers.taken
    ]
    kinds = {node.id: node.kind for node in nodes}
    graph.session = Session(
        {
            number: tensor.detach()
            for number, tensor in tensors.items()
            if kinds[number] in ("input", "constant")
        },
        recorded,
        rung,
        abstract,
    )
    return graph


def _forget_results(module: fx.GraphModule) -> None:
    """Lets go of every result that the trace holds: the graph's native handles would keep them alive."""
    for part in module.modules():
        if isinstance(part, fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("val", None)


def parameter_table(model: torch.nn.Module) -> dict[str, ParameterInfo]:
    """Every parameter and buffer by its first name, with its other names."""
    names: dict[int, list[str]] = {}
    first: dict[str, tuple[torch.Tensor, bool]] = {}
    pairs = [
        (name, tensor, False) for name, tensor in model.named_parameters(remove_duplicate=False)
    ]
    pairs += [(name, tensor, True) for name, tensor in model.named_buffers(remove_duplicate=False)]
    for name, tensor, buffer in pairs:
        if id(tensor) not in names:
            first[name] = (tensor, buffer)
        names.setdefault(id(tensor), []).append(name)
    return {
        name: ParameterInfo(
            name, type_of_tensor(tensor), tuple(names[id(tensor)][1:]), buffer, tensor.requires_grad
        )
        for name, (tensor, buffer) in first.items()
    }


def _notes(
    example: Mapping[str, Any], given: Mapping[str, torch.Tensor], conversion: Conversion
) -> list[str]:
    shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in given.items())
    notes = [f"shapes are those of the example: {shapes}"]
    plain = {
        name: value
        for name, value in leaves.values(example, values.is_tensor).items()
        if isinstance(value, (bool, int, float, str))
    }
    if plain:
        notes.append(
            "Python values of the example are fixed in the graph: "
            + ", ".join(f"{name}={value!r}" for name, value in plain.items())
        )
    notes += [
        f"{source or 'a line of the model'}: Python took the value {value!r} from a tensor; the graph follows the path that the example takes"
        for source, value in conversion.decisions.items()
    ]
    return notes


def _evaluate(
    node: Node, arrays: Sequence[np.ndarray[Any, Any] | None], types: Sequence[TensorType | None]
) -> np.ndarray[Any, Any] | None:
    """An operation over constants, computed on the host; None where it cannot be."""
    if "empty" in node.op:
        return None  # memory as it was found
    operands = [
        None
        if array is None or kind is None
        else torch.from_numpy(np.array(array, copy=True)).to(DTYPES[kind.dtype])
        for array, kind in zip(arrays, types, strict=True)
    ]
    try:
        with torch.no_grad(), _silence():
            (result,) = run_node(node, operands, torch.device("cpu"))
    except (RuntimeError, NotRunnable, NotImplementedError, TypeError, ValueError, IndexError):
        return None  # a constant is a convenience: the node itself stays
    return None if result is None else values.array(result).copy()


# -- errors


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:300] if text else ''}"


def _source_of(error: BaseException) -> str:
    """The innermost line of the user's code in an exception's traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not foreign(frame.filename):
            return f"{frame.filename}:{frame.lineno}"
    return ""


def _failure(model: torch.nn.Module, attempts: Sequence[tuple[str, str]], source: str) -> str:
    tried = "; ".join(f"{name}: {reason}" for name, reason in attempts)
    at = f" at {source}" if source else ""
    return (
        f"{type(model).__name__} could not be captured{at}. Tried {tried or 'nothing'}. "
        "Check that the model runs eagerly on the example; where Python decides on computed numbers (.item(), if tensor:, numpy), "
        "move that out of forward or give an example with numbers; or map the sub-model that fails with LayerMap so that it is compared from outside."
    )
