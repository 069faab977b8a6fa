"""What is known of one operator of the normal form: the columns of `operator_table.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np

__all__ = ["Array", "Layout", "Operator", "Scale"]

Array = np.ndarray[Any, Any]


class Scale(Enum):
    """What becomes of a factor on an operand."""

    STAYS = auto()
    """It stays on the operand: nothing is known of it behind the operator."""
    EACH = auto()
    """f(a x, b y) = a b f(x, y) for all a and b, where there is no bias: products."""
    ANY = auto()
    """f(a x) = a f(x) for all a: means and sums."""
    POSITIVE = auto()
    """f(a x) = a f(x) for a > 0: rectifiers and extrema."""
    SHARED = auto()
    """Readers may see it, together with what stands beside the operand: the other terms of a sum,
    the bounds of a clip, the mark of a copy."""


class Layout(Enum):
    """How the elements of the result lie against those of the operands."""

    UNKNOWN = auto()
    """Nothing is known; equal operands in equal order give equal results in equal order."""
    ELEMENTWISE = auto()
    """Each element of the result stands where it stands in the operands, broadcast."""
    TRAILING = auto()
    """Along the last axis, where the operand's view puts the axes in question; the others are kept.
    """
    ROWS = auto()
    """Every row by itself: normalisation over trailing axes."""
    LINEAR = auto()
    """[..., in] to [..., out]."""
    MATMUL = auto()
    """[batch, rows, terms] and [batch, terms, columns]."""
    CONVOLUTION = auto()
    """[batch, channels, space] to other channels, windows of space."""
    CHANNELS = auto()
    """[batch, channels, space] kept; parameters hold one number a channel."""
    SPACE = auto()
    """Batch and channels kept, windows of space."""
    GATHER = auto()
    """Rows of a table where an index stands."""
    CONCAT = auto()
    """Operands behind one another along an axis."""
    RECURRENT = auto()
    """[time, batch, features], steps in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One row of the table of operators. Passes ask for these traits and never list operators.

    Attributes:
        operands: roles in order. "*" ends a list of any length; roles with a meaning everywhere are
            "scale" (a parameter that multiplies), "bias" (one that is added) and "mask" (hides
            elements).
        attributes: names; every node of the operator has them all, defaults filled in.
        about: what its names and attributes do not say.
        leaf: whether it computes nothing.
        commutative: whether the operands' order does not matter.
        layout: how the result's elements lie against the operands'.
        scale: what becomes of a factor on an operand.
        neutral: for operators of any number of operands, what a parameter among them is: "scale",
            "bias".
        family: operators of one family stand in for one another when a port uses the wrong one.
        ordered: whether it depends on the order along its last axis.
        shift_free: whether f(x + c) = f(x).
        keeps_one: whether the reduction of one element is that element.
        passes: whether it hands on the numbers of its operand.
        selects: whether the result consists of elements of the first operand.
        features: axis of the result along which a product's output features stand.
        numpy: the result from arrays and attributes, where that is simple; None as a result where
            it is not.
    """

    operands: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    about: str = ""
    leaf: bool = False
    commutative: bool = False
    layout: Layout = Layout.UNKNOWN
    scale: Scale = Scale.STAYS
    neutral: str = ""
    family: str = ""
    ordered: bool = False
    shift_free: bool = False
    keeps_one: bool = False
    passes: bool = False
    selects: bool = False
    features: int = -1
    numpy: Callable[..., Array | None] | None = None

    @property
    def elementwise(self) -> bool:
        """Whether the result's elements stand where the operands' do."""
        return self.layout is Layout.ELEMENTWISE

    @property
    def trailing(self) -> bool:
        """Whether it runs along trailing axes that the operand's view puts there."""
        return self.layout is Layout.TRAILING

    @property
    def variadic(self) -> bool:
        """Whether it takes any number of operands."""
        return "*" in self.operands

    def role(self, position: int) -> str:
        """The role of the operand at a position."""
        if position < len(self.operands) and self.operands[position] != "*":
            return self.operands[position]
        return "*" if self.variadic else ""

    def neutral_role(self, position: int) -> str:
        """What a parameter at this operand does: "scale" (neutral at one), "bias" (at zero), or
        ""."""
        role = self.role(position)
        if role in ("scale", "bias"):
            return role
        return self.neutral if role == "*" else ""
