"""Fields of a map's file: each of the type that it must have, or refused with its place."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from padiff_graph.errors import UsageError
from padiff_graph.printable import code_comment

__all__ = [
    "Shape",
    "check_keys",
    "members",
    "name_of",
    "names_of",
    "section",
    "shape_of",
    "text_of",
    "told",
    "whole",
]

Shape = tuple[int, ...]

AXES = 32
"""Axes of a tensor at most: numpy 1's limit."""
LARGEST = 1 << 48
"""Elements, strides and places are smaller: a tensor of as many floats would be a petabyte, and
sums of a few stay far from the end of 64 bits."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxdict = 8


def told(value: Any) -> str:
    """A value as a message shows it, cut short."""
    return _SHORT.repr(value)


def check_keys(row: Any, needed: set[str], allowed: set[str], where: str) -> None:
    """A row is a mapping that has what is needed, and nothing that is not known.

    Raises:
        UsageError: naming what is missing or unknown.
    """
    if not isinstance(row, Mapping):
        raise UsageError(f"{where}: expected a mapping, found {told(row)}")
    missing, unknown = needed - set(row), set(row) - needed - allowed
    if missing:
        raise UsageError(f"{where}: {', '.join(sorted(missing))} is missing; found {_listed(row)}")
    if unknown:
        raise UsageError(
            f"{where}: unknown entries {_listed(unknown)}; "
            f"known are {', '.join(sorted(needed | allowed))}"
        )


def section(content: Mapping[str, Any], key: str, allowed: set[str], where: str) -> Any:
    """A mapping inside the file, empty where it is not there."""
    held = content.get(key)
    if held is None:
        return {}
    check_keys(held, set(), allowed, f"{where}, {key}")
    return held


def members(row: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """A list of anything, empty where it is not there."""
    held = row.get(key)
    if held is None:
        return []
    if not isinstance(held, list):
        raise UsageError(f"{where}: {key} is a list, found {told(held)}")
    return held


def name_of(value: Any, where: str) -> str:
    """A module's path or a parameter's name; a bare number is one, as in a Sequential."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    raise UsageError(f"{where}: expected a name, found {told(value)}; put names in quotes")


def names_of(row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A list of names, empty where it is not there."""
    return tuple(name_of(name, f"{where}, {key}") for name in members(row, key, where))


def text_of(row: Mapping[str, Any], key: str, default: str, where: str) -> str:
    """A text, or the default where it is not there."""
    value = row.get(key)
    if value is None:
        return default
    if not isinstance(value, (str, int, float)):
        raise UsageError(f"{where}: {key} is a text, found {told(value)}")
    return str(value)


def shape_of(written: Any, where: str) -> Shape:
    """A tensor's shape."""
    right = (
        isinstance(written, list)
        and len(written) <= AXES
        and all(type(extent) is int and 0 <= extent < LARGEST for extent in written)
        and math.prod(extent for extent in written if extent) < LARGEST
    )
    if not right:
        raise UsageError(f"{where}: a shape is a list of numbers, found {told(written)}")
    return tuple(written)


def whole(value: Any, what: str, where: str) -> int:
    """A whole number whose sums stay within 64 bits."""
    if type(value) is not int or not -LARGEST < value < LARGEST:
        raise UsageError(f"{where}: {what} is a whole number, found {told(value)}")
    return value


def _listed(names: Iterable[Any]) -> str:
    """Names from a file, in one line."""
    return code_comment(", ".join(sorted(map(str, names))))
