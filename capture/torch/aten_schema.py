"""Calls of ATen operators split by their schema: tensor operands with roles, everything else as attributes.

`bind` goes from a call to (operands, roles, attributes) and `call` back, so that a captured node
can be rerun from what the graph holds alone, also after it was pickled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = [
    "Binding",
    "bind",
    "call",
    "dtype_name",
    "find_overload",
    "functional_form",
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
FORMATS = {
    str(fmt).removeprefix("torch."): fmt
    for fmt in (
        torch.contiguous_format,
        torch.channels_last,
        torch.channels_last_3d,
        torch.preserve_format,
    )
}


OUT_OF_PLACE = {
    "aten.pow_.Tensor": "aten.pow.Tensor_Tensor",
    "aten.pow_.Scalar": "aten.pow.Tensor_Scalar",
    "aten.floor_divide_.Tensor": "aten.floor_divide.default",
    "aten.transpose_.default": "aten.transpose.int",
    "aten.ldexp_.default": "aten.ldexp.Tensor",
    "aten.bernoulli_.float": "aten.bernoulli.p",
}
"""In-place operators whose functional form has a name of its own; the others lose their underscore."""


@dataclass
class Binding:
    """A call, split: `operands` (anything the caller uses for tensors) with their `roles`, and `attrs`."""

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
    found: Any = torch.ops
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise KeyError(f"torch has no operator {name}") from None
    return found


def mutated(overload: Any) -> tuple[str, ...]:
    """Names of the arguments that an operator writes to."""
    return tuple(
        a.name
        for a in overload._schema.arguments
        if a.alias_info is not None and a.alias_info.is_write
    )


@functools.cache
def functional_form(overload: Any) -> Any:
    """The operator that computes an in-place one's result out of place; the operator itself where there is none."""
    namespace, _, rest = operator_name(overload).partition(".")
    name, _, variant = rest.rpartition(".")
    if not name.endswith("_") or name.endswith("__"):
        return overload
    try:
        found = find_overload(
            OUT_OF_PLACE.get(operator_name(overload), f"{namespace}.{name[:-1]}.{variant}")
        )
    except KeyError:
        return overload
    ours, theirs = overload._schema.arguments, found._schema.arguments
    same = [str(a.type) for a in ours] == [str(a.type) for a in theirs][
        : len(ours)
    ] and not mutated(found)
    return found if same else overload


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
    arguments = overload._schema.arguments
    for position, argument in enumerate(arguments):
        if argument.name in LEFT_OUT:
            continue
        if position < len(args) and not argument.kwarg_only:
            value = args[position]
        else:
            value = kwargs.get(
                argument.name, argument.default_value if argument.has_default_value() else None
            )
        spelled = str(argument.type)
        if is_tensor(value):
            bound.operands.append(value)
            bound.roles.append(argument.name)
        elif isinstance(value, (list, tuple)) and (
            any(is_tensor(v) for v in value)
            or ("Tensor" in spelled and all(v is None for v in value))
        ):
            for place, member in enumerate(value):
                bound.operands.append(member)
                bound.roles.append(f"{argument.name}[{place}]")
        elif value is None and "Tensor" in spelled:
            bound.operands.append(None)
            bound.roles.append(argument.name)
        else:
            bound.attrs[argument.name] = plain(value)
    return bound


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
    given: dict[str, Any] = {}
    for role, operand in zip(roles, operands, strict=True):
        name, bracket, _ = role.partition("[")
        if bracket:
            given.setdefault(name, []).append(operand)
        else:
            given[name] = operand
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for argument in overload._schema.arguments:
        if argument.name == "device" and argument.name not in given:
            value: Any = device
        elif argument.name in given:
            value = given[argument.name]
        elif argument.name in attrs:
            value = native(argument, attrs[argument.name], double)
        elif argument.has_default_value():
            continue
        else:
            value = None
        if argument.kwarg_only or len(args) < overload._schema.arguments.index(argument):
            kwargs[argument.name] = value
        else:
            args.append(value)
    return overload(*args, **kwargs)


def native(argument: Any, value: Any, double: bool) -> Any:
    """An attribute in the framework's own types again."""
    if isinstance(value, str):
        # ScalarType shows as "int" in torch's schemas: the name tells, where the type does not.
        if value in DTYPES and "dtype" in argument.name:
            dtype = DTYPES[value]
            return torch.float64 if double and dtype.is_floating_point else dtype
        return FORMATS.get(value, value)
    if isinstance(value, tuple):
        return [native(argument, member, double) for member in value]
    return value
