"""What two whole runs yield, laid side by side: outputs, gradients as totals, what buffers
become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from padiff_graph.capture.engine import Array
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.executor.transfer import laid, mapped, zeros
from padiff_graph.matching.result import ParameterRow

__all__ = ["Yield", "buffer_pairs", "input_pairs", "parameter_pairs", "second_name"]


class Yield(Protocol):
    """What one whole run yields, eager or of a graph, as arrays."""

    @property
    def outputs(self) -> Mapping[str, Array]:
        """By output name."""
        ...

    @property
    def buffers(self) -> Mapping[str, Array]:
        """What buffers become, by dotted name."""
        ...

    @property
    def gradients(self) -> Mapping[str, Array]:
        """ "input:NAME" and "parameter:NAME"; a missing key means that no gradient arrived."""
        ...


def input_pairs(
    inputs: Iterable[tuple[str, str]], first: Yield, second: Yield
) -> Iterator[TensorPair]:
    """Gradients of the inputs, for pairs of names; none where neither side has one."""
    for ours, theirs in inputs:
        gradients = first.gradients.get(f"input:{ours}"), second.gradients.get(f"input:{theirs}")
        if any(gradient is not None for gradient in gradients):
            yield TensorPair("input", ours, theirs, *gradients)


def parameter_pairs(
    rows: Iterable[ParameterRow], first: Yield, second: Yield
) -> Iterator[TensorPair]:
    """Gradients of the parameters through the parameter map; none where neither side has one."""
    for row in rows:
        if not row.pieces:
            continue
        ours = first.gradients.get(f"parameter:{row.first}")
        theirs = _gathered(row, second)
        if ours is not None or any(array.any() for array in theirs.values()):
            laid = _laid(row, ours, theirs) if theirs else None
            yield TensorPair("parameter", row.first, second_name(row), ours, laid)


def buffer_pairs(rows: Iterable[ParameterRow], first: Yield, second: Yield) -> Iterator[TensorPair]:
    """What buffers become, through the parameter map, where both sides write them."""
    for row in rows:
        ours = first.buffers.get(row.first)
        known = row.pieces and all(piece.second in second.buffers for piece in row.pieces)
        if ours is not None and known:
            theirs = mapped(row, ours, second.buffers)
            yield TensorPair("buffer", row.first, second_name(row), ours, theirs)


def second_name(row: ParameterRow) -> str:
    """The second model's names for a row's parameter."""
    return " + ".join(piece.second for piece in row.pieces)


def _gathered(row: ParameterRow, second: Yield) -> dict[str, Array]:
    gradients = {}
    for piece in row.pieces:
        gradient = second.gradients.get(f"parameter:{piece.second}")
        if gradient is not None:
            gradients[piece.second] = gradient
    return gradients


def _laid(row: ParameterRow, ours: Array | None, theirs: Mapping[str, Array]) -> Array:
    """The second side's gradient in the first's layout; pieces without one are zero."""
    like = next(iter(theirs.values()))
    shape = (row.pieces[0].first_view.source,) if ours is None else ours.shape
    filled = {
        piece.second: theirs[piece.second]
        if piece.second in theirs
        else zeros((piece.second_view.source,), like)
        for piece in row.pieces
    }
    return laid(row, zeros(shape, like), filled)
