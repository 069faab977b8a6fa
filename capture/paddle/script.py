"""Captured PIR operations as lines of Python that need Paddle alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import paddle

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import Node
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.pir_call import SPECIAL, Operation

__all__ = ["PRELUDE", "expression"]

PRELUDE = '''\
def paddle_leaf(array, dtype=None):
    floating = array.dtype.kind == "f"
    tensor = paddle.to_tensor(array.astype("float64") if DOUBLE and floating else array)
    if dtype and not DOUBLE:
        tensor = tensor.astype(dtype)
    tensor.stop_gradient = not floating
    return tensor


def paddle_array(tensor):
    return (tensor.astype("float32") if tensor.dtype == paddle.bfloat16 else tensor).detach().numpy()


def paddle_saved(results, gradients, operands):
    """What the model's own code did here: its results and gradients as they were."""

    class Saved(paddle.autograd.PyLayer):
        @staticmethod
        def forward(ctx, *_):
            return tuple(paddle_leaf(one).detach().astype(paddle_dtype(dtype)) for one, dtype in results)

        @staticmethod
        def backward(ctx, *_):
            given = [(one, operand) for one, operand in zip(gradients, operands) if operand is not None]
            return tuple(None if operand.stop_gradient else paddle.zeros_like(operand) if one is None else paddle_leaf(one).detach().astype(operand.dtype) for one, operand in given)

    found = Saved.apply(*operands)
    return list(found) if isinstance(found, (list, tuple)) else [found]


def paddle_dtype(name):
    return getattr(paddle, "float64" if DOUBLE and name in ("float32", "float16", "bfloat16") else name)


def paddle_list(result, hidden, widths):
    """Results as the program counts them: None for what eager mode keeps to itself, vectors member by member."""
    result = list(result) if isinstance(result, (list, tuple)) and hidden.count(False) != 1 else [result]
    if len(result) != len(hidden):
        shown = iter(result)
        result = [None if one else next(shown) for one in hidden]
    found = []
    for one, width in zip(result, widths):
        found += [one] if width is None else [None] * width if one is None else list(one)
    return found


def paddle_gradients(outputs, cotangents, leaves):
    pairs = [(o, paddle.to_tensor(c).astype(o.dtype)) for o, c in zip(outputs, cotangents) if not o.stop_gradient]
    wanted = [leaf for leaf in leaves if not leaf.stop_gradient]
    found = paddle.grad([o for o, _ in pairs], wanted, [c for _, c in pairs], allow_unused=True) if pairs and wanted else []
    found = dict(zip(map(id, wanted), found))
    return [None if found.get(id(leaf)) is None else paddle_array(found[id(leaf)]) for leaf in leaves]
'''


def expression(node: Node, operands: Sequence[str]) -> str:
    """The node's call, as an expression that yields the list of its results.

    Args:
        node: an operation, with its native handle.
        operands: what stands for each operand; "None" for an absent one.

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
    given = [
        f"[{', '.join(member)}]" if isinstance(member, list) else member
        for member in operation.grouped(operands)
    ]
    if operation.name in WRITTEN:
        call = WRITTEN[operation.name](
            dict(zip(operation.roles, given, strict=True)), operation.attrs
        )
    elif operation.name in SPECIAL:
        raise NotRunnable(f"{node.op} cannot be written as a call")
    else:
        call = _call(operation, given)
    hidden, widths = list(operation.hidden), list(operation.widths)
    laid = (
        f"[{call}]"
        if (hidden, widths) == ([False], [None])
        else f"paddle_list({call}, {hidden}, {widths})"
    )
    return (
        f"[one if one is None else one.detach() for one in {laid}]"
        if "no_grad" in node.marks
        else laid
    )


def _call(operation: Operation, given: Sequence[str]) -> str:
    function, plan = operation.prepared()
    if function is None:
        raise NotRunnable(f"{operation.name} has no eager function")
    arguments = []
    for kind, payload in plan:
        if kind == "operand":
            arguments.append(given[payload])
        elif kind == "number":
            arguments.append("None" if given[payload] == "None" else f"{given[payload]}.item()")
        elif kind == "numbers":
            vector = operation.operand_widths[payload] is not None
            arguments.append(
                "[]"
                if given[payload] == "None"
                else f"[one.item() for one in {given[payload]}]"
                if vector
                else f"{given[payload]}.numpy().reshape(-1).tolist()"
            )
        elif kind == "dtype":
            arguments.append(
                "paddle.base.libpaddle.DataType.UNDEFINED"
                if payload == "undefined"
                else f"paddle_dtype({payload!r})"
            )
        else:
            arguments.append(_literal(payload))
    return f"paddle._C_ops.{operation.name.removesuffix(internals.INPLACE)}({', '.join(arguments)})"


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


def _batch_norm(operands: Mapping[str, str], a: Mapping[str, Any]) -> str:
    statistics = [f"{operands[name]}.detach().clone()" for name in ("mean", "variance")]
    rest = [
        repr(a[name])
        for name in (
            "is_test",
            "momentum",
            "epsilon",
            "data_format",
            "use_global_stats",
            "trainable_statistics",
        )
    ]
    return f"paddle._C_ops.batch_norm({', '.join((operands['x'], *statistics, operands['scale'], operands['bias'], *rest))})"


WRITTEN: Mapping[str, Callable[[Mapping[str, str], Mapping[str, Any]], str]] = {
    "batch_norm": _batch_norm,
    "batch_norm_": _batch_norm,
    "share_data": lambda operands, a: f"{next(iter(operands.values()))}.detach()",
    "share_data_": lambda operands, a: f"{next(iter(operands.values()))}.detach()",
    "assign_out_": lambda operands, a: f"paddle.assign({next(iter(operands.values()))})",
    "full": lambda operands, a: (
        f"paddle.full({list(a['shape'])}, {_literal(a['value'])}, paddle_dtype({a['dtype']!r}))"
    ),
    "full_int_array": lambda operands, a: (
        f"paddle.to_tensor({list(a['value'])}, dtype={a['dtype']!r})"
    ),
    "assign_value": lambda operands, a: (
        f"paddle.to_tensor(np.array({_literal(a['values'])}).reshape({list(a['shape'])}), dtype=paddle_dtype({a['dtype']!r}))"
    ),
    "assign_value_": lambda operands, a: (
        f"paddle.to_tensor(np.array({_literal(a['values'])}).reshape({list(a['shape'])}), dtype=paddle_dtype({a['dtype']!r}))"
    ),
}
"""Operations whose eager call is not the generated function on the same arguments."""
