"""What crosses between two processes: JSON for plain data, raw bytes for arrays.

Nothing that is read becomes code: records are of the classes listed here, and a thing that stays
where it is goes by a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from padiff_graph.capture.abilities import WatchedPass, WatchedStep
from padiff_graph.capture.graph import Node, ParameterInfo, TensorType, Value
from padiff_graph.capture.late_array import LateArray

__all__ = ["Ref", "Unsendable", "crossing", "decode", "encode"]

PLAIN = (str, bool, type(None))
RECORDS: dict[str, type[Any]] = {
    cls.__name__: cls for cls in (Node, ParameterInfo, TensorType, Value, WatchedPass, WatchedStep)
}
"""Classes whose instances cross by their fields; `crossing` adds more."""
NAMES: dict[type[Any], str] = {cls: name for name, cls in RECORDS.items()}
"""The kinds that they cross as."""
HOMES = (
    "padiff_graph.capture.certificate",
    "padiff_graph.capture.eager_run",
    "padiff_graph.executor.partition",
    "padiff_graph.executor.questions",
    "padiff_graph.executor.side_run",
)
"""Modules of those classes; no other is imported because something that is read names it."""
LEFT_OUT = frozenset({"native"})
"""Fields that stay where they are."""
ARRAYS = "biufcSU"
"""Kinds of dtypes that cross; objects do not."""


Record = TypeVar("Record", bound=type)


def crossing(cls: Record) -> Record:
    """A dataclass whose instances cross by their fields."""
    name = f"{cls.__module__}:{cls.__name__}"
    RECORDS[name] = cls
    NAMES[cls] = name
    return cls


class Unsendable(TypeError):
    """A value that cannot cross."""


@dataclass(frozen=True)
class Ref:
    """A thing that stays in the other process.

    Attributes:
        number: of the thing, in the table of the process that holds it.
        facts: what is to be known of it without asking: a tensor's shape and dtype.
    """

    number: int
    facts: tuple[Any, ...] = ()


Stays = Callable[[Any], Ref | None]
Buffers = list[np.ndarray[Any, Any]]


def encode(value: Any, buffers: Buffers, stays: Stays) -> Any:
    """A value as JSON holds it.

    Args:
        value: the value.
        buffers: arrays are appended here, and named by their position.
        stays: the reference that crosses in the place of a thing; None for what crosses itself.

    Raises:
        Unsendable: a type that is not known.
    """
    if isinstance(value, PLAIN) or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"k": "float", "v": repr(value)}
    ref = value if isinstance(value, Ref) else stays(value)
    if ref is not None:
        return {"k": "ref", "v": [ref.number, encode(ref.facts, buffers, stays)]}
    if type(value) in NAMES:
        return {"k": NAMES[type(value)], "v": _record(value, buffers, stays)}
    for cls, kind, plain in WRITERS:
        if isinstance(value, cls):
            return {"k": kind, "v": plain(value, buffers, stays)}
    raise Unsendable(f"{type(value).__module__}.{type(value).__qualname__} cannot cross")


def decode(
    value: Any,
    buffers: Buffers,
    found: Callable[[Ref], Any],
    records: Collection[type[Any]] | None = None,
) -> Any:
    """What `encode` wrote.

    Args:
        value: as JSON holds it.
        buffers: the arrays.
        found: what stands for a reference on this end.
        records: the classes that may be made; None for all that cross, of which those that nobody
            has asked for yet are imported.

    Raises:
        ValueError: not of this format.
    """
    if isinstance(value, (*PLAIN, int, float)):
        return value
    if isinstance(value, list):
        return [decode(member, buffers, found, records) for member in value]
    kind, held = value["k"], value["v"]
    if kind == "array":
        return buffers[held]
    if kind == "ref":
        return found(Ref(held[0], decode(held[1], buffers, found, records)))
    if kind == "dict":
        return {
            decode(k, buffers, found, records): decode(v, buffers, found, records) for k, v in held
        }
    cls = _class(kind, records)
    if cls is not None:
        own = {name: decode(member, buffers, found, records) for name, member in held.items()}
        return cls(**own)
    if kind not in READERS:
        raise ValueError(f"unknown kind {kind!r}")
    return READERS[kind](decode(held, buffers, found, records))


def _class(kind: str, records: Collection[type[Any]] | None) -> type[Any] | None:
    """The class of a record; None for any other kind. Its module is imported where nobody has asked
    for it yet and all may be made."""
    if records is not None:
        return next((cls for cls in records if NAMES[cls] == kind), None)
    module = kind.partition(":")[0]
    if kind not in RECORDS and module in HOMES:
        import_module(module)
    return RECORDS.get(kind)


def _members(value: Any, buffers: Buffers, stays: Stays) -> list[Any]:
    return [encode(member, buffers, stays) for member in value]


def _pairs(value: Mapping[Any, Any], buffers: Buffers, stays: Stays) -> list[Any]:
    return [
        [encode(key, buffers, stays), encode(member, buffers, stays)]
        for key, member in value.items()
    ]


def _array(value: Any, buffers: Buffers, stays: Stays) -> int:
    array = np.asarray(value)
    if array.dtype.kind not in ARRAYS:
        raise Unsendable(f"an array of {array.dtype} cannot cross")
    buffers.append(array)
    return len(buffers) - 1


def _record(value: Any, buffers: Buffers, stays: Stays) -> dict[str, Any]:
    names = getattr(value, "_fields", None) or [field.name for field in fields(value)]
    return {
        name: encode(getattr(value, name), buffers, stays) for name in names if name not in LEFT_OUT
    }


def _text(value: Any, buffers: Buffers, stays: Stays) -> str:
    return repr(value)


def _hex(value: bytes, buffers: Buffers, stays: Stays) -> str:
    return value.hex()


def _slice(value: slice, buffers: Buffers, stays: Stays) -> list[Any]:
    return _members((value.start, value.stop, value.step), buffers, stays)


def _range(value: range, buffers: Buffers, stays: Stays) -> list[Any]:
    return _members((value.start, value.stop, value.step), buffers, stays)


def _complex(value: complex, buffers: Buffers, stays: Stays) -> list[Any]:
    return _members((value.real, value.imag), buffers, stays)


def _scalar(value: np.generic, buffers: Buffers, stays: Stays) -> Any:
    return {"k": "array", "v": _array(value, buffers, stays)}


WRITERS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (np.ndarray, "array", _array),
    (LateArray, "array", _array),
    (np.generic, "scalar", _scalar),
    (tuple, "tuple", _members),
    (Mapping, "dict", _pairs),
    (frozenset, "frozenset", _members),
    (set, "set", _members),
    (list, "list", _members),
    (bytes, "bytes", _hex),
    (complex, "complex", _complex),
    (slice, "slice", _slice),
    (range, "range", _range),
    (type, "text", _text),
    (int, "int", lambda value, buffers, stays: int(value)),
    (float, "float", _text),
)
"""Type, the kind that it crosses as, and how; the first that fits."""
READERS: Mapping[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "bytes": bytes.fromhex,
    "complex": lambda parts: complex(*parts),
    "slice": lambda parts: slice(*parts),
    "range": lambda parts: range(*parts),
    "text": str,
    "int": int,
    "float": float,
    "scalar": lambda array: array[()],
}
"""How each kind is read."""
