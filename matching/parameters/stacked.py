"""Parameters that one model keeps in a numbered list and the other stacked in one tensor: the
experts of a mixture, one Linear each or one three-dimensional weight for all; the groups of a
convolution, one after the other or at once.

The two computations are too unlike for any operation to match, so that no reading tells the map.
What is left over on both sides, its shapes and its numbers leave few possibilities; whoever runs
the models tries them.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from padiff_graph.capture.graph import ComputationGraph, ParameterInfo
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.result import Matching, ParameterRow, Piece

__all__ = ["list_rows", "stackings"]

MOST = 24
"""Most possibilities that are offered; more would be guessing."""
CONFIDENCE = 0.6
"""Of a row that nothing has proved."""
REASON = "a list on one side, stacked on the other"


@dataclass(frozen=True)
class _Family:
    """Lists of like parameters, one for each numbered block: "layers.0.experts.#.up" of every
    layer.

    Attributes:
        template: the name with every number replaced.
        lists: the members in order, by the numbers around the list.
        shape: of one member.
    """

    template: str
    lists: Mapping[tuple[int, ...], tuple[str, ...]]
    shape: tuple[int, ...]


def stackings(matching: Matching) -> Iterator[Matching]:
    """The matchings that result where open parameters go with unused ones as list and stack.

    Each alternative gives the same answer for every block. Nothing where nothing fits.
    """
    options = list_rows(matching, ("open",))
    if not options or math.prod(len(found) for found in options) > MOST:
        return
    for chosen in itertools.product(*options):
        rows = {row.first: row for rows in chosen for row in rows}
        taken = [
            name
            for rows in chosen
            for name in {piece.second for row in rows for piece in row.pieces}
        ]
        if len(rows) < sum(len(rows) for rows in chosen) or len(set(taken)) < len(taken):
            continue  # two lists in one stack
        unused = tuple(name for name in matching.unused_second if name not in set(taken))
        yield replace(
            matching,
            parameters=tuple(rows.get(row.first, row) for row in matching.parameters),
            unused_second=unused,
        )


def list_rows(
    matching: Matching, statuses: Collection[str]
) -> list[list[tuple[ParameterRow, ...]]]:
    """For each list of one side its rows with what may be its stack on the other, one answer for
    each order of axes that fits.

    Args:
        matching: with rows so far.
        statuses: of the first model's parameters that may be asked about.
    """
    infos = matching.first.graph.parameters, matching.second.graph.parameters
    left = (
        [row.first for row in matching.parameters if row.status in statuses and not row.pieces],
        list(matching.unused_second),
    )
    options: list[list[tuple[ParameterRow, ...]]] = []
    for listed in (0, 1):
        stacks = _stacks(left[1 - listed], matching, 1 - listed)
        for family in _families(left[listed], matching, listed):
            answers = [
                rows
                for name, blocks in stacks.items()
                if blocks.keys() == family.lists.keys()
                for rows in _rows(family, blocks, listed, infos)
            ]
            if answers:
                options.append(answers)
    return options


def _template(name: str) -> tuple[str, tuple[int, ...]]:
    """A name with its numbers replaced, and the numbers."""
    parts = name.split(".")
    return ".".join("#" if part.isdecimal() else part for part in parts), tuple(
        int(part) for part in parts if part.isdecimal()
    )


def _graph(matching: Matching, which: int) -> ComputationGraph:
    return matching.second.graph if which else matching.first.graph


def _families(names: Sequence[str], matching: Matching, which: int) -> list[_Family]:
    """Numbered lists, numbered from 0 without a gap and of one shape; the innermost number
    counts."""
    members: dict[str, dict[tuple[int, ...], dict[int, str]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for name in names:
        template, numbers = _template(name)
        if numbers:
            members[template][numbers[:-1]][numbers[-1]] = name
    found = []
    for template, blocks in members.items():
        shapes = {
            _graph(matching, which).parameters[name].type.shape
            for block in blocks.values()
            for name in block.values()
        }
        counts = {len(block) for block in blocks.values()}
        if (
            len(shapes) == 1
            and len(counts) == 1
            and min(counts) > 1
            and all(sorted(block) == list(range(len(block))) for block in blocks.values())
        ):
            found.append(
                _Family(
                    template,
                    {
                        numbers: tuple(block[number] for number in sorted(block))
                        for numbers, block in blocks.items()
                    },
                    shapes.pop(),
                )
            )
    return found


def _stacks(
    names: Sequence[str], matching: Matching, which: int
) -> dict[str, dict[tuple[int, ...], str]]:
    """Parameters by template and the numbers in the name."""
    found: dict[str, dict[tuple[int, ...], str]] = defaultdict(dict)
    for name in names:
        template, numbers = _template(name)
        found[template][numbers] = name
    return found


def _rows(
    family: _Family,
    blocks: Mapping[tuple[int, ...], str],
    listed: int,
    infos: tuple[Mapping[str, ParameterInfo], Mapping[str, ParameterInfo]],
) -> Iterator[tuple[ParameterRow, ...]]:
    """The rows of a family whose members are slices of stacks, once for each order of axes that
    fits."""
    count = len(next(iter(family.lists.values())))
    shapes = {infos[1 - listed][name].type.shape for name in blocks.values()}
    if len(shapes) != 1:
        return
    (whole,) = shapes
    rank = len(family.shape)
    for order in dict.fromkeys(
        (tuple(range(rank)), (*range(rank - 2), rank - 1, rank - 2))
        if rank >= 2
        else (tuple(range(rank)),)
    ):
        member = tuple(family.shape[axis] for axis in order)
        if whole not in _wholes(count, member):
            continue
        rows: list[ParameterRow] = []
        for numbers, members in family.lists.items():
            stack = blocks[numbers]
            stacked = View.of(whole).reshape((count, *member))
            slices = [stacked.select(0, place).transpose(_inverse(order)) for place in range(count)]
            if listed == 0:
                for name, view in zip(members, slices, strict=True):
                    rows.append(
                        _row(
                            name,
                            (Piece(stack, View.of(family.shape), view),),
                            family.shape,
                            {stack: whole},
                        )
                    )
            else:
                pieces = tuple(
                    Piece(name, view, View.of(family.shape))
                    for name, view in zip(members, slices, strict=True)
                )
                rows.append(_row(stack, pieces, whole, dict.fromkeys(members, family.shape)))
        yield tuple(rows)


def _wholes(count: int, member: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Shapes of all members in one tensor: stacked, or joined along their first axis, as the groups
    of a convolution are."""
    if not member:
        return ((count,),)
    return (count, *member), (count * member[0], *member[1:])


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    return tuple(order.index(axis) for axis in range(len(order)))


def _row(
    name: str,
    pieces: tuple[Piece, ...],
    shape: tuple[int, ...],
    seconds: Mapping[str, tuple[int, ...]],
) -> ParameterRow:
    return ParameterRow(name, pieces, describe(pieces, shape, seconds), CONFIDENCE, REASON)
