"""Cuts are taken away together where they stand together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from padiff_graph.check.doubtful_cuts import doubtful_groups, widened


def chain(*cuts: str) -> Any:
    """A plan of one line of regions, each of which yields a cut and reads the one before."""
    plan = SimpleNamespace(
        cuts=[
            SimpleNamespace(index=at, key=key, source=at == 0, sink=False)
            for at, key in enumerate(cuts)
        ]
    )
    plan.regions = [region(plan, at) for at in range(1, len(cuts))]
    return plan


def region(plan: Any, at: int) -> Any:
    """Of the operations of its own number, and of those in front whose cuts are gone."""
    first, last = int(plan.cuts[at - 1].key) + 1, int(plan.cuts[at].key)
    side = SimpleNamespace(reads=(at - 1,), nodes=tuple(range(first, last + 1)))
    return SimpleNamespace(cut=plan.cuts[at], first=side, second=side, identity=(first, last))


def results(plan: Any, *different: str) -> dict[tuple[object, ...], Any]:
    numbers = {"double": None, "error": 1.0, "relative": 1.0, "bound": 1e-6, "scale": 1.0}
    parts = [SimpleNamespace(kind="output", verdict="different", **numbers)]
    return {
        region.identity: SimpleNamespace(
            verdict="different" if region.cut.key in different else "equal", parts=parts
        )
        for region in plan.regions
    }


def test_a_group_grows_by_what_is_doubtful_where_it_stood() -> None:
    whole = chain(*map(str, range(12)))
    assert {*doubtful_groups(whole, results(whole, "3", "9"))} == {frozenset("3"), frozenset("9")}
    trial = chain(*(str(at) for at in range(12) if at not in (3, 9)))
    known: Any = {**results(whole, "3", "9"), **results(trial, "4")}
    grown = widened([frozenset("3")], whole, trial, known)
    assert grown == [frozenset("34")]
    assert widened([frozenset("9")], whole, trial, known) == []  # nothing is doubtful there
    known |= results(trial, "4", "10")
    found = widened([frozenset("3"), frozenset("9")], whole, trial, known)
    assert found == [frozenset("34"), frozenset({"9", "10"})]
