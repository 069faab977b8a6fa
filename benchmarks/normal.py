"""How alike the normal forms of both sides of the pairs are, from the cache of corpus.py.

    python benchmarks/normal.py [PAIR ...] [--mode eval] [--cache DIR] [--verbose]

For each pair the operators left over on each side once equal ones are taken away (operator,
attributes, result size). On pairs whose two sides compute the same, nothing should be left.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import Any

import corpus

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.capture.normal.traits import told_by_view


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, (tuple, list)):
        return tuple(rounded(member) for member in value)
    return value


def signature(node: NormalNode) -> tuple[Any, ...]:
    attrs = tuple(
        sorted(
            (name, repr(rounded(value)))
            for name, value in node.attrs.items()
            if not told_by_view(node.op, name)
        )
    )
    # Only rank-free facts: the size of the result, how many operands, their scales.
    edges = tuple(
        sorted(
            (edge.view.size if edge.view else -1, rounded(edge.scale), rounded(edge.shift))
            for edge in node.inputs
            if edge is not None
        )
    )
    return (node.op, attrs, node.outputs[0].size, edges)


def operators(graph: NormalGraph) -> Counter[tuple[Any, ...]]:
    return Counter(signature(node) for node in graph.nodes if not node.leaf)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="*")
    parser.add_argument("--mode", choices=("eval", "train"), default="eval")
    parser.add_argument("--cache", type=Path, default=corpus.default_cache())
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    same = of = 0
    opaque: Counter[str] = Counter()
    for name in chosen.pairs or corpus.cached(chosen.mode, chosen.cache):
        entry = corpus.load(name, chosen.mode, chosen.cache)
        graphs = []
        start = time.perf_counter()
        for side in (entry.first, entry.second):
            graphs.append(None if side is None else normalize(side))
        seconds = time.perf_counter() - start
        for graph in graphs:
            if graph is not None:
                opaque.update(node.op for node in graph.nodes if node.opaque)
        equal = entry.known.get("equal")
        if graphs[0] is None or graphs[1] is None:
            print(f"{name:32} {'equal' if equal else 'differ':6} not captured: {entry.errors}")
            continue
        first, second = operators(graphs[0]), operators(graphs[1])
        left, right = first - second, second - first
        of += bool(equal)
        same += bool(equal) and not left and not right
        counts = [
            sum(not node.leaf for node in graph.nodes) for graph in graphs if graph is not None
        ]
        print(
            f"{name:32} {'equal' if equal else 'differ':6} {counts[0]:5} {counts[1]:5}  left over"
            f" {left.total():4} {right.total():4}  {seconds:5.2f} s"
        )
        if chosen.verbose:
            for side, rest in (("first", left), ("second", right)):
                for signed, count in sorted(rest.items(), key=str)[:40]:
                    print(f"    {side:6} {count:4} x {signed}")
    print(f"equal pairs with nothing left over: {same} of {of}")
    print(f"opaque operators: {dict(opaque.most_common())}")


if __name__ == "__main__":
    main()
