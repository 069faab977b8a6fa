"""The ladder of ways to capture a Paddle layer: `RUNGS`, best first.

Each step down that loses something is noted with its reason.
"""

from __future__ import annotations

import logging
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import paddle

from padiff_graph.capture import leaf_names as leaves
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.chatter import Chatter, without_chatter
from padiff_graph.capture.graph import ComputationGraph, Kind, ParameterInfo
from padiff_graph.capture.late_weights import late_model
from padiff_graph.capture.paddle import internals, values
from padiff_graph.capture.paddle.backward_code import is_value
from padiff_graph.capture.paddle.example_numbers import refuse_control_flow
from padiff_graph.capture.paddle.layer_tensors import (
    layer_classes,
    layer_paths,
    named_tensors,
    nesting,
    parameter_table,
)
from padiff_graph.capture.paddle.patches import recorded
from padiff_graph.capture.paddle.pir_graph import Conversion
from padiff_graph.capture.paddle.quiet import quiet
from padiff_graph.capture.paddle.recording import Questions, Recording
from padiff_graph.capture.paddle.transform import deep_enough, transformed, transforming
from padiff_graph.capture.paddle.user_lines import in_user_code, written

__all__ = ["RUNGS", "Session", "trace"]

LOG = logging.getLogger(__name__)

REASON_LENGTH = 300
"""Characters of an exception that are told; chosen so that a ladder of reasons fits a screen."""


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


CHATTER = Chatter(
    "paddle", os.path.dirname(paddle.__file__) + os.sep, stand_ins=("Value(define_op_name=",)
)


@dataclass(frozen=True)
class Rung:
    """One way to run a forward symbolically.

    Attributes:
        name: as reports name it.
        forward: what is called in place of the layer.
        questions: what becomes of questions about numbers.
        limits: what holds while the forward runs.
        told: whether a step down from here loses something, so that its reason is noted.
        when: when it is tried.
        why: what it can do that the one before cannot.
    """

    name: str
    forward: Callable[[paddle.nn.Layer], Callable[..., Any]]
    questions: Questions
    limits: Callable[[paddle.nn.Layer], AbstractContextManager[None]]
    told: bool
    when: str
    why: str


def _plainly(model: paddle.nn.Layer) -> Callable[..., Any]:
    called: Callable[..., Any] = model
    return called


def _no_limits(model: paddle.nn.Layer) -> AbstractContextManager[None]:
    return nullcontext()


def _everywhere(model: paddle.nn.Layer) -> AbstractContextManager[None]:
    return transforming(model, own_code_only=False)


def _own_code(model: paddle.nn.Layer) -> AbstractContextManager[None]:
    return transforming(model, own_code_only=True)


RUNGS = (
    Rung(
        name="forward as written",
        forward=_plainly,
        questions=Questions.REFUSED,
        limits=_no_limits,
        told=False,
        when="first",
        why="no source is rewritten, which takes seconds and cannot express all of Python;"
        " whatever depends on a tensor's numbers is refused, so nothing is lost",
    ),
    Rung(
        name="full-graph to_static",
        forward=transformed,
        questions=Questions.TRANSFORMED,
        limits=_everywhere,
        told=True,
        when="where the forward asks for numbers",
        why="Paddle makes operations of control flow and of conversions such as int(x)",
    ),
    Rung(
        name="to_static outside library code",
        forward=transformed,
        questions=Questions.TRANSFORMED,
        limits=_own_code,
        told=True,
        when="where the transform fails",
        why="library code often uses what the transform cannot rewrite, and seldom needs it",
    ),
    Rung(
        name="forward run on the example",
        forward=_plainly,
        questions=Questions.ANSWERED,
        limits=_no_limits,
        told=True,
        when="last",
        why="the example answers whatever is asked; noted, for another input may go another way",
    ),
)
"""Ways to capture, best first."""


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
    if not leaves.leaves(example, _is_leaf):
        given = ", ".join(f"{name}: {type(value).__name__}" for name, value in example.items())
        raise CaptureError(
            f"the example holds no Paddle tensor (found {given or 'nothing'});"
            " give the inputs of forward by name"
        )
    attempts: list[tuple[str, str]] = []
    source = ""
    for rung in _rungs(below):
        try:
            graph = _captured(rung, model, example)
        except Exception as error:  # whatever a user's forward raises: the next rung may do
            where = getattr(error, "source", "") or _source_of(error)
            LOG.debug("%s failed", rung.name, exc_info=error)
            source = where or source
            if rung.told:
                attempts.append((rung.name, _reason(error, where)))
        else:
            graph.notes[:0] = [f"not captured by {tried}: {reason}" for tried, reason in attempts]
            return graph
    raise CaptureError(_failure(model, attempts, source), source, tuple(attempts))


def _rungs(below: str) -> tuple[Rung, ...]:
    names = [rung.name for rung in RUNGS]
    return RUNGS[names.index(below) + 1 :] if below else RUNGS


def _is_leaf(value: Any) -> bool:
    return not is_value(value) and isinstance(value, (internals.TENSOR, paddle.static.InputSpec))


def _captured(rung: Rung, model: paddle.nn.Layer, example: Mapping[str, Any]) -> ComputationGraph:
    given = leaves.leaves(example, _is_leaf)
    tensors = {name: _tensor(leaf, name) for name, leaf in given.items()}
    abstract = any(isinstance(leaf, paddle.static.InputSpec) for leaf in given.values())
    own = named_tensors(model)
    table = parameter_table(model)
    concrete = not abstract and _materialised(tensors, own, table)
    recording = Recording(_names(own, table), layer_paths(model), concrete, rung.questions)
    with (
        internals.outliving_refusal(recording.program),
        quiet(model, values=False),
        _silence(),
        without_chatter(CHATTER),
        deep_enough(nesting(model)),
        recorded(recording),
    ):
        inputs = {
            name: recording.inputs.declare(tensor, "input", name)
            for name, tensor in tensors.items()
        }
        with rung.limits(model):
            given_inputs = leaves.replace(dict(example), _is_leaf, inputs)
            returned = leaves.settled(rung.forward(model)(**given_inputs))
        outputs = {
            name: recording.resolved(leaf)
            for name, leaf in leaves.output_leaves(returned, _is_tensor).items()
        }
        updates = _updates(recording, model, own)
        _check(recording, outputs)
    for value in outputs.values():
        recording.numbers.settle(value)
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
    graph.notes = _notes(recording, example, tensors)
    graph.decided = bool(recording.notes)
    filled = all(values.materialised(tensor) for tensor in tensors.values()) and not abstract
    shapes_only = not concrete and not (filled and late_model(model))
    graph.session = Session(conversion.tensors, recording.program, rung.name, shapes_only)
    return graph


def _materialised(
    tensors: Mapping[str, Any], own: Mapping[str, Any], table: Mapping[str, ParameterInfo]
) -> bool:
    """Whether inputs and parameters hold numbers; a buffer may wait for its first run."""
    held = [tensor for name, tensor in own.items() if not table[name].buffer]
    return all(values.materialised(tensor) for tensor in (*tensors.values(), *held))


def _names(
    own: Mapping[str, Any], table: Mapping[str, ParameterInfo]
) -> dict[int, tuple[Kind, str]]:
    names: dict[int, tuple[Kind, str]] = {}
    for name, tensor in own.items():
        names[id(tensor)] = ("buffer" if table[name].buffer else "parameter", name)
    return names


def _check(recording: Recording, outputs: Mapping[str, Any]) -> None:
    """Refuses programs that a flat graph cannot hold.

    Raises:
        CaptureError: naming the line.
    """
    if not outputs:
        raise CaptureError("the model returns no tensor, so there is nothing to capture")
    for operation in recording.program.global_block().ops:
        refuse_control_flow(operation)


def _notes(
    recording: Recording, example: Mapping[str, Any], tensors: Mapping[str, Any]
) -> list[str]:
    shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
    notes = [f"shapes are those of the example: {shapes}", *recording.notes]
    plain = ", ".join(
        f"{name}={value!r}"
        for name, value in leaves.values(example, _is_leaf).items()
        if isinstance(value, (bool, int, float, str))
    )
    if plain:
        notes.append(f"Python values of the example are fixed in the graph: {plain}")
    return notes


def _is_tensor(value: Any) -> bool:
    return is_value(value) or isinstance(value, internals.TENSOR)


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
    updates = {}
    for name, tensor in own.items():
        leaf = recording.inputs.by_tensor.get(id(tensor))
        if leaf is not None:
            now = recording.current(leaf.value)
            if now.id != leaf.value.id:
                updates[name] = now
    for path, layer in model.named_sublayers(include_self=True):
        for name, held in layer._buffers.items():
            if is_value(held):
                updates[f"{path}.{name}" if path else name] = recording.resolved(held)
    return updates


# -- errors


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reason(error: BaseException, where: str) -> str:
    reason = _first_line(error)
    return f"{reason} ({where})" if where else reason


def _first_line(error: BaseException) -> str:
    """An exception's class and the first line of its text that tells something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if ":" in line and not line.startswith(NOISE)]
    first = (telling or lines or [""])[0]
    return f"{type(error).__name__}: {first[:REASON_LENGTH]}"


NOISE = ("File ", "In transformed", "-", "C++", "(")
"""How lines begin that Paddle puts around the words of an exception."""


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
        f"{type(model).__name__} could not be captured{at}. Tried: {tried}. Check that the model"
        " runs on this example in eager mode; keep numpy and Python numbers computed from tensors"
        " out of the line named, or capture the part of the model around it"
    )
