"""Captured ATen operations as lines of Python that need torch alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import Node
from padiff_graph.capture.torch import effects
from padiff_graph.capture.torch.aliases import WITH_VALUE
from padiff_graph.capture.torch.aten_call import writes_complex
from padiff_graph.capture.torch.aten_facts import MOVING, STATISTICS
from padiff_graph.capture.torch.aten_schema import (
    DTYPES,
    FORMATS,
    by_argument,
    find_overload,
    mutated,
)
from padiff_graph.capture.torch.internals import arguments_of, returns_of

__all__ = ["PRELUDE", "expression", "resized"]

PRELUDE = '''\
def torch_leaf(array, dtype=None):
    tensor = torch.from_numpy(array.copy()).to(getattr(torch, dtype or str(array.dtype)))
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float64 if DOUBLE else tensor.dtype).requires_grad_()
    return tensor


def torch_parameter(array, dtype=None, trained=True):
    return torch.nn.Parameter(torch_leaf(array, dtype).detach(), requires_grad=trained)


def torch_array(tensor):
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


def torch_saved(results, gradients, operands):
    """What the model's own code did here: its results and gradients as they were."""

    def number(array, dtype):
        return torch_leaf(array).detach().to(dtype)

    class Saved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *_):
            return tuple(
                number(array, torch_dtype(getattr(torch, dtype))) for array, dtype in results
            )

        @staticmethod
        def backward(ctx, *_):
            pairs = zip(gradients, operands)
            return tuple(None if g is None else number(g, operand.dtype) for g, operand in pairs)

    return list(Saved.apply(*operands))


def torch_dtype(dtype):
    return torch.float64 if DOUBLE and dtype.is_floating_point else dtype


def torch_list(result):
    if isinstance(result, (list, tuple)):
        return [leaf for member in result for leaf in torch_list(member)]
    return [result]


def torch_gradients(outputs, cotangents, leaves):
    pairs = [
        (output, torch.from_numpy(cotangent.copy()).to(output.dtype))
        for output, cotangent in zip(outputs, cotangents)
        if output.requires_grad
    ]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    arrived = {}
    if pairs and wanted:
        gradients = torch.autograd.grad(
            [output for output, _ in pairs], wanted, [seed for _, seed in pairs], allow_unused=True
        )
        arrived = {id(leaf): gradient for leaf, gradient in zip(wanted, gradients)}
    gradients = [arrived.get(id(leaf)) for leaf in leaves]
    return [None if gradient is None else torch_array(gradient) for gradient in gradients]
'''


EXTENTS = frozenset(
    {
        "size",
        "shape",
        "normalized_shape",
        "split_size",
        "split_sizes",
        "sizes",
        "num_heads",
        "N",
        "C",
        "HxW",
        "end",
    }
)
"""Arguments of operators that are extents of tensors, or counts of what lies along an axis."""


def resized(node: Node, sizes: Callable[[int], int]) -> Node:
    """The operation with each extent that its attributes name changed; itself where none is."""
    attrs = {
        name: _resized(value, sizes) if name in EXTENTS else value
        for name, value in node.attrs.items()
    }
    return node if attrs == dict(node.attrs) else replace(node, attrs=attrs)


def _resized(value: Any, sizes: Callable[[int], int]) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_resized(member, sizes) for member in value)
    return sizes(value) if type(value) is int else value


def expression(node: Node, operands: Sequence[str], *, model: bool = False) -> str:
    """The node's call, as an expression that yields the list of its results.

    Args:
        node: an operation.
        operands: what stands for each operand; "None" for an absent one.
        model: whether the call stands in a model, which writes its running statistics.

    Raises:
        NotRunnable: where the operation is more than a call: a hook, a custom backward function, a
            random draw.
    """
    _refuse(node)
    try:
        overload = find_overload(node.op)
    except KeyError as error:
        raise NotRunnable(str(error)) from None
    given = _given(node, overload, operands, model)
    call = f"torch.ops.{node.op}({_arguments(node, overload, given)})"
    returns = returns_of(overload)
    listed = f"torch_list({call})"
    if len(returns) == 1 and str(returns[0].type) == "Tensor":
        listed = f"[{call}]"
    if "no_grad" in node.marks:
        return f"[one.detach() for one in {listed}]"
    return listed


def _refuse(node: Node) -> None:
    if node.op in effects.EFFECTS or node.op == WITH_VALUE or "autocast" in node.attrs:
        raise NotRunnable(
            f"{node.op} stands for the model's own Python code and cannot be written as a call"
        )
    if "random" in node.marks:
        raise NotRunnable(f"{node.op} draws random numbers")
    if writes_complex(node):
        raise NotRunnable(f"{node.op} of complex numbers is not differentiated by torch")


def _given(node: Node, overload: Any, operands: Sequence[str], model: bool) -> dict[str, Any]:
    """The operands by argument; what the operator writes to as a copy."""
    written = set(mutated(overload))
    if node.op in STATISTICS and not model:
        written.update(MOVING)
    spelled = []
    for role, operand in zip(node.roles, operands, strict=True):
        if role in written and operand != "None":
            operand = f"{operand}.detach().clone()"
        spelled.append(operand)
    return by_argument(node.roles, spelled)


def _arguments(node: Node, overload: Any, given: Mapping[str, Any]) -> str:
    arguments: list[str] = []
    keywords: list[str] = []
    for position, argument in enumerate(arguments_of(overload)):
        text = "None"
        if argument.name in given:
            text = _joined(given[argument.name])
        elif argument.name in node.attrs:
            text = _literal(argument, node.attrs[argument.name])
        elif argument.has_default_value() or argument.name == "device":
            continue
        if argument.kwarg_only or len(arguments) < position:
            keywords.append(f"{argument.name}={text}")
        else:
            arguments.append(text)
    return ", ".join(arguments + keywords)


def _joined(operand: Any) -> str:
    return f"[{', '.join(operand)}]" if isinstance(operand, list) else str(operand)


def _literal(argument: Any, value: Any) -> str:
    if isinstance(value, str) and value in DTYPES and "dtype" in argument.name:
        return f"torch_dtype(torch.{value})"
    if isinstance(value, str) and value in FORMATS:
        return f"torch.{value}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(argument, member) for member in value)}]"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    return repr(value)
