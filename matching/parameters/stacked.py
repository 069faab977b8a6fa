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
from padiff_graph.matching.parameters.joint_answers import together
from padiff_graph.matching.parameters.names import likeness, list_places, numbers, template
from padiff_graph.matching.parameters.relations import squeezed
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.result import Matching, ParameterRow, Piece

__all__ = ["list_rows", "stackings"]

MOST = 24
"""Most possibilities that are offered; more would be guessing."""
SINGLE, SEVERAL = (1,), (2, 3)
"""How many lists may stand in one: gate and up projections of experts, or down projections too."""
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

    def names(self) -> set[str]:
        """Of all members."""
        return {name for members in self.lists.values() for name in members}

    def __len__(self) -> int:
        """How many members each list has."""
        return len(next(iter(self.lists.values())))


def stackings(matching: Matching) -> Iterator[Matching]:
    """The matchings that result where open parameters go with unused ones as list and stack.

    Each alternative gives the same answer for every block. Nothing where nothing fits.
    """
    options = list_rows(matching, ("open",))
    if not options or math.prod(len(answers) for answers in options) > MOST:
        return
    for chosen in itertools.product(*options):
        rows = {row.first: row for rows in chosen for row in rows}
        taken = {piece.second for row in rows.values() for piece in row.pieces}
        yield replace(
            matching,
            parameters=tuple(rows.get(row.first, row) for row in matching.parameters),
            unused_second=tuple(name for name in matching.unused_second if name not in taken),
        )


def list_rows(
    matching: Matching, statuses: Collection[str]
) -> list[list[tuple[ParameterRow, ...]]]:
    """Lists of one side, alone or two side by side, with what may be their stacks on the other:
    for each set of them that depend on each other the rows, one answer for each order of axes and
    each distribution that fits.

    Args:
        matching: with rows so far.
        statuses: of the first model's parameters that may be asked about.
    """
    infos = matching.first.graph.parameters, matching.second.graph.parameters
    left = (
        [row.first for row in matching.parameters if row.status in statuses and not row.pieces],
        list(matching.unused_second),
    )
    answers = _fitting(left, matching, infos, SINGLE)
    # a list that goes nowhere as it is may be several
    known = {name for rows in answers for row in rows for name in _names(row)}
    rest = (
        [name for name in left[0] if name not in known],
        [name for name in left[1] if name not in known],
    )
    answers += _fitting(rest, matching, infos, SEVERAL)
    return together(answers, _likeness)


def _fitting(
    left: tuple[list[str], list[str]],
    matching: Matching,
    infos: tuple[Mapping[str, ParameterInfo], Mapping[str, ParameterInfo]],
    counts: Sequence[int],
) -> list[tuple[ParameterRow, ...]]:
    """The rows of lists that fit into a stack; `counts` of lists may stand in one."""
    answers: list[tuple[ParameterRow, ...]] = []
    for listed in (0, 1):
        stacks = _stacks(left[1 - listed])
        for families in _side_by_side(_families(left[listed], matching, listed, counts)):
            for blocks in stacks.values():
                if blocks.keys() == families[0].lists.keys():
                    answers += _rows(families, blocks, listed, infos)
    return answers


def _names(row: ParameterRow) -> set[str]:
    return {row.first, *(piece.second for piece in row.pieces)}


def _likeness(rows: Sequence[ParameterRow]) -> float:
    """How alike the names of rows are on both sides."""
    pairs = {(template(row.first), template(piece.second)) for row in rows for piece in row.pieces}
    return sum(likeness(*pair) for pair in pairs) / len(pairs)


def _side_by_side(families: Sequence[_Family]) -> Iterator[tuple[_Family, ...]]:
    """Each list by itself, and any two of one shape that one tensor may hold, in both orders."""
    yield from ((family,) for family in families if len(family) > 1)
    for one, other in itertools.permutations(families, 2):
        alike = one.shape == other.shape and one.lists.keys() == other.lists.keys()
        if alike and one.names().isdisjoint(other.names()):
            yield one, other


def _graph(matching: Matching, which: int) -> ComputationGraph:
    return matching.second.graph if which else matching.first.graph


def _families(
    names: Sequence[str], matching: Matching, which: int, counts: Sequence[int]
) -> list[_Family]:
    """Numbered lists, numbered from 0 without a gap and of one shape; then every parameter as a
    list of its own, which only goes with another."""
    members: dict[str, dict[tuple[int, ...], dict[int, str]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for name in names:
        for key, around, place in list_places(name):
            members[key][around][place] = name
    found: list[_Family] = []
    for key, blocks in members.items():
        sizes = {len(block) for block in blocks.values()}
        whole = all(sorted(block) == list(range(len(block))) for block in blocks.values())
        if len(sizes) == 1 and whole:
            lists = {
                around: tuple(block[number] for number in sorted(block))
                for around, block in blocks.items()
            }
            found += _lists(key, lists, _graph(matching, which), counts)
    return [*found, *_alone(names, matching, which)]


def _lists(
    key: str,
    lists: Mapping[tuple[int, ...], tuple[str, ...]],
    graph: ComputationGraph,
    counts: Sequence[int],
) -> Iterator[_Family]:
    """A list as it is, and as several in one: their members in turns, or one behind the other."""
    count = len(next(iter(lists.values())))
    cuts: list[slice] = []
    for several in counts:
        if count % several == 0:
            size = count // several
            cuts += [slice(at, None, several) for at in range(several)]
            if several > 1:
                cuts += [slice(at * size, (at + 1) * size) for at in range(several)]
    for cut in cuts:
        family = {around: members[cut] for around, members in lists.items()}
        names = [name for members in family.values() for name in members]
        shapes = {graph.parameters[name].type.shape for name in names}
        if len(shapes) == 1 and len(next(iter(family.values()))) > 1:
            yield _Family(key, family, shapes.pop())


def _alone(names: Sequence[str], matching: Matching, which: int) -> Iterator[_Family]:
    """Parameters of one template and shape, each a list of one: of matrices and larger ones."""
    parameters = _graph(matching, which).parameters
    for key, blocks in _stacks(names).items():
        shapes = {parameters[name].type.shape for name in blocks.values()}
        if len(shapes) == 1 and len(shape := shapes.pop()) > 1:
            yield _Family(key, {around: (name,) for around, name in blocks.items()}, shape)


def _stacks(names: Sequence[str]) -> dict[str, dict[tuple[int, ...], str]]:
    """Parameters by template and the numbers in the name."""
    found: dict[str, dict[tuple[int, ...], str]] = defaultdict(dict)
    for name in names:
        found[template(name)][numbers(name)] = name
    return found


def _rows(
    families: Sequence[_Family],
    blocks: Mapping[tuple[int, ...], str],
    listed: int,
    infos: tuple[Mapping[str, ParameterInfo], Mapping[str, ParameterInfo]],
) -> Iterator[tuple[ParameterRow, ...]]:
    """The rows of families whose members are slices of stacks, once for each order of axes and each
    place of a family that fits."""
    shape, count = families[0].shape, len(families[0])
    shapes = {infos[1 - listed][name].type.shape for name in blocks.values()}
    if len(shapes) != 1 or any(len(family) != count for family in families):
        return
    (whole,) = shapes
    for order in _orders(len(shape)):
        member = tuple(shape[axis] for axis in order)
        for parted in _parts(whole, len(families)):
            slots = [next(_slots(part, count, member), None) for part in parted]
            if None not in slots:
                slices = [
                    slot.select(0, place).transpose(_inverse(order))
                    for slot in slots
                    if slot is not None
                    for place in range(count)
                ]
                yield _placed_rows(families, blocks, (shape, whole), slices, listed)


def _placed_rows(
    families: Sequence[_Family],
    blocks: Mapping[tuple[int, ...], str],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    slices: Sequence[View],
    listed: int,
) -> tuple[ParameterRow, ...]:
    """Rows of members that are these slices of their stack."""
    shape, whole = shapes
    rows: list[ParameterRow] = []
    for around, stack in blocks.items():
        members = [name for family in families for name in family.lists[around]]
        pairs = list(zip(members, slices, strict=True))
        if listed == 0:
            for name, view in pairs:
                piece = Piece(stack, View.of(shape), view)
                rows.append(_row(name, (piece,), shape, {stack: whole}))
        else:
            pieces = tuple(Piece(name, view, View.of(shape)) for name, view in pairs)
            rows.append(_row(stack, pieces, whole, dict.fromkeys(members, shape)))
    return tuple(rows)


def _orders(rank: int) -> list[tuple[int, ...]]:
    """A member as it is, and with its last two axes exchanged."""
    plain = tuple(range(rank))
    return [plain, (*plain[:-2], rank - 1, rank - 2)] if rank > 1 else [plain]


def _parts(whole: tuple[int, ...], count: int) -> Iterator[list[View]]:
    """A tensor taken apart for several lists: one behind the other along one of its last two axes,
    or in turns (gate and up projections in one weight)."""
    if count == 1:
        yield [View.of(whole)]
        return
    for axis in range(max(1, len(whole) - 2), len(whole)):
        extent = whole[axis]
        if extent % count:
            continue
        size = extent // count
        yield [View.of(whole).take(axis, range(at * size, (at + 1) * size)) for at in range(count)]
        yield [View.of(whole).take(axis, range(at, extent, count)) for at in range(count)]


def _slots(part: View, count: int, member: tuple[int, ...]) -> Iterator[View]:
    """The members one by one in a tensor that holds them: stacked, axes of one element set aside,
    or joined along their first axis, as the groups of a convolution are, or along their last."""
    whole = (count, *member)
    joined = (count * math.prod(member[:1]), *member[1:])
    if part.shape == joined or squeezed(part.shape) == squeezed(whole):
        yield part.reshape(whole)
    elif member and part.shape == (*member[:-1], count * member[-1]):
        last = len(member) - 1
        yield part.reshape((*member[:-1], count, member[-1])).transpose(
            (last, *range(last), last + 1)
        )


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    return tuple(order.index(axis) for axis in range(len(order)))


def _row(
    name: str,
    pieces: tuple[Piece, ...],
    shape: tuple[int, ...],
    seconds: Mapping[str, tuple[int, ...]],
) -> ParameterRow:
    return ParameterRow(name, pieces, describe(pieces, shape, seconds), CONFIDENCE, REASON)
