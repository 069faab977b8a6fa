"""What float64 leaves of two whole models: one record a quantity, and what all of them show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from padiff_graph.executor.tensor_pair import TensorKind
from padiff_graph.referee.referee import LEFTOVER

__all__ = ["Remainder", "WholeProof"]

GRADIENTS = ("input", "parameter")
"""Kinds of quantities that are gradients."""
NOISES = 8.0
"""So many times as far as one unit in the last place moves a quantity may float64 leave the two
sides apart; chosen so that several constants held as float32 add up and a difference of 1e-5 shows.
"""
KINK = 0.05
"""Share of the largest value that rounding does not move a quantity by in float64; chosen far above
what constants held as float32 do, and below what another slope at a kink does."""


@dataclass(frozen=True, slots=True)
class Remainder:
    """What float64 leaves of the difference of one quantity.

    Attributes:
        first, second: its name on both sides.
        error: largest absolute difference in float64.
        scale: largest magnitude of the second's.
        noise: how far the second's moves, largest absolute, when its weights and inputs move by one
            unit in the last place of float32.
        floor: what counts as zero for a quantity of this kind.
        exact: whether it holds whole numbers, which have no rounding.
        lost: in how many places one side alone is not finite, where all others agree; 0 where they
            do not.
    """

    kind: TensorKind
    first: str
    second: str
    error: float
    scale: float
    noise: float
    floor: float = 0.0
    exact: bool = False
    lost: int = 0

    @property
    def allowed(self) -> float:
        """The largest absolute difference that is no difference."""
        if self.exact:
            return 0.0
        return max(LEFTOVER * self.scale, NOISES * self.noise, self.floor)

    @property
    def vanishes(self) -> bool:
        """Whether nothing but rounding was there."""
        return self.error <= self.allowed

    @property
    def relative(self) -> float:
        """The difference against the largest value."""
        return self.error / self.scale if self.scale else self.error


@dataclass(frozen=True)
class WholeProof:
    """What the whole graphs showed.

    Attributes:
        remainders: of every quantity that both yield: outputs first, then gradients, then buffers.
        reason: why the graphs could not be run as a whole, "" where they could.
        carried: quantities that differ by what the frameworks do at a kink, and are no remainders.
        biased: running variances that the frameworks update otherwise, no remainders either.
    """

    remainders: tuple[Remainder, ...]
    reason: str = ""
    carried: tuple[Remainder, ...] = ()
    biased: tuple[Remainder, ...] = ()

    @property
    def left(self) -> tuple[Remainder, ...]:
        """Quantities that really differ, in the order of `remainders`."""
        return tuple(entry for entry in self.remainders if not entry.vanishes)

    @property
    def clear(self) -> bool:
        """Whether nothing is left that one unit in the last place has to excuse: at a kink it moves
        a gradient as far as another slope does."""
        return not self.reason and not self.unclear

    @property
    def unclear(self) -> tuple[Remainder, ...]:
        """What really differs, or is no difference only since one unit in the last place moves it
        as far."""
        return tuple(
            entry
            for entry in self.remainders
            if not entry.vanishes or (entry.relative > KINK and entry.error > entry.floor)
        )

    def carrying(self) -> WholeProof:
        """The same, what is not clear being carried from a kink."""
        unclear = self.unclear
        kept = tuple(entry for entry in self.remainders if entry not in unclear)
        return replace(self, remainders=kept, carried=unclear)

    @property
    def lost(self) -> tuple[Remainder, ...]:
        """All that really differs, where each is a gradient that one side alone loses in some
        places and that agrees elsewhere; nothing where anything else differs."""
        gradients = all(entry.kind in GRADIENTS and entry.lost for entry in self.left)
        return self.left if gradients and not self.reason else ()

    def with_biased(self, names: Collection[str]) -> WholeProof:
        """The same, some buffers, by their first names, being updated so by the frameworks."""
        biased = [
            entry for entry in self.remainders if entry.kind == "buffer" and entry.first in names
        ]
        kept = tuple(entry for entry in self.remainders if entry not in biased)
        return replace(self, remainders=kept, biased=(*self.biased, *biased))

    def of(self, kind: str, first: str) -> Remainder | None:
        """What is left of one quantity, by its name in the first model."""
        for entry in self.remainders:
            if entry.kind == kind and entry.first == first:
                return entry
        return None
