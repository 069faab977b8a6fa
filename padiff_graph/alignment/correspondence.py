"""What corresponds, as plain rows by dotted path: modules, parameters, and what a user's map comes
to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from padiff_graph.matching.result import ParameterRow

__all__ = ["GIVEN", "ModuleRow", "ParameterEntry", "ResolvedMap", "inside"]

GIVEN = "given by the user"
"""The reason of a row that says none: a person wrote it. Any other reason is the matcher's."""


def inside(path: str, above: str) -> bool:
    """Whether a dotted path is a module's or lies below it; everything lies in the root, ""."""
    return path == above or not above or path.startswith(above + ".")


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """Two modules that correspond.

    Attributes:
        paddle_path, torch_path: dotted paths, "" for the root.
        confidence: in [0, 1].
        reason: in words.
        alternatives: other paths on the torch side that the evidence leaves.
        output_only: whether the user wants nothing inside compared.
    """

    paddle_path: str
    torch_path: str
    confidence: float = 1.0
    reason: str = GIVEN
    alternatives: tuple[str, ...] = ()
    output_only: bool = False


@dataclass(frozen=True, slots=True)
class ParameterEntry:
    """A parameter row with the shapes and dtypes that a checkpoint is held against.

    Attributes:
        row: the row itself.
        shape, dtype: of the first model's parameter.
        seconds: shape of each second parameter that it is made of.

    A complex parameter beside real ones has its two parts along a last axis.
    """

    row: ParameterRow
    shape: tuple[int, ...]
    dtype: str = "float32"
    seconds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def paddle_name(self) -> str:
        """Name in the first model."""
        return self.row.first

    @property
    def torch_name(self) -> str | tuple[str, ...]:
        """Name in the second model, several for a parameter that is put together."""
        names = tuple(dict.fromkeys(piece.second for piece in self.row.pieces))
        return names[0] if len(names) == 1 else names

    @property
    def transform(self) -> str:
        """In words."""
        return self.row.transform

    @property
    def confidence(self) -> float:
        """In [0, 1]."""
        return self.row.confidence

    @property
    def reason(self) -> str:
        """In words."""
        return self.row.reason

    @property
    def proved(self) -> bool:
        """Whether running with it showed equal values."""
        return self.row.proved

    @property
    def status(self) -> str:
        """As `ParameterRow.status`."""
        return self.row.status


@dataclass(frozen=True)
class ResolvedMap:
    """A LayerMap held against two models: everything by dotted path.

    Attributes:
        pairs: sub-models given as corresponding, compared at their outputs only: (first, second).
        hints: corresponding modules that are otherwise compared as usual, as the user says.
        suggested: the same as the matcher once found them: looked at again, never a bound.
        outputs_ignored: modules whose own output is left out; (side, path), side 0 or 1.
        below_ignored: modules left out with all below them; (side, path).
        parameters: parameter rows of the user, which stand as they are.
        suggested_parameters: parameter rows that the matcher once found: they fill what is open.
        unread: parameters of the first model that the map says nothing reads.
        unused_second: parameters of the second that it says no row needs.
        written_for: classes of the models that the map was made for; "" where it does not say.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    hints: tuple[tuple[str, str], ...] = ()
    suggested: tuple[tuple[str, str], ...] = ()
    outputs_ignored: frozenset[tuple[int, str]] = frozenset()
    below_ignored: frozenset[tuple[int, str]] = frozenset()
    parameters: tuple[ParameterEntry, ...] = ()
    suggested_parameters: tuple[ParameterEntry, ...] = ()
    unread: tuple[str, ...] = ()
    unused_second: tuple[str, ...] = ()
    written_for: tuple[str, str] = ("", "")

    def ignored(self, path: str, side: int = 0) -> bool:
        """Whether everything that the module at this path computes is left out."""
        return any(at == side and inside(path, above) for at, above in self.below_ignored)

    def output_ignored(self, path: str, side: int = 0) -> bool:
        """Whether the module's own output is left out."""
        return (side, path) in self.outputs_ignored or self.ignored(path, side)

    def pair_around(self, path: str, side: int = 0) -> tuple[str, str] | None:
        """The outermost mapped pair that a path lies in or is, None where there is none."""
        around = [pair for pair in self.pairs if inside(path, pair[side])]
        return min(around, key=lambda pair: len(pair[side])) if around else None
