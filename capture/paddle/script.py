"""Captured PIR operations as lines of Python that need Paddle alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import paddle

from padiff_graph.capture.abilities import Known
from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import Node
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.pir_call import BATCH_NORM, SPECIAL, Argument, Operation

__all__ = ["PRELUDE", "expression", "resized"]

PRELUDE = '''\
def paddle_leaf(array, dtype=None):
    floating = array.dtype.kind == "f"
    tensor = paddle.to_tensor(array.astype("float64") if DOUBLE and floating else array)
    if dtype and not DOUBLE:
        tensor = tensor.astype(dtype)
    tensor.stop_gradient = not floating
    return tensor


def paddle_parameter(layer, array, dtype=None, trained=True):
    value = paddle_leaf(array, dtype).detach()
    initial = paddle.nn.initializer.Assign(value)
    parameter = layer.create_parameter(value.shape, None, value.dtype, False, initial)
    parameter.stop_gradient = not trained
    return parameter


def paddle_array(tensor):
    if tensor.dtype == paddle.bfloat16:
        tensor = tensor.astype("float32")
    return tensor.detach().numpy()


def paddle_constant(array, dtype):
    return paddle_leaf(array).detach().astype(dtype)


def paddle_saved(results, gradients, operands):
    """What the model's own code did here: its results and gradients as they were."""

    def gradient(array, operand):
        if operand.stop_gradient:
            return None
        if array is None:
            return paddle.zeros_like(operand)
        return paddle_constant(array, operand.dtype)

    class Saved(paddle.autograd.PyLayer):
        @staticmethod
        def forward(ctx, *_):
            return tuple(paddle_constant(array, paddle_dtype(dtype)) for array, dtype in results)

        @staticmethod
        def backward(ctx, *_):
            present = [pair for pair in zip(gradients, operands) if pair[1] is not None]
            return tuple(gradient(array, operand) for array, operand in present)

    returned = Saved.apply(*operands)
    return list(returned) if isinstance(returned, (list, tuple)) else [returned]


def paddle_dtype(name):
    widened = DOUBLE and name in ("float32", "float16", "bfloat16")
    return paddle.float64 if widened else getattr(paddle, name)


def paddle_list(result, hidden, widths):
    """Results as the program counts them: None for what eager mode hides, vectors one by one."""
    several = isinstance(result, (list, tuple)) and hidden.count(False) != 1
    results = list(result) if several else [result]
    if len(results) != len(hidden):
        shown = iter(results)
        results = [None if hides else next(shown) for hides in hidden]
    flat = []
    for member, width in zip(results, widths):
        if width is None:
            flat.append(member)
        else:
            flat += [None] * width if member is None else list(member)
    return flat


def paddle_gradients(outputs, cotangents, leaves):
    learning = [(o, c) for o, c in zip(outputs, cotangents) if not o.stop_gradient]
    ends = [output for output, _ in learning]
    seeds = [paddle.to_tensor(seed).astype(output.dtype) for output, seed in learning]
    wanted = [leaf for leaf in leaves if not leaf.stop_gradient]
    answered = paddle.grad(ends, wanted, seeds, allow_unused=True) if ends and wanted else []
    by_leaf = dict(zip(map(id, wanted), answered))
    gradients = [by_leaf.get(id(leaf)) for leaf in leaves]
    return [None if gradient is None else paddle_array(gradient) for gradient in gradients]
'''
"""What scripts with Paddle operations begin with; they name `paddle`, `np` and the switch
DOUBLE."""


EXTENTS = frozenset({"shape", "sections", "target_shape", "num_heads", "num"})
"""Attributes of operations that are extents of tensors."""
SPELLED_OUT = frozenset({"assign_value", "assign_value_"})
"""Operations whose extents are those of numbers that stand in an attribute."""


def resized(node: Node, sizes: Callable[[int], int]) -> Node:
    """The operation with each extent that its attributes name changed; itself where none is.

    All members of a list of numbers that operations read (`full_int_array`) are taken for extents.
    """
    if not isinstance(node.native, Operation) or node.native.name in SPELLED_OUT:
        return node
    named = frozenset({"value"}) if node.native.name == "full_int_array" else EXTENTS
    attrs = {
        name: _resized(value, sizes) if name in named else value
        for name, value in node.native.attrs.items()
    }
    if attrs == node.native.attrs:
        return node
    return replace(node, native=replace(node.native, attrs=attrs, _plan=None, _static=None))


def _resized(value: Any, sizes: Callable[[int], int]) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_resized(member, sizes) for member in value)
    return sizes(value) if type(value) is int else value


def expression(node: Node, operands: Sequence[str], *, model: bool = False) -> str:
    """The node's call, as an expression that yields the list of its results.

    Args:
        node: an operation, with its native handle.
        operands: what stands for each operand; "None" for an absent one.
        model: whether the call stands in a model, which writes its running statistics and may be
            captured.

    Raises:
        NotRunnable: where the operation is more than a call of Paddle's eager functions.
    """
    if not isinstance(node.native, Operation):
        raise NotRunnable(
            f"{node.op} stands for the model's own Python code and cannot be written as a call"
        )
    if "random" in node.marks:
        raise NotRunnable(f"{node.op} draws random numbers")
    operation = node.native
    given = [_listed(member) for member in operation.grouped(operands)]
    if model and operation.name in MODELLED:
        return MODELLED[operation.name](
            dict(zip(operation.roles, given, strict=True)), operation.attrs
        )
    if operation.name in WRITTEN:
        by_role = dict(zip(operation.roles, given, strict=True))
        call = WRITTEN[operation.name](by_role, operation.attrs)
    elif operation.name in SPECIAL:
        raise NotRunnable(f"{node.op} cannot be written as a call")
    else:
        call = _call(operation, given)
    results = _laid_out(operation, call)
    if "no_grad" in node.marks:
        return f"[one if one is None else one.detach() for one in {results}]"
    return results


def _listed(operand: str | list[str]) -> str:
    return f"[{', '.join(operand)}]" if isinstance(operand, list) else operand


def _laid_out(operation: Operation, call: str) -> str:
    """A call as the list of the program's results."""
    hidden, widths = list(operation.hidden), list(operation.widths)
    if hidden == [False] and widths == [None]:
        return f"[{call}]"
    return f"paddle_list({call}, {hidden}, {widths})"


def _call(operation: Operation, given: Sequence[Any]) -> str:
    function, plan = operation.prepared()
    if function is None:
        raise NotRunnable(f"{operation.name} has no eager function")
    arguments = ", ".join(_written(operation, argument, given) for argument in plan)
    return f"paddle._C_ops.{operation.name.removesuffix(internals.INPLACE)}({arguments})"


def _written(operation: Operation, argument: Argument, given: Sequence[Any]) -> str:
    """One argument of an eager function."""
    kind, payload = argument
    if kind == "operand":
        return str(given[payload])
    if kind in ("number", "numbers") and isinstance(given[payload], Known):
        numbers = given[payload].numbers
        return _literal(numbers[0] if kind == "number" else numbers)
    if kind == "number":
        return "None" if given[payload] == "None" else f"{given[payload]}.item()"
    if kind == "numbers":
        if given[payload] == "None":
            return "[]"
        if operation.operand_widths[payload] is not None:
            return f"[one.item() for one in {given[payload]}]"
        return f"{given[payload]}.numpy().reshape(-1).tolist()"
    if kind == "dtype":
        if payload == "undefined":
            return "paddle.base.libpaddle.DataType.UNDEFINED"
        return f"paddle_dtype({payload!r})"
    return _literal(payload)


def _literal(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(member) for member in value)}]"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    if isinstance(value, (bool, int, float, str, type(None))):
        return repr(value)
    if isinstance(value, paddle.CPUPlace) or type(value).__name__.endswith("Place"):
        return "paddle.framework._current_expected_place()"
    raise NotRunnable(f"an attribute of type {type(value).__name__} cannot be written as Python")


Attributes = Mapping[str, Any]
Operands = Mapping[str, str]


def _batch_norm(operands: Operands, attrs: Attributes) -> str:
    arguments = [
        operands["x"],
        *(f"{operands[name]}.detach().clone()" for name in ("mean", "variance")),
        operands["scale"],
        operands["bias"],
        *(repr(attrs[name]) for name in BATCH_NORM),
    ]
    return f"paddle._C_ops.batch_norm({', '.join(arguments)})"


def _detached(operands: Operands, attrs: Attributes) -> str:
    return f"{next(iter(operands.values()))}.detach()"


def _assigned(operands: Operands, attrs: Attributes) -> str:
    return f"paddle.assign({next(iter(operands.values()))})"


def _full(operands: Operands, attrs: Attributes) -> str:
    dtype = f"paddle_dtype({attrs['dtype']!r})"
    return f"paddle.full({list(attrs['shape'])}, {_literal(attrs['value'])}, {dtype})"


def _full_int_array(operands: Operands, attrs: Attributes) -> str:
    return f"paddle.to_tensor({list(attrs['value'])}, dtype={attrs['dtype']!r})"


def _assign_value(operands: Operands, attrs: Attributes) -> str:
    array = f"np.array({_literal(attrs['values'])}).reshape({list(attrs['shape'])})"
    return f"paddle.to_tensor({array}, dtype=paddle_dtype({attrs['dtype']!r}))"


WRITTEN: Mapping[str, Callable[[Operands, Attributes], str]] = {
    "batch_norm": _batch_norm,
    "batch_norm_": _batch_norm,
    "share_data": _detached,
    "share_data_": _detached,
    "assign_out_": _assigned,
    "full": _full,
    "full_int_array": _full_int_array,
    "assign_value": _assign_value,
    "assign_value_": _assign_value,
}
"""Operations whose eager call is not the generated function on the same arguments."""


def _statistics_written(operands: Operands, attrs: Attributes) -> str:
    """As a layer calls it: the running statistics are written, and nothing but the values come
    back."""
    arguments = ", ".join(operands[name] for name in ("x", "mean", "variance", "scale", "bias"))
    settings = {
        "training": not attrs["is_test"],
        "momentum": attrs["momentum"],
        "epsilon": attrs["epsilon"],
        "data_format": attrs["data_format"],
        "use_global_stats": attrs["use_global_stats"],
    }
    named = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return f"[paddle.nn.functional.batch_norm({arguments}, {named})]"


MODELLED: Mapping[str, Callable[[Operands, Attributes], str]] = {
    "batch_norm": _statistics_written,
    "batch_norm_": _statistics_written,
}
"""Operations that a model calls otherwise."""
