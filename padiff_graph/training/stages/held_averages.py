"""Averages of weights that a user's callable keeps: another model, or tensors by parameter name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.training.held_state import within_reach

__all__ = ["HeldAverage", "find_average"]

MOST = 0.5
"""Share of the trained parameters that a thing must hold by name, in their shapes."""


@dataclass(frozen=True)
class HeldAverage:
    """A thing that holds a second set of a model's weights.

    Attributes:
        holder: another model, or a dict.
        names: what the model's names are called there: the model's own name -> the holder's.
        array: numbers of a tensor.
        is_tensor, dtype: of the framework.
    """

    holder: Any
    names: Mapping[str, str]
    array: Callable[[Any], Array]
    is_tensor: Callable[[object], bool]
    dtype: Callable[[Any], str]

    def held_in(self) -> str:
        """The dtype that most of it is held in; "" where that is none of the framework's."""
        members = _members(self.holder)
        held = Counter(
            self.dtype(members[other])
            for other in self.names.values()
            if self.is_tensor(members.get(other))
        )
        return held.most_common(1)[0][0] if held else ""

    def values(self) -> dict[str, Array]:
        """Copies of the numbers as they are now, by the model's names."""
        members = _members(self.holder)
        return {
            name: np.array(self._numbers(members[other]))
            for name, other in self.names.items()
            if other in members
        }

    def remembered(self, overwrite: Callable[[Any, Array], None]) -> list[Callable[[], None]]:
        """Puts back the numbers of the tensors that are held now."""
        return [
            partial(self._put_back, member, np.array(self._numbers(member)), overwrite)
            for member in _members(self.holder).values()
            if isinstance(member, np.ndarray) or self.is_tensor(member)
        ]

    def _put_back(
        self, member: Any, numbers: Array, overwrite: Callable[[Any, Array], None]
    ) -> None:
        if isinstance(member, np.ndarray):
            member[...] = numbers
        else:
            overwrite(member, numbers)

    def _numbers(self, member: Any) -> Array:
        return member if isinstance(member, np.ndarray) else self.array(member)


def find_average(
    given: Any,
    spared: Sequence[Any],
    model: Any,
    trained: set[str],
    is_tensor: Callable[[object], bool],
    array: Callable[[Any], Array],
    dtype: Callable[[Any], str],
) -> HeldAverage | None:
    """The first thing within reach of a callable that holds the model's weights once more.

    Args:
        given: the user's callable.
        spared: what is looked at elsewhere: the model, its optimizers and their masters.
        model: whose weights are meant.
        trained: names of its trained parameters.
        is_tensor, array, dtype: of its framework.
    """
    shapes = {
        name: tuple(parameter.shape)
        for name, parameter in model.named_parameters()
        if name in trained
    }
    aliases: dict[str, str] = {}
    for name, parameter in model.named_parameters():
        own = getattr(parameter, "name", None)
        if isinstance(own, str):
            aliases[own] = name
    owned = {id(thing) for thing in spared}
    for thing in within_reach(given, spared):
        members = _members(thing)
        tensors = {
            name: member
            for name, member in members.items()
            if (isinstance(member, np.ndarray) or is_tensor(member)) and id(member) not in owned
        }
        names = _matched(tensors, shapes, aliases)
        if names and len(names) >= MOST * len(shapes):
            return HeldAverage(thing, names, array, is_tensor, dtype)
    return None


def _members(thing: Any) -> dict[str, Any]:
    """What a model or a dict holds by name."""
    if isinstance(thing, dict):
        return {name: member for name, member in thing.items() if isinstance(name, str)}
    if hasattr(thing, "named_parameters") and not isinstance(thing, type):
        return dict(thing.named_parameters())
    return {}


def _matched(
    tensors: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    aliases: Mapping[str, str],
) -> dict[str, str]:
    """The model's names and what they are called among these tensors."""
    matched: dict[str, str] = {}
    for other, tensor in tensors.items():
        name = _known(other, shapes, aliases)
        if name is not None and tuple(tensor.shape) == shapes[name]:
            matched.setdefault(name, other)
    return matched


def _known(
    other: str, shapes: Mapping[str, tuple[int, ...]], aliases: Mapping[str, str]
) -> str | None:
    """The model's name of a tensor, whatever stands before it (`module.` of a wrapper)."""
    if other in aliases and aliases[other] in shapes:
        return aliases[other]
    while other not in shapes:
        _, dot, other = other.partition(".")
        if not dot:
            return None
    return other
