"""Outputs that are the same value, scaled, shifted or flipped on one side."""

from __future__ import annotations

from collections.abc import Iterator

from padiff_graph.capture.normal.form import Edge, NormalNode
from padiff_graph.capture.normal.traits import attributes_equal
from padiff_graph.matching.difference.compared import (
    Compared,
    attribute_difference,
    near,
    scale_difference,
)
from padiff_graph.matching.result import Difference

__all__ = ["output_differences"]


def output_differences(compared: Compared) -> Iterator[Difference]:
    """All that differs between what corresponding outputs make of one value."""
    firsts, seconds = compared.first.outputs, compared.second.outputs
    for position, (name, edge) in enumerate(firsts.items()):
        theirs = seconds.get(name)
        if theirs is None and len(firsts) == len(seconds):
            theirs = list(seconds.values())[position]
        if theirs is None or compared.partner.get(edge.source) != theirs.source:
            continue
        yield from _of_one(compared, name, edge, theirs)


def _of_one(compared: Compared, name: str, edge: Edge, theirs: Edge) -> Iterator[Difference]:
    nodes = compared.first.nodes[edge.source], compared.second.nodes[theirs.source]
    shown = name if name == "output" else f"output {name}"  # the only output goes by that very name
    if not attributes_equal(edge.scale, theirs.scale):
        scales = edge.scale, theirs.scale
        yield scale_difference(compared, nodes, scales, [(edge, theirs)], {"value": shown})
    if not near(edge.shift, theirs.shift):
        shifts = edge.shift, theirs.shift
        yield attribute_difference(nodes, "shift", "shift", shifts, {"value": shown})
    flips = _flips(edge), _flips(theirs)
    if flips[0] != flips[1]:
        yield _flipped(*nodes, shown, extra=flips[0])


def _flips(edge: Edge) -> bool:
    """Whether the view runs backwards along some axis; no layout does."""
    if edge.view is None:
        return False
    steps = [step for stage in edge.view.stages for step in stage.steps]
    return any(isinstance(step, int) and step < 0 for step in steps)


def _flipped(a: NormalNode, b: NormalNode, shown: str, extra: bool) -> Difference:
    return Difference(
        "extra" if extra else "missing",
        (a.id,),
        (b.id,),
        "operation.extra" if extra else "operation.missing",
        a.path,
        b.path,
        places=((a.id, b.id),),
        facts=(("operation", "Flip"), ("value", shown)),
    )
