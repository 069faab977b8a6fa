"""How matching and diff stand damage: random edits of one side of a matched pair.

    python benchmarks/damage.py [PAIR ...] [--mode eval] [--cache DIR] [--runs 6] [--edits 1 5]
                                [--seed S] [--self] [--verbose] [--calibrate]

Captures come from the cache of corpus.py. The healthy matching of a pair is the truth (with
`--self`, the second side against itself); the first side is then edited at random and matched
again. Reported: whether the diff shows every edit, how many matches are right, wrong and open, and
how many wrong ones carry a confidence over 0.9. Two nodes that are alike in everything above and
below are one answer. An operation left out whose very place another like it took in a further edit
(ReLU and convolution exchanged, then the next ReLU left out) is not left out any more: where the
other's absence is shown, the edit is not counted. `--calibrate` adds what confidences are worth:
for each rung and each confidence that its matches end with, the share of right ones, and of how
many.
"""

from __future__ import annotations

import argparse
import random
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import corpus
from edits import Edit, damage

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.capture.normal.traits import differing_attributes
from padiff_graph.matching.difference.structural_differences import differences
from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.ladder import match, prepare
from padiff_graph.matching.result import Difference
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.ordered_hashes import from_above, from_below

Calibration = Counter[tuple[str, float, bool]]
"""How many matches of a rung ended with a confidence and are right (True) or wrong."""


def orbits(graph: NormalGraph) -> list[object]:
    """A class for each node: equal for nodes that are interchangeable."""
    state = prepare(graph, graph, Hints())
    classes: list[object] = list(
        zip(
            from_above(state, 1, LOOSE, anchored=False),
            from_below(state, 1, LOOSE, anchored=False),
            strict=True,
        )
    )
    return [
        (where, node.op) if not node.leaf else node.id
        for where, node in zip(classes, graph.nodes, strict=True)
    ]


def shows(
    found: tuple[Difference, ...], edit: Edit, ids: Mapping[int, int], truth: Mapping[int, int]
) -> bool:
    """Whether a difference touches the edit, or a neighbour that it rewired."""
    first = {node for d in found for node in (*d.first, *(place[0] for place in d.places))}
    second = {node for d in found for node in (*d.second, *(place[1] for place in d.places))}
    return any(ids.get(node, -2) in first or truth.get(node, -2) in second for node in edit.touched)


def undone(
    found: tuple[Difference, ...],
    edit: Edit,
    graphs: tuple[NormalGraph, NormalGraph],
    was: Mapping[int, int],
    truth: Mapping[int, int],
) -> bool:
    """Whether an operation just like the one left out stands in its place, and the diff shows where
    that one stood."""
    damaged, second = graphs
    if edit.kind != "bypassed":
        return False
    place = truth[edit.touched[0]]
    users = (damaged.users(), second.users())
    shown = {node for d in found for node in (*d.second, *(pair[1] for pair in d.places))}

    def by_truth(node: int) -> int:
        return truth.get(was[node], -1)

    def around(which: int, node: int) -> object:
        graph, name = (second, int) if which else (damaged, by_truth)
        edges = [
            edge and (name(edge.source), edge.output, edge.scale, edge.shift)
            for edge in graph.nodes[node].inputs
        ]
        return edges, sorted((name(user), position) for user, position in users[which][node])

    wanted = second.nodes[place]
    return any(
        node.op == wanted.op
        and not differing_attributes(node.op, node.attrs, wanted.attrs)
        and by_truth(node.id) in shown
        and around(0, node.id) == around(1, place)
        for node in damaged.nodes
        if not node.leaf
    )


def judgeable(edits: Sequence[Edit], truth: Mapping[int, int]) -> bool:
    """Whether the healthy matching says where every edit is; where it is open, nothing does."""
    return bool(edits) and all(any(node in truth for node in edit.touched) for edit in edits)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="*")
    parser.add_argument("--mode", choices=("eval", "train"), default="eval")
    parser.add_argument("--cache", type=Path, default=corpus.default_cache())
    parser.add_argument("--runs", type=int, default=6, help="runs of each pair and number of edits")
    parser.add_argument("--edits", type=int, nargs="*", default=[1, 5])
    parser.add_argument("--seed", default="", help="other edits than those of no seed")
    parser.add_argument("--self", action="store_true", help="second side against itself")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--calibrate", action="store_true", help="share of right matches by rung")
    chosen = parser.parse_args()
    totals: dict[int, Counter[str]] = {count: Counter() for count in chosen.edits}
    calibrations: dict[int, Calibration] = {count: Counter() for count in chosen.edits}
    for name in chosen.pairs or corpus.cached(chosen.mode, chosen.cache):
        entry = corpus.load(name, chosen.mode, chosen.cache)
        if entry.second is None or (entry.first is None and not chosen.self):
            continue
        second = normalize(entry.second)
        first = second if chosen.self else normalize(entry.first)
        truth = (
            {node.id: node.id for node in second.nodes}
            if chosen.self
            else match(first, second).partner()
        )
        orbit = orbits(second)
        for count in chosen.edits:
            here: Counter[str] = Counter()
            start = time.perf_counter()
            for run in range(chosen.runs):
                one(
                    first,
                    second,
                    truth,
                    orbit,
                    count,
                    random.Random(zlib.crc32(f"{chosen.seed}{name} {count} {run}".encode())),
                    here,
                    calibrations[count],
                    name if chosen.verbose else "",
                )
            totals[count] += here
            print(
                f"{name:24s} {count} edits: {words(here)}  {time.perf_counter() - start:.1f} s",
                flush=True,
            )
    for count, total in totals.items():
        print(f"{'all':24s} {count} edits: {words(total)}")
    if chosen.calibrate:
        print_calibration(sum(calibrations.values(), Counter()))


def one(
    first: NormalGraph,
    second: NormalGraph,
    truth: Mapping[int, int],
    orbit: list[object],
    count: int,
    rng: random.Random,
    here: Counter[str],
    calibration: Calibration,
    name: str,
) -> None:
    """One damaged copy, matched."""
    damaged, ids, edits = damage(first, count, rng)
    if not judgeable(edits, truth):  # a pair of which much is open has its other edits elsewhere
        damaged, ids, edits = damage(first, count, rng, sorted(truth))
    if not judgeable(edits, truth):
        return
    was = {new: old for old, new in ids.items()}
    matching = match(damaged, second)
    found = differences(matching)
    here["runs"] += 1
    for edit in edits:
        seen = shows(found, edit, ids, truth)
        gone = not seen and undone(found, edit, (damaged, second), was, truth)
        here["undone" if gone else "edits"] += 1
        here["shown"] += seen
        if name and not seen and not gone:
            print(f"    {name}: not shown: {edit.words}; {[e.words for e in edits]}")
    partner = matching.partner()
    for item in matching.matches:
        right = truth.get(was[item.first])
        if right is None:
            here["untold"] += 1
            continue
        agrees = right == item.second or orbit[right] == orbit[item.second]
        calibration[item.rung, item.confidence, agrees] += 1
        if agrees:
            here["right"] += 1
        else:
            here["wrong"] += 1
            here["wrong and sure"] += item.confidence > 0.9
            if name:
                a, b = damaged.nodes[item.first], second.nodes[item.second]
                print(
                    f"    {name}: wrong {a.op} {a.path or a.name} = {b.path or b.name}, not"
                    f" {second.nodes[right].path or second.nodes[right].name}; {item.rung}"
                    f" {item.confidence} {[e.words for e in edits]}"
                )
    touched = {node for edit in edits for node in edit.touched}
    here["open"] += sum(
        node not in partner and was[node] in truth and was[node] not in touched
        for node in range(len(damaged.nodes))
    )


def print_calibration(calibration: Calibration) -> None:
    """One row for each rung and confidence.

    Stated, measured share of right matches, of how many.
    """
    print(f"{'rung':14s} {'stated':>7s} {'measured':>9s} {'count':>8s}")
    for rung, stated in sorted({(rung, stated) for rung, stated, _ in calibration}):
        right, wrong = (calibration[rung, stated, agrees] for agrees in (True, False))
        measured = right / (right + wrong)
        print(f"{rung:14s} {stated:7.3f} {measured:9.4f} {right + wrong:8d}")


def words(found: Counter[str]) -> str:
    return (
        f"{found['runs']} runs, {found['shown']} of {found['edits']} edits shown ({found['undone']}"
        f" undone by others), {found['right']} right, {found['wrong']} wrong"
        f" ({found['wrong'] / max(1, found['right'] + found['wrong']):.3%}),"
        f" {found['wrong and sure']} of them sure, {found['open']} open"
    )


if __name__ == "__main__":
    main()
