"""Everything that depends on Paddle's internals: modes, the static-operand hook, facts about PIR operations.

Written against paddlepaddle 3.x with PIR. Where a version moves, it is this module that has to follow.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ctypes import CDLL, c_int
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import paddle
import paddle.base.dygraph.base as dygraph
from paddle.base import core, framework
from paddle.pir.core import static_op_arg_cast_guard

__all__ = [
    "INPLACE",
    "SHAPE",
    "TENSOR",
    "VIEWS",
    "arguments",
    "attributes",
    "building",
    "callstack",
    "data_type",
    "declared",
    "dynamic",
    "dynamic_tracer",
    "eager_operation",
    "expected_place",
    "inplace_results",
    "intermediate",
    "operand_names",
    "patched",
    "place",
    "result_types",
    "scalar_arguments",
    "spelled",
    "static_op_arg_cast_guard",
    "tensor_arguments",
    "threaded",
    "threads",
    "typed",
]

TENSOR = paddle.Tensor
"""Eager tensors; kept here because the name is patched while a forward runs."""

HIDDEN = frozenset(
    {
        "op_callstack",
        "stop_gradient",
        "persistable",
        "is_persistable",
        "struct_name",
        "sym_shape_str",
        "op_role",
        "chunk_id",
        "comp_op_name",
    }
)
"""Attributes of PIR operations that are notes of the framework, not part of the call."""

VIEWS = frozenset(
    f"pd_op.{name}"
    for name in (
        "reshape",
        "view_shape",
        "flatten",
        "squeeze",
        "unsqueeze",
        "transpose",
        "slice",
        "strided_slice",
    )
)
"""Operations whose eager result shares memory with the first operand, and whose write-back is known."""

LOG_LEVEL, ERRORS_ONLY = "_ZN3fLI17FLAGS_minloglevelE", 2
"""glog's flag inside Paddle's library: below which level nothing is written."""

PATIENCE = 1
"""Milliseconds that a thread of a parallel kernel waits for the next one with its core held."""

INPLACE = "_"
"""How the name of an operation that writes its operand ends."""


@contextmanager
def patched(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Sets attributes (owner, name, value) and puts the former ones back, however it ends."""
    done: list[tuple[Any, str, bool, Any]] = []
    try:
        for owner, name, value in changes:
            own = name in vars(owner)
            done.append((owner, name, own, vars(owner).get(name)))
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, own, former in reversed(done):
            if own:
                setattr(owner, name, former)
            else:
                delattr(owner, name)


def dynamic_tracer() -> Any:
    """What makes dynamic mode dynamic; None in static mode."""
    return framework._dygraph_tracer()


@contextmanager
def dynamic(tracer: Any) -> Iterator[None]:
    """Dynamic mode inside a program that is being built; nothing run here is recorded in it."""
    with framework._dygraph_guard(tracer), dygraph.to_static_mode_guard(False), paddle.no_grad():
        yield


@cache
def _told_once() -> None:
    """Paddle warns at the first static call that has an argument `out`, also where it is None as in its own
    Python functions, and never again in a process. An operation of no use gets that over with unseen."""
    try:
        level = c_int.in_dll(CDLL(paddle.base.libpaddle.__file__), LOG_LEVEL)
    except (OSError, ValueError):  # a build that hides the name: the warning is seen, once
        return
    before = level.value
    level.value = ERRORS_ONLY
    try:
        with (
            framework._dygraph_guard(None),
            paddle.static.program_guard(paddle.static.Program()),
            paddle.utils.unique_name.guard(),
        ):
            paddle._C_ops.relu(paddle.static.data("x", [1], "float32"), out=None)
    finally:
        level.value = before


@cache
def _openmp() -> Any:
    """The OpenMP library that Paddle's kernels and its MKL share; None in a build that has another."""
    library = Path(paddle.__file__).parent / "libs" / "libiomp5.so"
    return CDLL(str(library)) if library.exists() else None


def threads() -> int:
    """How many threads this thread's kernels run on; 0 where this build does not tell."""
    library = _openmp()
    return int(library.omp_get_max_threads()) if library is not None else 0


@contextmanager
def threaded(number: int) -> Iterator[None]:
    """Kernels run on so many threads, which go soon when there is nothing to do: another framework's may want the cores."""
    library, before = _openmp(), threads()
    if not before or before == number:
        yield
        return
    patience = library.kmp_get_blocktime()
    core.set_num_threads(number)
    library.kmp_set_blocktime(PATIENCE)
    try:
        yield
    finally:
        core.set_num_threads(before)
        library.kmp_set_blocktime(patience)


@contextmanager
def building(program: Any, startup: Any, cast: Callable[[Any], Any]) -> Iterator[None]:
    """Static mode with `program` under construction; `cast` sees every operand of every new operation."""
    _told_once()
    with (
        framework._dygraph_guard(None),
        paddle.static.program_guard(program, startup),
        dygraph.to_static_mode_guard(True),
        static_op_arg_cast_guard(cast),
        paddle.utils.unique_name.guard(),
    ):
        yield


def expected_place() -> Any:
    """Where new tensors go."""
    return framework._current_expected_place()


def spelled(dtype: Any) -> str:
    """A dtype as the graph spells it: "float32"."""
    return str(dtype).rpartition(".")[2].lower()


def data_type(name: str) -> Any:
    """Paddle's dtype of a graph spelling; "undefined" is the operation's own choice."""
    return (
        paddle.base.libpaddle.DataType.UNDEFINED if name == "undefined" else getattr(paddle, name)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_plain(member) for member in value)
    if isinstance(value, paddle.base.libpaddle.DataType):
        return spelled(value)
    if isinstance(value, (core.Place, core.CPUPlace)) or type(value).__name__.endswith("Place"):
        return "cpu" if "cpu" in str(value).lower() else ""
    return str(value)


def attributes(operation: Any) -> dict[str, Any]:
    """The attributes that belong to the call, as plain Python: dtypes spelled, lists as tuples."""
    return {name: _plain(value) for name, value in operation.attrs().items() if name not in HIDDEN}


def callstack(operation: Any) -> list[str]:
    """The Python frames that made the operation, outermost first, two lines each as in a traceback."""
    found: list[str] = operation.callstack
    return found


def place(operation: Any, frame: FrameType) -> None:
    """Notes the live frames as those that made an operation, where Paddle noted none."""
    if not operation.callstack:
        frames = [
            f'  File "{one.filename}", line {one.lineno}, in {one.name}'
            for one in traceback.StackSummary.extract(
                traceback.walk_stack(frame), lookup_lines=False
            )
        ]
        operation.set_str_array_attr("op_callstack", frames[::-1])


def operand_names(operation: Any) -> list[str]:
    """The schema's name of each operand; numbered where the operation has no schema."""
    return _schema(operation) or [str(position) for position in range(operation.num_operands())]


def _schema(operation: Any) -> list[str] | None:
    try:
        found: list[str] = operation.get_input_names()
    except ValueError:
        # operations of the control-flow and builtin dialects carry no schema
        return None
    return found


def intermediate(operation: Any) -> list[bool]:
    """Which results eager mode keeps to itself (saved for the backward pass)."""
    if _schema(operation) is None:  # asking all the same may end the process
        return [False] * operation.num_results()
    return [bool(flag) for flag in operation.get_output_intermediate_status()]


def inplace_results(operation: Any) -> dict[int, int]:
    """Positions of results that overwrite an operand, with that operand's position."""
    if not operation.name().endswith(INPLACE):
        return {}
    found: Mapping[int, int] = paddle.base.libpaddle.pir.get_op_inplace_info(operation)
    return dict(found)


def result_types(
    value: Any,
) -> list[tuple[tuple[int, ...], str]] | tuple[tuple[int, ...], str] | None:
    """Shape and dtype of a value; a list of them for a vector; None for what is no dense tensor."""
    if value.is_combine():
        members = value.type().as_vec_type().as_list()
        return [(tuple(member.shape), spelled(member.dtype)) for member in members]
    if not value.is_dense_tensor_type():
        return None
    return tuple(SHAPE.__get__(value)), spelled(value.dtype)


SHAPE: Any = paddle.pir.Value.__dict__["shape"]
"""The shape as the program knows it, -1 where it does not; kept here because capturing answers it by running."""


def declared(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """A new input of the program under construction, at the start of its outermost block.

    At the start, because a reader may stand inside a loop or a branch that is still being built: behind
    that one, the input would be destroyed before its reader, which ends the process.
    """
    here = paddle.pir.get_current_insertion_point()
    paddle.pir.reset_insertion_point_to_start()
    try:
        return paddle._C_ops.data(name, list(shape), data_type(dtype), core.Place())
    finally:
        paddle.pir.set_insertion_point(here)


def typed(value: Any, shape: tuple[int, ...]) -> None:
    """Tells the program the shape of a value that it could not infer."""
    value.set_type(paddle.base.libpaddle.pir.create_shaped_type(value.type(), list(shape)))


def eager_operation(name: str) -> Any:
    """The eager function of an operation without its dialect, None where there is none."""
    return getattr(core.eager.ops, name, None)


@cache
def _runtime_arguments() -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    operations: Any = core.eager.ops
    return operations.get_core_ops_args_info(), operations.get_core_ops_args_type_info()


@cache
def _declarations() -> dict[str, str]:
    """Parameter lists of the C++ functions that eager mode binds, as the wheel's own headers declare them."""
    found: dict[str, str] = {}
    for header in ("api.h", "fused_api.h"):
        path = os.path.join(
            paddle.sysconfig.get_include(), "paddle", "phi", "api", "include", header
        )
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                declaration = re.match(r"PADDLE_API\s.*?\s(\w+)\((.*)\);", line)
                if declaration:
                    found[declaration[1]] = re.sub(
                        r",?\s*paddle::optional<(?:(?!paddle::optional).)*> predefined_out = paddle::none",
                        "",
                        declaration[2],
                    )
    return found


@cache
def _declared_arguments() -> dict[str, list[str]]:
    """Argument names in order as the headers declare them."""
    found = {}
    for name, declaration in _declarations().items():
        flat = re.sub(r"<[^<>]*>", "", re.sub(r"<[^<>]*>", "", declaration))
        found[name] = re.findall(r"(\w+)(?:\s*=\s*(?:[^,{(]|\{[^}]*\}|\([^)]*\))*)?(?=,|$)", flat)
    return found


ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "conv2d": (
        "input",
        "filter",
        "strides",
        "paddings",
        "padding_algorithm",
        "dilations",
        "groups",
        "data_format",
    ),
    "slice": ("input", "axes", "starts", "ends", "infer_flags", "decrease_axis"),
    "multiply": ("x", "y"),
    "add_n": ("inputs",),
}
"""Argument orders of hand-written bindings, of which the runtime tells nothing or the wrong thing."""


def arguments(name: str, known: frozenset[str]) -> tuple[str, ...] | None:
    """Argument names of an eager function in call order, None where they cannot be told.

    Args:
        name: the operation without its dialect.
        known: operand and attribute names of the PIR operation; an order is only trusted where it
            names these and no others (sparse namesakes overwrite some rows of the runtime's table).
    """
    for source in (ARGUMENTS, _declared_arguments(), _runtime_arguments()[0]):
        order = source.get(name)
        if order is not None and set(order) == known:
            return tuple(order)
    return None


DENSE: Mapping[str, frozenset[str]] = {
    "conv2d": frozenset({"input", "filter"}),
    "slice": frozenset({"input"}),
    "multiply": frozenset({"x", "y"}),
    "add_n": frozenset({"inputs"}),
    "linear": frozenset({"input", "weight", "bias"}),
}
"""Tensor arguments of the same hand-written bindings."""


@cache
def tensor_arguments(name: str) -> frozenset[str]:
    """Arguments of an eager function that are tensors or lists of tensors; the others are numbers."""
    if name in DENSE:
        return DENSE[name]
    declared = _declared_tensors().get(name)
    if declared is not None:
        return declared
    names, kinds = _runtime_arguments()
    return frozenset(
        argument
        for argument, kind in zip(names.get(name, ()), kinds.get(name, ()), strict=True)
        if kind
    )


@cache
def _declared_tensors() -> dict[str, frozenset[str]]:
    found = {}
    for name, declaration in _declarations().items():
        found[name] = frozenset(
            re.findall(r"Tensor[>\s&]*\s*&?\s*(\w+)(?=\s*[,=]|\s*$)", declaration)
        )
    return found


@cache
def scalar_arguments(name: str) -> frozenset[str]:
    """Arguments of an eager function that are one number which may come as a tensor."""
    return frozenset(re.findall(r"\bScalar& (\w+)", _declarations().get(name, "")))
