"""Calls of ATen operators split by their schema: operands with roles, the rest as attributes.

`bind` goes from a call to (operands, roles, attributes) and `call` back, so that a captured node
can be rerun from what the graph holds alone, also after it was pickled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from padiff_graph.capture.torch.internals import arguments_of

__all__ = [
    "DTYPES",
    "FORMATS",
    "Binding",
    "bind",
    "by_argument",
    "call",
    "dtype_name",
    "find_overload",
    "functional_form",
    "in_double",
    "member_of",
    "mutated",
    "operator_name",
]

LEFT_OUT = frozenset({"device", "pin_memory", "layout", "generator"})
"""Arguments that say where a tensor lives and not what it holds."""

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype)
}
"""dtypes by the graph's spelling."""

FORMATS = {
    str(fmt).removeprefix("torch."): fmt
    for fmt in (
        torch.contiguous_format,
        torch.channels_last,
        torch.channels_last_3d,
        torch.preserve_format,
    )
}
"""Memory formats by name."""

OUT_OF_PLACE = {
    "aten.pow_.Tensor": "aten.pow.Tensor_Tensor",
    "aten.pow_.Scalar": "aten.pow.Tensor_Scalar",
    "aten.floor_divide_.Tensor": "aten.floor_divide.default",
    "aten.transpose_.default": "aten.transpose.int",
    "aten.ldexp_.default": "aten.ldexp.Tensor",
    "aten.bernoulli_.float": "aten.bernoulli.p",
}
"""In-place operators whose functional form has a name of its own; others lose their underscore."""


@dataclass
class Binding:
    """A call, split.

    Attributes:
        operands: anything the caller uses for tensors; None where an optional one is absent.
        roles: the argument of each; "tensors[0]" for a member of a list.
        attrs: everything else by argument name, as plain Python.
    """

    operands: list[Any] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    attrs: dict[str, Any] = field(default_factory=dict)


def dtype_name(dtype: torch.dtype) -> str:
    """The graph's spelling of a dtype: "float32"."""
    return str(dtype).removeprefix("torch.")


def operator_name(overload: Any) -> str:
    """The graph's spelling of an operator: "aten.linear.default"."""
    return str(overload).removeprefix("torch.ops.")


@functools.cache
def find_overload(name: str) -> Any:
    """The operator of a name.

    Raises:
        KeyError: where torch has none of this name.
    """
    operator: Any = torch.ops
    for part in name.split("."):
        try:
            operator = getattr(operator, part)
        except AttributeError:
            raise KeyError(f"torch has no operator {name}") from None
    return operator


def member_of(role: str) -> str:
    """The argument that a role names: "tensors" for "tensors[0]"."""
    return role.partition("[")[0]


def by_argument(roles: Sequence[str], operands: Sequence[Any]) -> dict[str, Any]:
    """Operands by argument, members of a list gathered."""
    given: dict[str, Any] = {}
    for role, operand in zip(roles, operands, strict=True):
        name, bracket, _ = role.partition("[")
        if bracket:
            given.setdefault(name, []).append(operand)
        else:
            given[name] = operand
    return given


def mutated(overload: Any) -> tuple[str, ...]:
    """Names of the arguments that an operator writes to."""
    return tuple(
        argument.name
        for argument in arguments_of(overload)
        if argument.alias_info is not None and argument.alias_info.is_write
    )


@functools.cache
def functional_form(overload: Any) -> Any:
    """The operator that computes an in-place one's result out of place; itself where none does."""
    spelled = operator_name(overload)
    namespace, _, rest = spelled.partition(".")
    name, _, variant = rest.rpartition(".")
    if not name.endswith("_") or name.endswith("__"):
        return overload
    try:
        form = find_overload(OUT_OF_PLACE.get(spelled, f"{namespace}.{name[:-1]}.{variant}"))
    except KeyError:
        return overload
    ours = [str(argument.type) for argument in arguments_of(overload)]
    theirs = [str(argument.type) for argument in arguments_of(form)]
    if theirs[: len(ours)] != ours or mutated(form):
        return overload
    return form


def bind(
    overload: Any, args: Sequence[Any], kwargs: Mapping[str, Any], is_tensor: Callable[[Any], bool]
) -> Binding:
    """Splits a call; defaults are filled in and placement arguments left out.

    Args:
        overload: the operator.
        args, kwargs: its arguments as called.
        is_tensor: tells the caller's stand-ins for tensors.
    """
    bound = Binding()
    for position, argument in enumerate(arguments_of(overload)):
        if argument.name in LEFT_OUT:
            continue
        if position < len(args) and not argument.kwarg_only:
            value = args[position]
        elif argument.name in kwargs:
            value = kwargs[argument.name]
        else:
            value = argument.default_value if argument.has_default_value() else None
        if is_tensor(value) or (value is None and _takes_tensors(argument)):
            bound.operands.append(value)
            bound.roles.append(argument.name)
        elif _is_list_of_tensors(argument, value, is_tensor):
            bound.operands += value
            bound.roles += [f"{argument.name}[{place}]" for place in range(len(value))]
        else:
            bound.attrs[argument.name] = plain(value)
    return bound


def _takes_tensors(argument: Any) -> bool:
    return "Tensor" in str(argument.type)


def _is_list_of_tensors(argument: Any, value: Any, is_tensor: Callable[[Any], bool]) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    if any(is_tensor(member) for member in value):
        return True
    return _takes_tensors(argument) and all(member is None for member in value)


def plain(value: Any) -> Any:
    """An attribute without the framework's own types."""
    if isinstance(value, (list, tuple)):
        return tuple(plain(v) for v in value)
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if isinstance(value, (torch.memory_format, torch.layout, torch.device)):
        return str(value).removeprefix("torch.")
    return value


def call(
    overload: Any,
    operands: Sequence[Any],
    roles: Sequence[str],
    attrs: Mapping[str, Any],
    device: torch.device,
    double: bool = False,
) -> Any:
    """Makes the call that `bind` split.

    Args:
        overload: the operator.
        operands, roles, attrs: as `bind` gave them.
        device: where tensors made from nothing are put.
        double: answer float32 (and lower) dtype attributes in float64.
    """
    given = by_argument(roles, operands)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for position, argument in enumerate(arguments_of(overload)):
        if argument.name in given:
            value: Any = given[argument.name]
        elif argument.name == "device":
            value = device
        elif argument.name in attrs:
            value = native(argument, attrs[argument.name], double)
        elif argument.has_default_value():
            continue
        else:
            value = None
        if argument.kwarg_only or len(args) < position:
            kwargs[argument.name] = value
        else:
            args.append(value)
    return overload(*args, **kwargs)


def in_double(dtype: torch.dtype) -> torch.dtype:
    """What stands for a dtype where everything is computed in float64."""
    if dtype.is_complex:
        return torch.complex128
    return torch.float64 if dtype.is_floating_point else dtype


def native(argument: Any, value: Any, double: bool) -> Any:
    """An attribute in the framework's own types again."""
    if isinstance(value, str):
        # ScalarType shows as "int" in torch's schemas: the name tells, where the type does not.
        if value in DTYPES and "dtype" in argument.name:
            dtype = DTYPES[value]
            return in_double(dtype) if double else dtype
        return FORMATS.get(value, value)
    if isinstance(value, tuple):
        return [native(argument, member, double) for member in value]
    return value
