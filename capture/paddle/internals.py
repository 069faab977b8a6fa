"""Facts about Paddle's internals: modes, the static-operand hook, PIR operations and values.

What this package needs of Paddle that no documentation promises stands here, in `eager_calls` (how
eager functions are called), in `transform` (dygraph-to-static) and in the tables of `patches`;
where a version moves, these have to follow. Each fact says in which versions it was seen.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from ctypes import CDLL, c_int, py_object, pythonapi
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import paddle
import paddle.base.dygraph.base as dygraph
from paddle.base import core, framework
from paddle.pir.core import static_op_arg_cast_guard

__all__ = [
    "INPLACE",
    "RECURRENT",
    "SHAPE",
    "TENSOR",
    "VIEWS",
    "Patch",
    "attributes",
    "building",
    "callstack",
    "cpu_draws",
    "data_type",
    "declared",
    "device_of",
    "dynamic",
    "dynamic_tracer",
    "expected_place",
    "inplace_results",
    "intermediate",
    "operand_names",
    "outliving_refusal",
    "parameter_recorder",
    "patched",
    "place",
    "put_cpu_draws",
    "put_gradient",
    "recurrent_steps",
    "result_types",
    "shape_of",
    "spelled",
    "static_op_arg_cast_guard",
    "threaded",
    "threads",
    "typed",
    "vector_width",
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
"""Attributes of PIR operations that are notes of the framework, not part of the call.

Seen in 3.3.1 (`paddle/fluid/pir/dialect/operator/ir`).
"""

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
"""Operations whose eager result shares memory with the first operand, and whose write-back is
known.

Seen in 3.3.1 with FLAGS_use_stride_kernel.
"""

LOG_LEVEL, ERRORS_ONLY = "_ZN3fLI17FLAGS_minloglevelE", 2
"""glog's flag inside Paddle's library: below which level nothing is written. Seen in 3.3.1."""

PATIENCE = 1
"""Milliseconds that a thread of a parallel kernel waits for the next one with its core held.

Chosen so that cores are free for the other framework between two operations; OpenMP's 200 are not.
"""

INPLACE = "_"
"""How the name of an operation that writes its operand ends. Seen in 3.3.1."""


AUTOCAST = sys.modules[paddle.amp.auto_cast.__module__]
"""The module of `paddle.amp.auto_cast`, which is the function's name too."""

AUTOCAST_BLOCK = AUTOCAST.amp_guard
"""What `auto_cast` calls: a block, which in dynamic mode is off where the place is a CPU."""


RECURRENT = sys.modules[paddle.nn.RNN.__module__]
"""The module of `paddle.nn.RNN`."""

recurrent_steps = RECURRENT._rnn_dynamic_graph
"""How `RNN` runs a cell in dynamic mode: one call a step. Seen in 3.3.1."""

VERSION = tuple(int(part) for part in paddle.__version__.split(".")[:2])
"""Major and minor number; (0, 0) of a build from source."""

RECORDERS = (
    "paddle.jit.dy2static.parameter_recorder",
    "paddle.jit.pir_dy2static.parameter_recorder",
)
"""Where the maps of a program's parameters and of overwritten values stand: in 3.1 and later, and
in 3.0."""


def first_module(names: Iterable[str]) -> ModuleType:
    """The first of these modules that this version of Paddle has.

    Raises:
        ImportError: it has none of them.
    """
    for name in names:
        if _is_there(name):
            return import_module(name)
    raise ImportError(f"this version of Paddle, {paddle.__version__}, has none of {list(names)}")


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


parameter_recorder = first_module(RECORDERS)
"""Paddle's own maps of a program that is being made."""


@dataclass(frozen=True)
class Patch:
    """An attribute of Paddle that is replaced for a while.

    Attributes:
        owner: the module, class or object.
        name: the attribute.
        replacement: what stands there meanwhile.
        why: what the original does that a recording cannot have.
    """

    owner: Any
    name: str
    replacement: Any
    why: str


@contextmanager
def patched(patches: Iterable[Patch]) -> Iterator[None]:
    """Replaces attributes and puts the former ones back, however it ends."""
    former: list[tuple[Patch, bool, Any]] = []
    try:
        for patch in patches:
            own = vars(patch.owner)
            former.append((patch, patch.name in own, own.get(patch.name)))
            setattr(patch.owner, patch.name, patch.replacement)
        yield
    finally:
        for patch, had, value in reversed(former):
            if had:
                setattr(patch.owner, patch.name, value)
            else:
                delattr(patch.owner, patch.name)


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
    """Paddle warns at the first static call that has an argument `out`, also where it is None as
    in its own Python functions, and never again in a process. An operation of no use gets that
    over with unseen."""
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
    """The OpenMP library that Paddle's kernels and its MKL share; None in a build that has
    another."""
    library = Path(paddle.__file__).parent / "libs" / "libiomp5.so"
    return CDLL(str(library)) if library.exists() else None


def threads() -> int:
    """How many threads this thread's kernels run on; 0 where this build does not tell."""
    library = _openmp()
    return int(library.omp_get_max_threads()) if library is not None else 0


@contextmanager
def threaded(number: int) -> Iterator[None]:
    """Kernels run on so many threads, which go soon when there is nothing to do: another
    framework's may want the cores."""
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
    """Static mode with `program` under construction; `cast` sees every operand of every new
    operation."""
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


def cpu_draws() -> Any:
    """The state of the CPU's generator. `paddle.set_rng_state(state, "cpu")` fails in 3.0."""
    return core.default_cpu_generator().get_state()


def put_cpu_draws(state: Any) -> None:
    """Puts a state of the CPU's generator back."""
    core.default_cpu_generator().set_state(state)


def put_gradient(tensor: Any, gradient: Any) -> None:
    """Sets `.grad`; None is refused by 3.2 and earlier, which let go of it in another way."""
    if gradient is None and (0, 0) < VERSION < (3, 3):
        tensor.clear_gradient(False)
    else:
        tensor.grad = gradient


def device_of(place: Any) -> Any:
    """A place as `Tensor.device` says it."""
    return paddle.device.Device(str(place).removeprefix("Place(").removesuffix(")"))


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
    """The Python frames that made the operation, outermost first, two lines each as in a
    traceback."""
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


NESTED = ("pd_op.if", "pd_op.while", "cf.")
"""How the names of operations begin that hold programs of their own, or belong to such."""


@contextmanager
def outliving_refusal(program: Any) -> Iterator[None]:
    """While a program is written down and looked at; where that fails with branches inside of it,
    the program is never let go.

    What one branch wrote may be read in another then, and Paddle ends the process where it
    destroys a value that is still read ("Destroyed a op_result that is still in use"; 3.3.1).
    """
    try:
        yield
    except BaseException:
        if any(operation.name().startswith(NESTED) for operation in program.global_block().ops):
            pythonapi.Py_IncRef(py_object(program))
        raise


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
    return tuple(shape_of(value)), spelled(value.dtype)


def shape_of(value: Any) -> list[int]:
    """The shape of a value as the program knows it, -1 where it does not."""
    shape: list[int] = SHAPE.__get__(value)
    return shape


SHAPE: Any = paddle.pir.Value.__dict__["shape"]
"""The shape as the program knows it, -1 where it does not; kept here because capturing answers it
by running."""


def declared(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """A new input of the program under construction, at the start of its outermost block.

    At the start, because a reader may stand inside a loop or a branch that is still being built:
    behind that one, the input would be destroyed before its reader, which ends the process.
    """
    here = paddle.pir.get_current_insertion_point()
    paddle.pir.reset_insertion_point_to_start()
    try:
        with _no_frames():
            return paddle._C_ops.data(name, list(shape), data_type(dtype), core.Place())
    finally:
        paddle.pir.set_insertion_point(here)


@contextmanager
def _no_frames() -> Iterator[None]:
    """Inside, Paddle notes no Python frames for the operations that it makes: of an input nobody
    asks for them, and reading the lines of all files on the way takes ten times as long as the
    operation."""
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = 0
    try:
        yield
    finally:
        if before is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = before


def typed(value: Any, shape: tuple[int, ...]) -> None:
    """Tells the program the shape of a value that it could not infer."""
    value.set_type(paddle.base.libpaddle.pir.create_shaped_type(value.type(), list(shape)))


def vector_width(value: Any) -> int | None:
    """How many members a vector of tensors has; None for a value that is no vector, or absent."""
    if not value.initialized() or not value.is_combine():
        return None
    return len(value.type().as_vec_type().as_list())
