"""Containers that a caller hands in: what a forward puts into them, or takes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.python_state import plain_leaves

__all__ = ["Containers", "HandedIn"]

Containers = Mapping[str, Mapping[str, object] | None]
"""Every container that was handed in, by the way to it: what it holds where the run changed it, and
None where it holds what it held."""
GROWING = (list, dict, deque, set)
"""Containers of Python's own that can change; an object with tensors is the framework's or the
user's way to keep a cache, and each model may have its own."""
PLAIN = (bool, int, float, complex, str, bytes, np.generic, np.ndarray, type(None))


class HandedIn:
    """The containers in what a model is handed, with their members as they are before the run."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._held = [(way, held, _members(held)) for way, held in _containers(inputs, ())]

    def changed(
        self, is_tensor: Callable[[Any], bool], array: Callable[[Any], object]
    ) -> dict[str, Mapping[str, object] | None]:
        """What the containers hold now, tensors as arrays."""
        after: dict[str, Mapping[str, object] | None] = {}
        for way, held, before in self._held:
            now = _members(held)
            same = len(now) == len(before) and all(map(_is_same, now, before))
            after[way] = None if same else _plain(plain_leaves(held, is_tensor), is_tensor, array)
        return after


def _containers(structure: Any, above: tuple[int, ...], way: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(structure, (*GROWING, tuple)) or id(structure) in above:
        return
    if way and isinstance(structure, GROWING):
        yield way, structure
    if isinstance(structure, set):
        return
    named = structure.items() if isinstance(structure, dict) else enumerate(structure)
    for name, member in named:
        inside = f"{way}.{name}" if way else str(name)
        yield from _containers(member, (*above, id(structure)), inside)


def _members(container: Any) -> list[Any]:
    if isinstance(container, dict):
        return [member for pair in container.items() for member in pair]
    return list(container)


def _is_same(now: object, before: object) -> bool:
    return now is before


def _plain(
    leaves: Mapping[str, Any], is_tensor: Callable[[Any], bool], array: Callable[[Any], object]
) -> dict[str, object]:
    plain = {way: array(leaf) if is_tensor(leaf) else leaf for way, leaf in leaves.items()}
    return {way: leaf for way, leaf in plain.items() if isinstance(leaf, PLAIN)}
