"""Known places where the frameworks themselves do not compute the same: a small table with facts.

| fact | where |
| --- | --- |
| the running variance is updated with the unbiased batch variance (torch) or the biased one
(Paddle), a factor n / (n - 1) | batch normalisation in training mode |
| an interpolation to one element along an axis has a ratio of zero (Paddle) or of the sizes
(torch) | https://github.com/PaddlePaddle/Paddle/issues/46214 |
| the deviation of equal samples has gradient zero (torch) or none that is finite (Paddle, which
composes it) | https://github.com/pytorch/pytorch/issues/4320 |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Node
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.findings.cause import Cause
from padiff_graph.matching.result import Matching

__all__ = [
    "STATISTICS",
    "biased_variance",
    "by_framework",
    "composed_call",
    "known_case",
    "padding_row",
    "variance_counts",
]

STATISTICS = 3
"""Results that a framework's batch normalisation has at least: its output and two statistics."""


def biased_variance(
    before: Array, biased: Array, unbiased: Array, count: float, tolerance: float = 1e-6
) -> bool:
    """Whether two updated running variances differ by exactly the factor count / (count - 1).

    With momentum m and batch variance v, the smaller update is s = (1-m) before + m v, the larger
    one l = (1-m) before + m v count/(count-1); so s = l - (l - (1-m) before) / count. The share 1-m
    is the same in every channel and between 0 and 1.

    Args:
        before: the running variance before the step, the same on both sides.
        biased, unbiased: after it, as the frameworks' own rules make it of Paddle's side and of
            torch's. The other way round no framework does it.
        count: elements that each variance is taken over.
        tolerance: relative; frameworks hold the momentum in float32.
    """
    if count <= 1 or before.shape != biased.shape or before.shape != unbiased.shape:
        return False
    old, small, large = (array.astype(np.float64) for array in (before, biased, unbiased))
    if not old.all() or not float((large - small).sum()) > 0:
        return False
    share = float(np.median((large - count * (large - small)) / old))
    if not -0.1 <= share <= 1.1:
        return False
    predicted = large - (large - share * old) / count
    gap = float(np.abs(large - small).max())
    return bool(np.abs(predicted - small).max() <= tolerance * np.abs(large).max() + 0.02 * gap)


def by_framework(arrays: tuple[Array, Array], first: str) -> tuple[Array, Array]:
    """Two arrays, that of the first side and of the second, as Paddle's and torch's; `first`: the
    first's framework."""
    return arrays if first == "paddle" else (arrays[1], arrays[0])


def padding_row(first: Node, second: Node, arrays: tuple[Array, Array]) -> Cause | None:
    """That one embedding yields zeros for its padding_idx and the other what the row holds; None
    where it is something else.

    No framework is wrong: Paddle's `padding_idx` says that the result is zero there, torch's that
    the row gets no gradient; a port must see to it that the row is zero.
    """
    for side, record in enumerate((first, second)):
        row = record.attrs.get("padding_idx")
        if "embedding" not in record.op or row is None or row < 0:
            continue
        unequal = arrays[0] != arrays[1]
        if not arrays[side][unequal].any():
            return Cause.of("embedding.padding", side=side, row=int(row))
    return None


def known_case(first: Node, second: Node, shape: Sequence[int]) -> str | None:
    """What is known of two calls of one operation that yield other numbers, with its source; None
    for nothing.

    Args:
        first, second: the native operations.
        shape: of the second's result.
    """
    for row in KNOWN:
        if row.holds(first.op, second.op, shape):
            return row.text
    return None


def composed_call(first: Sequence[str], second: Sequence[str]) -> str | None:
    """What is known of one operation that a framework composes of others and the other computes at
    once, where its gradient is not finite; None where these operations are no such call.

    A formula that a model spells out is its own: that the framework spelled it is told by what no
    model writes (how many numbers there are, by how many results), and by nothing else being there.

    Args:
        first, second: plain names of the operations of both sides.
    """
    for composed, whole in ((first, second), (second, first)):
        spelled = set(composed) >= DEVIATION and composed.count("sqrt") == 1
        spelled = spelled and composed.count("numel") == COUNTS
        beside = set(composed) - DEVIATION - CORRECTION - BESIDE
        if whole.count("std") == 1 and spelled and beside <= set(whole):
            return EQUAL_SAMPLES
    return None


DEVIATION = frozenset({"mean", "sub", "pow", "sum", "numel", "sqrt"})
"""What Paddle composes `paddle.std` of, by plain names (its python/paddle/tensor/stat.py)."""
CORRECTION = frozenset({"maximum", "mul", "div"})
"""How it divides by the count, and lessens it by one where the variance is the unbiased one."""
COUNTS = 2
"""How often it counts: its operand's elements and its result's."""
BESIDE = frozenset(
    {"add", "cast", "cat", "expand", "full_like", "matmul", "mul", "slice", "sub", "transpose"}
)
"""What may stand around it: none of these has a gradient that is not finite."""
EQUAL_SAMPLES = (
    "of equal samples the deviation is zero, where the gradient of torch's std is zero and that of "
    "Paddle's, the root of a variance, is not finite (https://github.com/pytorch/pytorch/issues/4320)"
)


@dataclass(frozen=True, slots=True)
class _Known:
    """A row: the fragment that both operators' names share, when it holds, and what to say."""

    fragments: tuple[str, str]
    axis_of_one: bool
    text: str

    def holds(self, first: str, second: str, shape: Sequence[int]) -> bool:
        """Whether it is about this pair of operators, in either order, with such a result."""
        named = any(
            ours in first and theirs in second
            for ours, theirs in (self.fragments, self.fragments[::-1])
        )
        return named and (1 in tuple(shape)[2:] or not self.axis_of_one)


KNOWN = (
    _Known(
        ("_interp", "upsample_"),
        axis_of_one=True,
        text=(
            "to size one Paddle interpolates with a ratio of zero, from the first element on "
            "(https://github.com/PaddlePaddle/Paddle/issues/46214)"
        ),
    ),
)
"""Calls that are known to compute differently, with the source."""


def variance_counts(matching: Matching) -> dict[str, float]:
    """Elements under each running variance of the second model, by the variance's name; none where
    both models are of one framework, which has one rule, nor where both write the update out, so
    that no framework chose how."""
    counts: dict[str, float] = {}
    if matching.first.graph.framework == matching.second.graph.framework:
        return counts
    firsts = {match.second: match.first for match in matching.matches}
    nodes = matching.second.nodes
    for node in nodes:
        if node.op != "BatchNormalization" or len(node.inputs) < 5 or not node.outputs:
            continue
        edge = node.inputs[4]
        variance = None if edge is None else nodes[edge.source]
        if variance is None or not variance.name or not variance.outputs:
            continue
        own = _computed_whole(matching.second, node.id)
        if own or (node.id in firsts and _computed_whole(matching.first, firsts[node.id])):
            counts[variance.name] = node.outputs[0].size / max(variance.outputs[0].size, 1)
    return counts


def _computed_whole(normal: NormalGraph, node: int) -> bool:
    """Whether a framework's own operation computes a batch normalisation with its statistics."""
    natives = map(normal.graph.record, normal.nodes[node].native)
    return any(len(record.outputs) >= STATISTICS for record in natives)
