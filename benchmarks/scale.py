"""Matching graphs of 1,000, 10,000 and 100,000 operations with 1 % random edits and the right
answer known.

    python benchmarks/scale.py [--sizes 1000 10000 100000] [--rate 0.01]

A decoder in two spellings; the first side is edited at random (an operation left out, two
exchanged, a branch dropped, an attribute changed). Precision and recall count every node that the
edits leave. Before that the whole way of a pair of that many native operations, from captured
graphs to the parameter map (the decoders of normal_scale.py), healthy and with as many edits of one
side's normal form. Yardsticks in the same run: networkx's VF2++ (on the unedited graphs, which are
isomorphic; it cannot do more), its Weisfeiler-Lehman hashes, and a plain hash of everything above a
node.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import time
from collections import Counter
from collections.abc import Hashable, Sequence

import networkx as nx
from edits import EDITS, Draft
from normal_scale import Decoder as Captured
from synthetic import decoder, sizes

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.matching.labels import PLAIN
from padiff_graph.matching.ladder import match, prepare
from padiff_graph.matching.parameters.parameter_map import map_parameters
from padiff_graph.matching.parameters.points import lay_out
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.ordered_hashes import from_above


def edited(
    graph: NormalGraph, count: int, rng: random.Random
) -> tuple[NormalGraph, dict[int, int]]:
    """A copy with `count` edits in places of their own, and original id -> new id."""
    pieces = Draft(graph)
    kinds = [name for name in EDITS if name != "block"]
    nodes = [node.id for node in graph.nodes if node.op not in ("Input", "Parameter", "Constant")]
    rng.shuffle(nodes)
    done = 0
    for start in range(0, len(nodes), 40):
        if done >= count:
            break
        pieces.pool = nodes[start : start + 40]  # so that one edit costs no pass over the graph
        done += EDITS[rng.choice(kinds)](pieces, rng) is not None
    return pieces.finish()


def as_networkx(graph: NormalGraph) -> nx.DiGraph:
    found = nx.DiGraph()
    for node in graph.nodes:
        found.add_node(node.id, label=f"{node.op} {node.outputs[0].shape if node.outputs else ''}")
    found.add_edges_from(
        (edge.source, node.id) for node in graph.nodes for edge in node.inputs if edge is not None
    )
    return found


def unique(keys: Sequence[Hashable]) -> float:
    counts = Counter(keys)
    return sum(counts[key] == 1 for key in keys) / len(keys)


def whole(operations: int, rate: float) -> None:
    """CPU time of every step between two captured graphs and the map of their parameters; the first
    is edited in its normal form where a rate is given."""
    # One framework says a block in fewer operations: both have as many blocks as that one takes.
    blocks = Captured("torch", operations, 64).blocks
    graphs = [
        Captured(framework, operations, 64, blocks).graph() for framework in ("paddle", "torch")
    ]
    laps = [time.process_time()]
    first, second = map(normalize, graphs)
    laps.append(time.process_time())
    if rate:
        first, _ = edited(first, max(1, int(operations * rate)), random.Random(operations))
        laps[0] += time.process_time() - laps[-1]
        laps[-1] = time.process_time()
    found = match(first, second)
    laps.append(time.process_time())
    layout = lay_out(found)
    laps.append(time.process_time())
    rows = map_parameters(
        dataclasses.replace(found, points=tuple(layout.points)), layout.readings
    ).parameters
    laps.append(time.process_time())
    steps = ", ".join(
        f"{name} {after - before:.2f}"
        for name, before, after in zip(
            ("normal forms", "matching", "layouts", "map"), laps, laps[1:], strict=False
        )
    )
    mapped = [row for row in rows if row.status == "mapped"]
    wrong = sum(any(piece.second != row.first for piece in row.pieces) for row in mapped)
    print(
        f"{operations} native operations or more on each side, {rate:.0%} edited, captured graphs"
        f" to map: {laps[-1] - laps[0]:.2f} s of CPU ({steps}), {len(mapped)} of {len(rows)}"
        f" parameters mapped, {wrong} wrong",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10000, 100000])
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument(
        "--yardsticks", type=int, default=10000, help="largest size that the yardsticks run on"
    )
    chosen = parser.parse_args()
    for size in chosen.sizes:
        for rate in (0.0, chosen.rate):
            whole(size, rate)
        first, second = decoder(sizes(size)), decoder(sizes(size), "second")
        operations = sum(not node.leaf for node in first.nodes)
        damaged, ids = edited(first, max(1, int(operations * chosen.rate)), random.Random(size))
        was = {new: old for old, new in ids.items()}
        start = time.perf_counter()
        cpu = time.process_time()
        found = match(damaged, second)
        seconds = time.perf_counter() - start
        busy = time.process_time() - cpu
        right = sum(was[item.first] == item.second for item in found.matches)
        print(
            f"{operations} operations, {len(damaged.nodes)} nodes: {seconds:.2f} s ({busy:.2f} s of"
            f" CPU), precision {right / max(1, len(found.matches)):.4f}, recall"
            f" {right / len(damaged.nodes):.4f}",
            flush=True,
        )
        start = time.perf_counter()
        state = prepare(first, second, Hints())
        plain = from_above(state, 0, PLAIN, anchored=False)
        print(
            f"    plain hash from above: {time.perf_counter() - start:.2f} s,"
            f" {unique([plain[node] for node in state.first.computing]):.3f} of the operations"
            " unique"
        )
        if size <= chosen.yardsticks:
            graphs = (as_networkx(first), as_networkx(second))
            start = time.perf_counter()
            hashes = nx.weisfeiler_lehman_subgraph_hashes(
                graphs[0], node_attr="label", iterations=3
            )
            print(
                f"    Weisfeiler-Lehman, 3 rounds: {time.perf_counter() - start:.2f} s,"
                f" {unique([tuple(h) for h in hashes.values()]):.3f} of the nodes unique"
            )
            if size <= 1000:
                start = time.perf_counter()
                same = nx.vf2pp_isomorphism(graphs[0], graphs[1], node_label="label")
                print(
                    f"    VF2++ on the unedited graphs: {time.perf_counter() - start:.2f} s,"
                    f" {'mapped' if same else 'nothing'}; nothing at all on edited ones"
                )


if __name__ == "__main__":
    main()
