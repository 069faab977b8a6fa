"""What matching finds, as plain frozen data.

"first" is the Paddle side of the two-framework calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.index_map import View

__all__ = ["Difference", "Match", "Matching", "ParameterRow", "Piece", "Point"]


@dataclass(frozen=True, slots=True)
class Match:
    """Two normal-form nodes that correspond.

    Attributes:
        rung: which rung of the ladder said so ("boundary", "hash", "block", "values", ...).
        confidence: in [0, 1]; over 0.9 only where the evidence leaves no other choice.
        reason: in words.
        operands: how operand positions correspond, (first, second); identity order for most.
    """

    first: int
    second: int
    rung: str
    confidence: float
    reason: str
    operands: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """A value that both models compute: elements `first_view` of the native tensor `first` equal,
    one by one, elements `second_view` of `second`. Cuts regions.

    `match` is the position in `Matching.matches` that it comes from; -1 for graph inputs.
    """

    first: Value
    first_view: View
    second: Value
    second_view: View
    confidence: float
    match: int = -1


@dataclass(frozen=True, slots=True)
class Piece:
    """Elements of one parameter that hold elements of another: first[first_view] =
    second[second_view].

    `summed` says where one model keeps the sum of what the other adds: "added" to what the pieces
    before it put there; "held" by another parameter of the first model, which this one is added to,
    so that here stand zeros. The gradient is the same of each.
    """

    second: str
    first_view: View
    second_view: View
    summed: Literal["", "added", "held"] = ""


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """The counterpart of one parameter or buffer of the first model.

    Attributes:
        first: its dotted name.
        pieces: where its elements come from; several for a concatenation, several rows naming one
            second parameter for a split. Empty where there is no counterpart.
        transform: in words: "identity", "transpose", "rows 0:768 of 2304, transposed", ...
        status: "mapped"; "neutral" (no counterpart, read, but a scale of ones or shift of zeros);
            "unread" (the computation does not read it); "open" (read, no counterpart found).
        proved: whether running with it showed equal values.
    """

    first: str
    pieces: tuple[Piece, ...]
    transform: str
    confidence: float
    reason: str
    status: Literal["mapped", "neutral", "unread", "open"] = "mapped"
    proved: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """One structural difference; one cause is one difference.

    Attributes:
        kind: what sort of difference: "attribute", "size", "missing" (on the first side), "extra"
            (on the first side), "moved", "rewired", "differently-built", "shared" (one parameter
            where the other side has several).
        first, second: normal-form nodes on each side; empty where one side has none.
        cause_id: the cause's stable id: "attribute.epsilon", "operation.missing", ...
        first_path, second_path: module paths; for a missing or extra operation also on the side
            that lacks it.
        attribute: its name, for kinds "attribute" and "size"; "order" for operands exchanged.
        values: of the attribute, (first, second).
        places: the same cause elsewhere, as (first node, second node), -1 for none.
        native: for an attribute that native operations of their own decide (a factor on an
            operand), those operations' numbers on each side; -1 for none.
        order: whether the same operation reads the same numbers in another order, and nothing else
            differs.
        facts: named values of the cause: operators, dotted names, module paths, numbers.
    """

    kind: Literal[
        "attribute",
        "size",
        "missing",
        "extra",
        "moved",
        "rewired",
        "differently-built",
        "shared",
    ]
    first: tuple[int, ...]
    second: tuple[int, ...]
    cause_id: str
    first_path: str
    second_path: str
    attribute: str = ""
    values: tuple[object, object] = (None, None)
    places: tuple[tuple[int, int], ...] = ()
    native: tuple[int, int] = (-1, -1)
    order: bool = False
    facts: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Matching:
    """The correspondence of two models.

    Attributes:
        matches: at most one for every node of each side.
        points: matched values, for cutting regions.
        parameters: one row for each parameter and buffer of the first model.
        unused_second: parameters of the second model that no row uses.
        unread_second: parameters of the second model that its computation does not read.
        alternatives: for a first-side node the second-side nodes that the evidence leaves, where
            several.
    """

    first: NormalGraph
    second: NormalGraph
    matches: tuple[Match, ...]
    points: tuple[Point, ...] = ()
    parameters: tuple[ParameterRow, ...] = ()
    unused_second: tuple[str, ...] = ()
    unread_second: tuple[str, ...] = ()
    alternatives: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def frameworks(self) -> tuple[str, str]:
        """The frameworks of the two models: "paddle", "torch" or "onnx"."""
        return self.first.graph.framework, self.second.graph.framework

    def partner(self) -> dict[int, int]:
        """First-side node -> second-side node."""
        return {match.first: match.second for match in self.matches}
