"""Two returned structures laid beside each other, and how what stands in one place of both differs.

Places decide first. Where a place has no counterpart, what the matching says of the values decides
which of them correspond.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.leaf_names import Leaf, Tree
from padiff_graph.obligations.output_places import pairs_by_place
from padiff_graph.referee.tolerance import Tolerance, quantity

__all__ = ["Laid", "TensorLeaf", "Unlike", "lay", "numbers", "unlike"]

Names = Sequence[str]
Pairing = Callable[[Names, Names], Sequence[tuple[str, str]]]
"""Which of some outputs of both models correspond by what yields them."""
Way = Literal["value", "type", "spelling", "lack"]
PLAIN = (str, bytes, bool, int, float, complex, np.generic, np.ndarray)
"""Numbers and texts among the values that are no tensors."""
WHOLE = (
    set,
    frozenset,
    range,
    slice,
    bytearray,
    enum.Enum,
    decimal.Decimal,
    fractions.Fraction,
    datetime.date,
    datetime.timedelta,
)
"""What is compared as a whole, equal or not. Other objects say nothing by themselves."""
TAKEN = 1e-5
"""Relative difference of two Python floats that float32 may leave where they were taken from a
tensor: the unit in the last place, 6e-8, summed over a few hundred numbers."""
SHOWN = 6
"""Most numbers of an array that are written out."""
LETTERS = 60
"""Most letters of a value that are written out."""
KINDS = {"bool": "bool", "uint": "int", "int": "int"}
"""Beginning of a dtype's name -> its kind; other dtypes are a kind each, since they round in
different ways."""


@dataclass(frozen=True, eq=False)
class TensorLeaf:
    """A returned tensor: its numbers on the host, and its type as the framework spells it."""

    array: Array
    dtype: str


@dataclass(frozen=True)
class Laid:
    """Leaves of two returned structures that correspond.

    Attributes:
        placed: tensors that stand in the same place of both.
        yielded: tensors without a common place that the same computation yields.
        plain: leaves in the same place of both of which at least one is no tensor.
        lost: what only one model returns, as (side, name).
    """

    placed: tuple[tuple[Leaf, Leaf], ...] = ()
    yielded: tuple[tuple[Leaf, Leaf], ...] = ()
    plain: tuple[tuple[Leaf, Leaf], ...] = ()
    lost: tuple[tuple[str, str], ...] = ()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Names of the tensors that correspond."""
        return [(ours.name, theirs.name) for ours, theirs in (*self.placed, *self.yielded)]


@dataclass(frozen=True)
class Unlike:
    """How two values in one place are unlike.

    Attributes:
        way: in "value"; in "type", which readers notice; in the "spelling" of a type that holds the
            same numbers; one of the models has None there ("lack").
        first, second: both, in words.
    """

    way: Way
    first: str
    second: str


def lay(first: Tree, second: Tree, by_yield: Pairing) -> Laid:
    """Lays what two models return beside each other; tensors are `TensorLeaf`s."""
    places = pairs_by_place(first, second)
    placed = [pair for pair in places.pairs if all(map(_is_tensor, pair))]
    plain = [pair for pair in places.pairs if not all(map(_is_tensor, pair))]
    absent = [pair for pair in plain if any(leaf.value is None for leaf in pair)]
    ours = [*places.first_open, *(pair[0] for pair in absent)]
    theirs = [*places.second_open, *(pair[1] for pair in absent)]
    yielded = list(_yielded(ours, theirs, by_yield))
    taken = {pair[0].name for pair in yielded}, {pair[1].name for pair in yielded}
    left = (
        [leaf for leaf in places.first_open if leaf.name not in taken[0] and _counts(leaf)],
        [leaf for leaf in places.second_open if leaf.name not in taken[1] and _counts(leaf)],
    )
    plain = [pair for pair in plain if not (pair[0].name in taken[0] or pair[1].name in taken[1])]
    return Laid(tuple(placed), tuple(yielded), tuple(plain), tuple(_lost(*left)))


def _is_tensor(leaf: Leaf) -> bool:
    return isinstance(leaf.value, TensorLeaf)


def _counts(leaf: Leaf) -> bool:
    """Whether it is missed where the other model lacks it."""
    return _comparable(leaf.value)


def _comparable(value: object) -> bool:
    """Whether a value can be held against another; a set of objects cannot."""
    if isinstance(value, (set, frozenset)):
        return all(isinstance(member, (*PLAIN, enum.Enum, tuple)) for member in value)
    return isinstance(value, (TensorLeaf, *PLAIN, *WHOLE))


def _yielded(
    ours: Sequence[Leaf], theirs: Sequence[Leaf], by_yield: Pairing
) -> Iterator[tuple[Leaf, Leaf]]:
    first = {leaf.name: leaf for leaf in ours if _is_tensor(leaf)}
    second = {leaf.name: leaf for leaf in theirs if _is_tensor(leaf)}
    for name, mate in by_yield(list(first), list(second)):
        yield first[name], second[mate]


def _lost(ours: Sequence[Leaf], theirs: Sequence[Leaf]) -> Iterator[tuple[str, str]]:
    """What is left on one side; plain values of which the other side has an equal one are not."""
    unmet = list(theirs)
    for leaf in ours:
        same = next((other for other in unmet if _same_plain(leaf, other)), None)
        if same is None:
            yield "first", leaf.name
        else:
            unmet.remove(same)
    for leaf in unmet:
        yield "second", leaf.name


def _same_plain(first: Leaf, second: Leaf) -> bool:
    if _is_tensor(first) or _is_tensor(second):
        return False
    return unlike(first, second, Tolerance()) is None


def unlike(first: Leaf, second: Leaf, asked: Tolerance) -> Unlike | None:
    """How two leaves in one place are unlike; of two tensors only their types are asked."""
    ours, theirs = first.value, second.value
    if _is_tensor(first) and _is_tensor(second):
        return _types(ours.dtype, theirs.dtype)
    if (ours is None) != (theirs is None):
        return Unlike("lack", _told(ours), _told(theirs))
    if not _comparable(ours) or not _comparable(theirs):
        return None
    if not _alike(ours, theirs, asked):
        return Unlike("value", _told(ours), _told(theirs))
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
        return _types(str(ours.dtype), str(theirs.dtype))
    if _written(ours) != _written(theirs):
        return Unlike("spelling", _written(ours), _written(theirs))
    return None


def _types(first: str, second: str) -> Unlike | None:
    """Other widths of whole numbers hold the same numbers; other types round, or index
    otherwise."""
    if first == second:
        return None
    if _kind(first) == _kind(second):
        return Unlike("spelling", first, second)
    return Unlike("type", first, second)


def _kind(dtype: str) -> str:
    for word, kind in KINDS.items():
        if dtype.startswith(word):
            return kind
    return dtype


def _alike(ours: Any, theirs: Any, asked: Tolerance) -> bool:
    """Whether two values are equal: numbers with a fraction as near as float32 may leave them."""
    if _is_whole(ours) or _is_whole(theirs):
        return bool(_as_whole(ours) == _as_whole(theirs))
    if isinstance(ours, (str, bytes)) or isinstance(theirs, (str, bytes)):
        return bool(ours == theirs) and isinstance(ours, type(theirs))
    if isinstance(ours, bool) != isinstance(theirs, bool) and _bare(ours) and _bare(theirs):
        return False  # a flag against a number
    if isinstance(ours, int) and isinstance(theirs, int):
        return ours == theirs
    held = numbers(ours), numbers(theirs)
    if held[0].dtype.kind not in "biufc" or held[1].dtype.kind not in "biufc":
        return held[0].shape == held[1].shape and bool(np.all(held[0] == held[1]))
    loose = Tolerance(max(asked.rtol, TAKEN), asked.atol, "strict")
    return quantity("output", "", "", *held, loose).within


def _is_whole(value: object) -> bool:
    return isinstance(value, WHOLE) and not isinstance(value, PLAIN)


def _as_whole(value: Any) -> Any:
    """A value to hold against another; members of enumerations by name, each port has its own."""
    return (value.name, value.value) if isinstance(value, enum.Enum) else value


def _bare(value: Any) -> bool:
    return isinstance(value, (bool, int, float, complex))


def numbers(value: Any) -> Array:
    """A leaf as an array; one number has no axes."""
    if isinstance(value, TensorLeaf):
        return value.array
    return np.asarray(value)


def _written(value: Any) -> str:
    """The type of a leaf in words: Python's own numbers of one kind or another are numbers."""
    if isinstance(value, TensorLeaf):
        return f"a tensor of {value.dtype}"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return type(value).__name__


def _told(value: Any) -> str:
    """A leaf in a few words."""
    if isinstance(value, (TensorLeaf, np.ndarray)):
        array = numbers(value)
        if array.size <= SHOWN:
            return f"{_written(value)}, {array.tolist()}"
        return f"{_written(value)}, shape {list(array.shape)}"
    text = repr(value)
    if len(text) > LETTERS:
        return text[:LETTERS] + "..."
    return text
