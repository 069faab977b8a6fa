"""Models whose weights are in files: which they are, and which weights belong to them.

A framework that can run such a model reads a weight when an operation asks for it and lets it go
behind it, in the backward too (`padiff_graph.capture.abilities.LateWeights`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.capture.engine import Array
from padiff_graph.capture.late_array import LateArray, kept

__all__ = ["LateModel", "Owned", "WeightsError", "attached", "late_model", "owned"]

SHOWN = 4
"""Names that a message lists; chosen so that it stays one line."""


class WeightsError(ValueError):
    """Files that do not hold a model's weights."""


@dataclass
class LateModel:
    """The weights of one model that are not in memory.

    Attributes:
        weights: by the first dotted name of a parameter.
        assigned: what the check put in the place of some.
    """

    weights: Mapping[str, Array]
    assigned: dict[str, Array] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        return name in self.weights

    def __getitem__(self, name: str) -> Array:
        return self.assigned[name] if name in self.assigned else self.weights[name]

    def assign(self, values: Mapping[str, Array]) -> None:
        """Puts numbers in the place of those in the files, which stay as they are."""
        for name, array in values.items():
            self.assigned[name] = array if isinstance(array, LateArray) else kept(array)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What is assigned inside is forgotten afterwards."""
        before = dict(self.assigned)
        try:
            yield
        finally:
            self.assigned = before


_models: dict[int, LateModel] = {}
"""By the identity of the model, while its weights are attached."""


def late_model(model: Any) -> LateModel | None:
    """The weights of a model that are in files; None for a model in memory."""
    return _models.get(id(model))


@contextmanager
def attached(model: Any, weights: Mapping[str, Array]) -> Iterator[None]:
    """Inside, the model has these weights."""
    _models[id(model)] = LateModel(weights)
    try:
        yield
    finally:
        del _models[id(model)]


class ReadWhenAsked(dict[str, Any]):
    """A module's parameters by name; those of `late` are made when they are asked for."""

    def __init__(self, held: Mapping[str, Any], late: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__(held)
        self.late = late

    def __getitem__(self, name: str) -> Any:
        return self.late[name]() if name in self.late else super().__getitem__(name)


@dataclass(frozen=True)
class Owned:
    """A parameter or buffer of a model.

    Attributes:
        names: every dotted name of it, the first one first.
        shape: of it.
        filled: whether it holds numbers.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    filled: bool


def owned(entries: list[Owned], weights: Mapping[str, Array]) -> dict[str, Array]:
    """The numbers of what holds none, by first name.

    Raises:
        WeightsError: where the files lack one, or hold one of another shape.
    """
    numbers: dict[str, Array] = {}
    missing: list[str] = []
    for entry in entries:
        stored = next((name for name in entry.names if name in weights), None)
        if entry.filled:
            continue
        if stored is None:
            missing.append(f"{entry.names[0]} {list(entry.shape)}")
            continue
        array = weights[stored]
        if tuple(array.shape) != entry.shape:
            raise WeightsError(
                f"{stored} has shape {list(array.shape)} there; the model's is {list(entry.shape)}"
            )
        numbers[entry.names[0]] = array
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        held = ", ".join(list(weights)[:SHOWN]) or "nothing"
        raise WeightsError(
            f"the model holds no numbers for {', '.join(missing[:SHOWN])}{more}, and the files "
            f"lack them; they hold {held}{', ...' if len(weights) > SHOWN else ''}"
        )
    return numbers
