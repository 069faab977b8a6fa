"""Which of the two models' outputs the user reads in the same place: by position, key, field or
attribute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from padiff_graph.capture.leaf_names import Fields, Items, Leaf, Tree

__all__ = ["PlacePairs", "pairs_by_place"]


@dataclass(frozen=True)
class PlacePairs:
    """Leaves of two returned structures laid beside each other.

    Attributes:
        pairs: leaves that stand in the same place of both.
        first_open, second_open: leaves whose place the other structure has not: under another kind
            of container, in a sequence of another length, or under a key that only one has. What
            yields them decides then which of them correspond.
    """

    pairs: tuple[tuple[Leaf, Leaf], ...]
    first_open: tuple[Leaf, ...]
    second_open: tuple[Leaf, ...]


def pairs_by_place(first: Tree, second: Tree) -> PlacePairs:
    """Lays the leaves of two structures beside each other by the way that leads to them.

    Sequences correspond item by item where they are of one length, named members where both have
    the name. A sequence of another length says nothing of which item is which, nor does a tuple
    against named members (a tuple against a ModelOutput).
    """
    pairs: list[tuple[Leaf, Leaf]] = []
    first_open: list[Leaf] = []
    second_open: list[Leaf] = []
    todo: list[tuple[Tree, Tree]] = [(first, second)]
    while todo:
        ours, theirs = todo.pop()
        if isinstance(ours, Leaf) and isinstance(theirs, Leaf):
            pairs.append((ours, theirs))
        elif isinstance(ours, Items) and isinstance(theirs, Items) and _as_long(ours, theirs):
            todo += reversed(list(zip(ours.members, theirs.members, strict=True)))
        elif isinstance(ours, Fields) and isinstance(theirs, Fields):
            common = [name for name in ours.members if name in theirs.members]
            todo += [(ours.members[name], theirs.members[name]) for name in reversed(common)]
            first_open += _leaves_but(ours, common)
            second_open += _leaves_but(theirs, common)
        elif _none(ours) and _empty(theirs):
            pairs.append((ours, Leaf(ours.name, ())))
        elif _none(theirs) and _empty(ours):
            pairs.append((Leaf(theirs.name, ()), theirs))
        else:
            first_open += _leaves(ours)
            second_open += _leaves(theirs)
    return PlacePairs(tuple(pairs), tuple(first_open), tuple(second_open))


def _none(tree: Tree) -> TypeGuard[Leaf]:
    return isinstance(tree, Leaf) and tree.value is None


def _empty(tree: Tree) -> bool:
    """Whether a container holds nothing: beside None it is a value of its own."""
    return not isinstance(tree, Leaf) and not tree.members


def _as_long(first: Items, second: Items) -> bool:
    return len(first.members) == len(second.members)


def _leaves_but(fields: Fields, names: list[str]) -> Iterator[Leaf]:
    for name, member in fields.members.items():
        if name not in names:
            yield from _leaves(member)


def _leaves(tree: Tree) -> Iterator[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
        return
    members = tree.members if isinstance(tree, Items) else tree.members.values()
    for member in members:
        yield from _leaves(member)
