"""Whether data from a file is of the form that its reader expects, as type hints say it."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

__all__ = ["misfit"]

Misfits = Iterator[str]
WHOLE = "it"


def misfit(value: Any, expected: Any, where: str = "") -> str:
    """Where data is of another form than a type hint, and what was expected; "" where it fits.

    Args:
        value: plain data, or dataclasses and named tuples that were made of it.
        expected: a hint of plain types, `Any`, unions, `Literal`, containers, `TypedDict`s (members
            that are not named there are left aside), dataclasses and named tuples. A tuple may be a
            list, as JSON knows no tuples; `float` may be an `int`, which a `bool` is not.
        where: what the data is called; "" for all that was read.
    """
    return next(_misfits(value, expected, where), "")


def _misfits(value: Any, expected: Any, where: str) -> Misfits:
    if expected is Any:
        return
    origin = get_origin(expected)
    if origin in (Union, types.UnionType):
        yield from _of_union(value, expected, where)
    elif origin is Literal:
        if not isinstance(value, str) or value not in get_args(expected):
            yield f"{where} is {_kind(value)}, expected one of {', '.join(get_args(expected))}"
    elif is_typeddict(expected):
        yield from _of_typed_dict(value, expected, where)
    elif is_dataclass(expected) or hasattr(expected, "_fields"):
        yield from _of_record(value, expected, where)
    else:
        yield from _of_type(value, origin or expected, get_args(expected), where)


def _of_union(value: Any, expected: Any, where: str) -> Misfits:
    reasons = [misfit(value, choice, where) for choice in get_args(expected)]
    if all(reasons):
        yield max(reasons, key=len)  # of the choice that went deepest, which names most


def _of_typed_dict(value: Any, expected: Any, where: str) -> Misfits:
    if not isinstance(value, dict):
        yield _other(value, "an object", where)
        return
    for name, hint in get_type_hints(expected).items():
        if name in value:
            yield from _misfits(value[name], hint, f"{where}.{name}".lstrip("."))
        elif name in expected.__required_keys__:
            yield f"{where or WHOLE} has no {name}"


def _of_record(value: Any, expected: Any, where: str) -> Misfits:
    if not isinstance(value, expected):
        yield _other(value, expected.__name__, where)
        return
    for name, hint in get_type_hints(expected).items():
        yield from _misfits(getattr(value, name), hint, f"{where}.{name}".lstrip("."))


def _of_type(value: Any, kind: Any, members: tuple[Any, ...], where: str) -> Misfits:
    allowed, name = PLAIN.get(kind, ((kind,), kind.__name__))
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind in (int, float)):
        yield _other(value, name, where)
        return
    for container, walk in CONTAINERS:
        if issubclass(kind, container):
            yield from walk(value, members, where)
            return


def _of_mapping(value: Any, members: tuple[Any, ...], where: str) -> Misfits:
    key_hint, hint = members or (Any, Any)
    for key, member in value.items():
        yield from _misfits(key, key_hint, f"a key of {where}")
        yield from _misfits(member, hint, f"{where}[{str(key)[:40]!r}]")


def _of_tuple(value: Any, members: tuple[Any, ...], where: str) -> Misfits:
    if members[-1:] == (Ellipsis,):
        members = (members[0],) * len(value)
    if members and len(members) != len(value):
        yield f"{where} has {len(value)} members, expected {len(members)}"
        return
    for number, (member, hint) in enumerate(zip(value, members, strict=False)):
        yield from _misfits(member, hint, f"{where}[{number}]")


def _of_collection(value: Any, members: tuple[Any, ...], where: str) -> Misfits:
    for number, member in enumerate(value if members else ()):
        yield from _misfits(member, members[0], f"{where}[{number}]")


PLAIN: Mapping[Any, tuple[tuple[type, ...], str]] = {
    type(None): ((type(None),), "nothing"),
    float: ((float, int), "a number"),
    int: ((int,), "a whole number"),
    str: ((str,), "a text"),
    bool: ((bool,), "true or false"),
    tuple: ((tuple, list), "a list"),
    list: ((list,), "a list"),
    dict: ((dict,), "an object"),
    Mapping: ((dict,), "an object"),
}
"""Kind -> the types that it may have in data from JSON, and what a sentence calls it."""
CONTAINERS: tuple[tuple[type, Callable[..., Misfits]], ...] = (
    (Mapping, _of_mapping),
    (tuple, _of_tuple),
    (list, _of_collection),
    (frozenset, _of_collection),
)
"""Kind of container -> how its members are looked at."""


def _other(value: Any, wanted: str, where: str) -> str:
    return f"{where or WHOLE} is {_kind(value)}, expected {wanted}"


def _kind(value: Any) -> str:
    """What a value is: itself where that is short."""
    told = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else ""
    return told if 0 < len(told) <= 40 else type(value).__name__
