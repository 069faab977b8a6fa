import numpy as np
from synthetic import Graph

from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.form import Location, NormalGraph
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.ladder import match
from padiff_graph.matching.rungs.value_evidence import Evidence, Fingerprint


def test_a_fingerprint_does_not_see_layout():
    array = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    assert Fingerprint.of(array).agrees(Fingerprint.of(array.transpose(2, 0, 1)))
    assert not Fingerprint.of(array).agrees(Fingerprint.of(array * 1.01))
    assert not Fingerprint.of(array).agrees(Fingerprint.of(array[:1]))


def test_a_constant_tells_nothing():
    assert not Fingerprint.of(np.ones((3, 3))).telling


def located(graph: NormalGraph) -> NormalGraph:
    import dataclasses

    nodes = tuple(
        dataclasses.replace(
            node,
            locations=tuple(
                Location(Value(node.id, at), View.of(kind.shape))
                for at, kind in enumerate(node.outputs)
            ),
        )
        for node in graph.nodes
    )
    return dataclasses.replace(graph, nodes=nodes)


def test_equal_values_correspond_whatever_computed_them():
    def model(ops: tuple[str, ...]) -> NormalGraph:
        graph = Graph()
        x = graph.leaf("Input", "x", 32)
        for op in ops:
            x = graph.op(op, [x], (32,), "")
        return located(graph.finish(output=graph.op("Exp", [x], (32,), "")))

    first, second = model(("Swish",)), model(("Sin", "Cos"))
    value = Fingerprint.of(np.random.default_rng(1).normal(size=32))
    found = match(first, second, evidence=Evidence({Value(1): value}, {Value(2): value}))
    assert found.partner()[1] == 2
