"""The ladder of ways to capture a Paddle layer.

First Paddle's full-graph dygraph-to-static transform; then the same with the transform kept out of
library code; then the undecorated forward, run under a static program with questions about numbers
answered by the example. Each step down is noted with its reason.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paddle
from paddle.jit.dy2static import convert_call_func

from padiff_graph.capture import leaf_names as leaves
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.paddle import internals, values
from padiff_graph.capture.paddle.layer_tensors import (
    layer_classes,
    layer_paths,
    named_tensors,
    parameter_table,
)
from padiff_graph.capture.paddle.pir_graph import Conversion
from padiff_graph.capture.paddle.quiet import quiet
from padiff_graph.capture.paddle.recording import Recording
from padiff_graph.capture.paddle.user_lines import OURS, in_user_code, line_of, written

__all__ = ["RUNGS", "Session", "trace"]

CONTROL_FLOW = {
    "pd_op.if": "an `if` on a tensor",
    "pd_op.while": "a loop that a tensor ends",
    "pd_op.pylayer": "a custom function",
}
"""Operations with programs inside, which a flat graph cannot hold."""


@dataclass
class Session:
    """What the engine needs beside the graph.

    Attributes:
        tensors: the example's leaves and constants by node id.
        program: the recorded program; its operations live as long as it does.
        rung: the way that the capture took.
        abstract: whether there are shapes only.
    """

    tensors: dict[int, Any]
    program: Any
    rung: str
    abstract: bool


@dataclass(frozen=True)
class Rung:
    """One way to run a forward symbolically."""

    name: str
    called: Callable[[paddle.nn.Layer], Callable[..., Any]]
    answers: bool
    own_code_only: bool = False


def trace(
    model: paddle.nn.Layer, example: Mapping[str, Any], *, below: str = ""
) -> ComputationGraph:
    """Captures a layer in the mode it is in, uncertified.

    Args:
        model: the user's layer; as before afterwards.
        example: keyword arguments of its forward; InputSpecs stand for shapes.
        below: skip the rungs down to this one.

    Raises:
        CaptureError: where no rung succeeds; names the user's line.
    """
    given = {name: leaf for name, leaf in leaves.leaves(example, _is_leaf).items()}
    if not given:
        raise CaptureError(
            f"the example holds no Paddle tensor (found {', '.join(f'{k}: {type(v).__name__}' for k, v in example.items()) or 'nothing'}); give the inputs of forward by name"
        )
    attempts: list[tuple[str, str]] = []
    source = ""
    names = [rung.name for rung in RUNGS]
    for rung in RUNGS[names.index(below) + 1 if below else 0 :]:
        try:
            graph = _by(rung, model, example, given)
        except (
            Exception
        ) as error:  # whatever Paddle or a user's forward raises: the next rung may do
            where = getattr(error, "source", "") or _source_of(error)
            attempts.append((rung.name, f"{_first_line(error)}{f' ({where})' if where else ''}"))
            source = where or source
        else:
            graph.notes[:0] = [f"not captured by {tried}: {reason}" for tried, reason in attempts]
            return graph
    raise CaptureError(_failure(model, attempts, source), source, tuple(attempts))


def _is_leaf(value: Any) -> bool:
    return type(value) is not paddle.pir.Value and isinstance(
        value, (internals.TENSOR, paddle.static.InputSpec)
    )


def _by(
    rung: Rung, model: paddle.nn.Layer, example: Mapping[str, Any], given: Mapping[str, Any]
) -> ComputationGraph:
    tensors = {name: _tensor(leaf, name) for name, leaf in given.items()}
    own = named_tensors(model)
    table = parameter_table(model)
    held = [
        tensor for name, tensor in own.items() if not table[name].buffer
    ]  # a buffer may wait for its first run
    concrete = all(
        values.materialised(tensor) for tensor in (*tensors.values(), *held)
    ) and not any(isinstance(leaf, paddle.static.InputSpec) for leaf in given.values())
    names = {
        id(tensor): ("buffer" if table[name].buffer else "parameter", name)
        for name, tensor in own.items()
    }
    recording = Recording(names, layer_paths(model), concrete, rung.answers)
    with quiet(model, values=False), _silence(), recording.running():
        inputs = {name: recording.leaf(tensor, "input", name) for name, tensor in tensors.items()}
        with _transform_limits(model, rung):
            answer = rung.called(model)(**leaves.replace(dict(example), _is_leaf, inputs))
        outputs = {
            name: recording.resolved(leaf)
            for name, leaf in leaves.output_leaves(answer, _is_tensor).items()
        }
        updates = _updates(recording, model, own)
    if not outputs:
        raise CaptureError("the model returns no tensor, so there is nothing to capture")
    for operation in recording.program.global_block().ops:
        if operation.name() in CONTROL_FLOW:
            where = line_of(internals.callstack(operation))
            raise CaptureError(
                f"{CONTROL_FLOW[operation.name()]} stays open in the program; the example has to decide it",
                where,
            )
    for value in outputs.values():
        recording.settle(value)
    conversion = Conversion(recording)
    nodes, updated = conversion.run(inputs, outputs, updates)
    graph = ComputationGraph.build(
        "paddle",
        nodes,
        training=bool(model.training),
        modules=layer_classes(model),
        parameters=table,
    )
    graph.updates = updated
    graph.notes = [
        f"shapes are those of the example: {', '.join(f'{name} {list(tensor.shape)}' for name, tensor in tensors.items())}",
        *recording.notes,
    ]
    plain = {
        name: value
        for name, value in leaves.values(example, _is_leaf).items()
        if isinstance(value, (bool, int, float, str))
    }
    if plain:
        graph.notes.append(
            "Python values of the example are fixed in the graph: "
            + ", ".join(f"{name}={value!r}" for name, value in plain.items())
        )
    graph.session = Session(conversion.tensors, recording.program, rung.name, not concrete)
    return graph


def _is_tensor(value: Any) -> bool:
    return type(value) is paddle.pir.Value or isinstance(value, internals.TENSOR)


def _tensor(leaf: Any, name: str) -> Any:
    """An eager tensor for a leaf of the example; zeros where only the shape is known."""
    if not isinstance(leaf, paddle.static.InputSpec):
        return leaf.detach()
    if any(extent is None or extent < 0 for extent in leaf.shape):
        raise CaptureError(f"input {name} has shape {list(leaf.shape)}; give a size for every axis")
    return paddle.zeros(list(leaf.shape), dtype=leaf.dtype)


def _updates(
    recording: Recording, model: paddle.nn.Layer, own: Mapping[str, Any]
) -> dict[str, Any]:
    """What buffers and parameters hold at the end, where the forward wrote them."""
    found = {}
    for name, tensor in own.items():
        leaf = recording.leaves.get(id(tensor))
        if leaf is not None:
            now = recording.current(leaf.value)
            if now.id != leaf.value.id:
                found[name] = now
    for path, layer in model.named_sublayers(include_self=True):
        for name, held in layer._buffers.items():
            if type(held) is paddle.pir.Value:
                found[f"{path}.{name}" if path else name] = recording.resolved(held)
    return found


# -- rungs


def _transformed(model: paddle.nn.Layer) -> Callable[..., Any]:
    called: Callable[..., Any] = convert_call_func.convert_call(model)
    return called


def _plainly(model: paddle.nn.Layer) -> Callable[..., Any]:
    called: Callable[..., Any] = model
    return called


RUNGS = (
    Rung("full-graph to_static", _transformed, answers=False),
    Rung("to_static outside library code", _transformed, answers=False, own_code_only=True),
    Rung("forward run on the example", _plainly, answers=True),
)
"""Ways to capture, best first."""


@contextmanager
def _transform_limits(model: paddle.nn.Layer, rung: Rung) -> Iterator[None]:
    """Keeps the transform out of the recording's own functions, and where the rung says so inside the
    files that define the model's layers."""
    files = {
        type(layer).forward.__code__.co_filename
        for layer in model.sublayers(include_self=True)
        if hasattr(type(layer).forward, "__code__")
    }
    plain = convert_call_func.is_unsupported

    def unsupported(function: Any) -> bool:
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        if code is not None and code.co_filename.startswith(OURS):
            return True
        if rung.own_code_only:
            if code is not None and code.co_filename not in files:
                return True
            if code is None and not isinstance(function, paddle.nn.Layer):
                return True
        return bool(plain(function))

    with internals.patched((convert_call_func, "is_unsupported", unsupported)):
        yield


# -- errors


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    lines = [line for line in text.splitlines() if line.strip()]
    telling = next(
        (
            line.strip()
            for line in lines
            if not line.lstrip().startswith(("File ", "In transformed", "-", "C++", "("))
            and ":" in line
        ),
        lines[0] if lines else "",
    )
    return f"{type(error).__name__}: {telling[:300]}"


def _source_of(error: BaseException) -> str:
    """The innermost line of the user's code in an exception's traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file, line = written(frame.filename, frame.lineno or 0)
        if in_user_code(file):
            return f"{file}:{line}"
    return ""


def _failure(model: paddle.nn.Layer, attempts: list[tuple[str, str]], source: str) -> str:
    tried = "; ".join(f"{name}: {reason}" for name, reason in attempts)
    at = f" at {source}" if source else ""
    return (
        f"{type(model).__name__} could not be captured{at}. Tried: {tried}. Check that the model runs on this example in eager mode; "
        "keep numpy and Python numbers computed from tensors out of the line named, or capture the part of the model around it"
    )
