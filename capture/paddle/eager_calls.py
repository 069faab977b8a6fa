"""How eager mode's functions are called: which arguments, in which order, which of them tensors.

The eager function of an operation (`core.eager.ops`) takes its arguments by position, and nothing
in Python says which. The C++ headers in the wheel declare them (`phi/api/include/api.h`), the
runtime has tables of its own for most; a few bindings are written by hand, and stand here.
Seen in paddlepaddle 3.3.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import paddle
from paddle.base import core

__all__ = ["arguments", "eager_operation", "scalar_arguments", "tensor_arguments"]

HEADERS = ("api.h", "fused_api.h")
"""Headers of the wheel that declare eager functions."""

DECLARATION = re.compile(r"PADDLE_API\s.*?\s(\w+)\((.*)\);")
"""A function with its parameter list, on one line."""

PREDEFINED_OUT = re.compile(
    r",?\s*paddle::optional<(?:(?!paddle::optional).)*> predefined_out = paddle::none"
)
"""A parameter of C++ alone: where the results go."""

PARAMETER = re.compile(r"(\w+)(?:\s*=\s*(?:[^,{(]|\{[^}]*\}|\([^)]*\))*)?(?=,|$)")
"""The name of a parameter, its default left out."""

TENSOR_PARAMETER = re.compile(r"Tensor[>\s&]*\s*&?\s*(\w+)(?=\s*[,=]|\s*$)")
"""The name of a parameter that is a tensor, an optional one or a list of them."""

SCALAR_PARAMETER = re.compile(r"\bScalar& (\w+)")
"""The name of a parameter that is one number."""


def eager_operation(name: str) -> Any:
    """The eager function of an operation without its dialect, None where there is none."""
    return getattr(core.eager.ops, name, None)


@cache
def _runtime_arguments() -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    operations: Any = core.eager.ops
    return operations.get_core_ops_args_info(), operations.get_core_ops_args_type_info()


@cache
def _declarations() -> dict[str, str]:
    """Parameter lists of the C++ functions that eager mode binds, as the wheel's headers have
    them."""
    declarations: dict[str, str] = {}
    folder = Path(paddle.sysconfig.get_include()) / "paddle" / "phi" / "api" / "include"
    for header in HEADERS:
        path = folder / header
        if not path.exists():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            declaration = DECLARATION.match(line)
            if declaration:
                declarations[declaration[1]] = PREDEFINED_OUT.sub("", declaration[2])
    return declarations


@cache
def _declared_arguments() -> dict[str, list[str]]:
    """Argument names in order as the headers declare them."""
    orders = {}
    for name, declaration in _declarations().items():
        orders[name] = PARAMETER.findall(_without_templates(declaration))
    return orders


def _without_templates(declaration: str) -> str:
    """Template arguments hold commas; they nest two deep at most."""
    for _ in range(2):
        declaration = re.sub(r"<[^<>]*>", "", declaration)
    return declaration


@cache
def _declared_tensors() -> dict[str, frozenset[str]]:
    tensors = {}
    for name, declaration in _declarations().items():
        tensors[name] = frozenset(TENSOR_PARAMETER.findall(declaration))
    return tensors


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
"""Argument orders of hand-written bindings, of which the runtime tells nothing or the wrong
thing."""


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
    """Arguments of an eager function that are tensors or lists of tensors; the others are
    numbers."""
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
def scalar_arguments(name: str) -> frozenset[str]:
    """Arguments of an eager function that are one number which may come as a tensor."""
    return frozenset(SCALAR_PARAMETER.findall(_declarations().get(name, "")))
