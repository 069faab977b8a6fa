"""Learning which numbered containers of two models go together, and how far their numbers are
apart.

Matches vote: where "encoder.layers.3.fc" goes with "h.4.mlp", "encoder.layers.#" and "h.#" go
together with a difference of 1. What all votes say is taken; where they are divided, equal numbers
in like containers are the natural reading, and a run of blocks shifted by a missing one must not
outvote them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from padiff_graph.matching.tree.module_paths import THROUGH, Paths

__all__ = ["ESTABLISHED", "Relations", "Tally", "counterparts", "relations", "tally"]

Containers = tuple[str, str]
"""A numbered container of each model."""
Sides = tuple[Paths, Paths]

MOST = 12
"""Most pairs of containers kept: chosen so that models in several parts have room, and asking stays
cheap."""
SHARE = 0.4
"""So much of what is matched in each of two containers must lie in the other, for them to go
together: the number of a block has nothing to do with the number of a norm inside a block."""
ESTABLISHED = 3
"""So many matches make one template the counterpart of another, and so many numbers a relation one
that holds throughout: chosen so that one run of blocks shifted by one decides nothing."""
AGREED = 0.8
"""Share of a template's matches that must be with its counterpart."""
SETTLED = 2 / 3
"""Share of all votes that settles a difference of numbers where they are divided."""
PRESENT = 1 / 4
"""Share of votes for equal numbers that is enough where nothing is settled."""
SHARED = 0.7
"""Share of all numbers that both models have, where one lacks some, for equal numbers to be
natural; and share of the fewer numbers that have a counterpart, for any difference of numbers."""


def _no_templates() -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    return defaultdict(Counter), defaultdict(Counter)


@dataclass
class Tally:
    """What matches say of two models' paths.

    Attributes:
        votes: of sure and of likely matches: how often (first number, difference) is said, by
            containers.
        inside: for each side how many matches lie in a container.
        templates: for each side how often a template is matched with each of the other's.
    """

    votes: tuple[dict[Containers, Counter[tuple[int, int]]], ...] = field(
        default_factory=lambda: (defaultdict(Counter), defaultdict(Counter))
    )
    inside: tuple[Counter[str], Counter[str]] = field(
        default_factory=lambda: (Counter(), Counter())
    )
    templates: tuple[dict[str, Counter[str]], dict[str, Counter[str]]] = field(
        default_factory=_no_templates
    )

    def said(self, key: Containers) -> list[Counter[tuple[int, int]]]:
        """The votes on two containers, sure ones first."""
        return [kind.get(key, Counter()) for kind in self.votes]


@dataclass(frozen=True)
class Relations:
    """Containers that go together.

    Attributes:
        offsets: how far second numbers exceed first numbers, the best founded relation first.
        firm: positions of those that surely hold for all numbers.
    """

    offsets: Mapping[Containers, int]
    firm: frozenset[int]


# -- counting


def tally(
    sides: Sides, sure: Iterable[tuple[int, int]], likely: Iterable[tuple[int, int]]
) -> Tally:
    """Counts what matches say, sure ones, and pairs that may be wrong in part."""
    counted = Tally()
    for kind, pairs in enumerate((sure, likely)):
        for templates, together in _together(sides, pairs).items():
            _count_templates(counted, sides, templates, sum(together.values()))
            _count_numbers(counted.votes[kind], sides, templates, together)
    return counted


_Together = Counter[tuple[tuple[int, ...], tuple[int, ...]]]
"""How often the numbers in two paths come together."""


def _together(
    sides: Sides, pairs: Iterable[tuple[int, int]]
) -> Mapping[tuple[int, int], _Together]:
    """How often the numbers in two templates come together, by the pair of templates."""
    mine, theirs = sides
    paths = Counter((mine.of[first], theirs.of[second]) for first, second in pairs)
    together: dict[tuple[int, int], _Together] = defaultdict(Counter)
    for (first, second), times in paths.items():
        numbers = mine.places[first], theirs.places[second]
        together[mine.template[first], theirs.template[second]][numbers] += times
    return together


def _count_templates(counted: Tally, sides: Sides, templates: tuple[int, int], times: int) -> None:
    names = sides[0].templates[templates[0]], sides[1].templates[templates[1]]
    counted.templates[0][names[0]][names[1]] += times
    counted.templates[1][names[1]][names[0]] += times
    for which in (0, 1):
        for container in sides[which].containers[templates[which]]:
            counted.inside[which][container] += times


def _count_numbers(
    votes: dict[Containers, Counter[tuple[int, int]]],
    sides: Sides,
    templates: tuple[int, int],
    together: _Together,
) -> None:
    containers = sides[0].containers[templates[0]], sides[1].containers[templates[1]]
    for at, container in enumerate(containers[0]):
        for place, other in enumerate(containers[1]):
            if container.endswith(THROUGH) and other.endswith(THROUGH):
                continue
            counts = votes[container, other]
            for (mine, theirs), times in together.items():
                counts[mine[at], theirs[place] - mine[at]] += times


# -- templates


def counterparts(counted: Tally) -> tuple[dict[str, str], dict[str, str]]:
    """For each side the templates whose matches are nearly all with one template of the other."""
    first, second = (dict(_established(side)) for side in counted.templates)
    return first, second


def _established(side: Mapping[str, Counter[str]]) -> Iterator[tuple[str, str]]:
    for template, counts in side.items():
        other, times = counts.most_common(1)[0]
        if times >= max(ESTABLISHED, AGREED * sum(counts.values())):
            yield template, other


# -- containers


def relations(sides: Sides, counted: Tally) -> Relations:
    """The containers that go together, one with one where votes do not say more."""
    candidates = _candidates(sides, counted)
    best: list[Containers] = []
    for key in sorted(candidates, key=lambda key: _rank(sides, key, candidates[key][1])):
        if len(best) < MOST and _joins(sides, counted, key, best):
            best.append(key)
    offsets = {key: candidates[key][0] for key in best}
    firm = frozenset(
        number
        for number, key in enumerate(best)
        if _holds_throughout(sides, key, offsets[key], counted)
    )
    return Relations(offsets, firm)


def _candidates(sides: Sides, counted: Tally) -> dict[Containers, tuple[int, int]]:
    """Containers with a difference of numbers, and how many votes say so."""
    plausible: dict[Containers, tuple[int, int]] = {}
    shifted: tuple[set[str], set[str]] = (set(), set())
    for key in dict.fromkeys([*counted.votes[0], *counted.votes[1]]):
        sure, likely = counted.said(key)
        inside = max(counted.inside[which][key[which]] for which in (0, 1))
        if sure.total() + likely.total() < SHARE * inside:
            continue
        offset = _unanimous(sure) or _natural(sure, likely, _likeness(sides, key))
        if offset is None or not _paired(sides, key, offset[0]):
            continue
        if offset[0] and sides[0].numbers_in(key[0]) == sides[1].numbers_in(key[1]):
            # Both models have all these blocks, so no number is another's: a run is shifted by a
            # missing block.
            shifted[0].add(key[0])
            shifted[1].add(key[1])
        else:
            plausible[key] = offset
    return {
        key: offset
        for key, offset in plausible.items()
        if not offset[0] or (key[0] not in shifted[0] and key[1] not in shifted[1])
    }


def _rank(sides: Sides, key: Containers, votes: int) -> tuple[int, int, int]:
    """Many votes first, then natural ones, then containers as deep as each other."""
    depths = abs(key[0].count("#") - key[1].count("#"))
    return -votes, -_likeness(sides, key), depths


def _joins(sides: Sides, counted: Tally, key: Containers, best: list[Containers]) -> bool:
    """Whether a relation may stand beside those that are better founded.

    One container goes with one: the number of a part in a block says nothing about the block. A
    container that is numbered through on one side may go with several of the other.
    """
    if all(key[0] != known[0] and key[1] != known[1] for known in best):
        return True
    if len({offset for votes in counted.said(key) for _, offset in votes}) != 1:
        return False
    if any(key[0] == known[0] and key[1] == known[1] for known in best):
        return False
    return not any(_diverging(sides, key, known) for known in best)


def _diverging(sides: Sides, key: Containers, known: Containers) -> bool:
    """Whether two relations of one container, to a container and to one within it, cannot both
    hold: blocks counted through stages are as many as the stages only where each stage has one."""
    for which in (0, 1):
        inner, outer = sorted((key[which], known[which]), key=len, reverse=True)
        within = key[1 - which] == known[1 - which] and inner.startswith(outer + ".")
        numbers = sides[which].numbers_in
        if within and len(numbers(inner)) != len(numbers(outer)):
            return True
    return False


def _holds_throughout(sides: Sides, key: Containers, offset: int, counted: Tally) -> bool:
    """Whether a relation surely holds for all numbers: equal ones in like containers, or what every
    vote says."""
    if not offset and _likeness(sides, key):
        return True
    votes = [vote for kind in counted.said(key) for vote in kind]
    numbers = {number for number, _ in votes}
    fewer = min(len(sides[which].numbers_in(key[which])) for which in (0, 1))
    if len({offset for _, offset in votes}) != 1:
        return False
    return len(numbers) >= ESTABLISHED and 2 * len(numbers) >= fewer


def _likeness(sides: Sides, key: Containers) -> int:
    """How natural equal numbers are: 2 for one spelling or the same numbers, 1 where one side lacks
    some, else 0."""
    mine, theirs = sides[0].numbers_in(key[0]), sides[1].numbers_in(key[1])
    both = mine & theirs
    if not both:
        return 0
    if key[0] == key[1] or (mine == theirs and len(mine) > 1):
        return 2
    within = len(both) >= 2 and (mine <= theirs or theirs <= mine)
    return int(within and len(both) >= SHARED * len(mine | theirs))


def _paired(sides: Sides, key: Containers, offset: int) -> bool:
    """Whether most numbers of the container with fewer have a counterpart: stages that start at
    some of the blocks of the other model agree with it in the first two of them."""
    mine, theirs = sides[0].numbers_in(key[0]), sides[1].numbers_in(key[1])
    both = {number + offset for number in mine} & theirs
    return len(both) >= SHARED * min(len(mine), len(theirs))


# -- what votes say of one pair of containers


def _unanimous(counts: Counter[tuple[int, int]]) -> tuple[int, int] | None:
    """The one difference of numbers that all votes, of several numbers, agree on, and how many they
    are."""
    if len({offset for _, offset in counts}) != 1 or len(counts) < 2:
        return None
    return next(iter(counts))[1], counts.total()


def _natural(
    sure: Counter[tuple[int, int]], likely: Counter[tuple[int, int]], likeness: int
) -> tuple[int, int] | None:
    """The difference of numbers that divided votes settle on, and how many say so; None where they
    do not.

    Equal numbers are the natural reading for containers that are alike: a run of blocks shifted by
    a missing one can outvote them. Sure matches that speak against it as often as for it leave it
    open: the other model may number its blocks the other way round.
    """
    totals: Counter[int] = Counter()
    places: dict[int, set[int]] = defaultdict(set)
    for (number, offset), count in (sure + likely).items():
        totals[offset] += count
        places[offset].add(number)
    best, count = totals.most_common(1)[0]
    several = len(places[best]) >= 2
    # Numbers of which every sure match says otherwise show that the difference is not the same
    # throughout.
    steady = {number for number, _ in sure} <= places[best]
    settled = several and steady and count >= SETTLED * totals.total()
    one_way = several or len({offset > 0 for offset in totals}) == 1
    if not _doubted(sure):
        if likeness == 2 and (totals[0] or (one_way and not settled)):
            return 0, totals[0]
        if likeness == 1 and not settled and totals[0] >= PRESENT * totals.total():
            return 0, totals[0]
    return (best, count) if settled else None


def _doubted(sure: Counter[tuple[int, int]]) -> bool:
    """Whether sure matches speak against equal numbers as often as for them."""
    equal = sum(count for (_, offset), count in sure.items() if not offset)
    return sure.total() - equal >= max(equal, 1)
