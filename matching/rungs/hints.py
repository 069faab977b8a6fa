"""What the user already knows: pairs that the matcher takes as given."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Hints"]


@dataclass(frozen=True, slots=True)
class Hints:
    """Anchors from a LayerMap or from the example inputs.

    Attributes:
        modules: (first module path, second module path): operations under one of them match only
            operations under the other.
        parameters: (first name, second name).
        inputs: (first leaf, second leaf).
    """

    modules: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
