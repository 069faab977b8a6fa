from synthetic import Graph

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.ladder import prepare
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.table import REBIND


def test_a_sum_goes_with_the_sum_of_the_same_values():
    def graph(path: str) -> NormalGraph:
        made = Graph()
        x = made.leaf("Input", "x", 2, 8)
        one = made.op("Tanh", [x], (2, 8), f"{path}.one")
        first = made.op("Add", [x, one], (2, 8), path)
        two = made.op("Sigmoid", [first], (2, 8), f"{path}.two")
        return made.finish(output=made.op("Add", [first, two], (2, 8), path))

    first, second = graph("a.0"), graph("b.0")
    add, later = (node.id for node in second.nodes if node.op == "Add")
    tanh = next(node.id for node in second.nodes if node.op == "Tanh")
    state = prepare(first, second, Hints())
    state.pair(tanh, tanh, "place", 0.8, "given")
    state.pair(add, later, "hash-below", 0.9, "what reads both is alike")
    assert REBIND(state) == 1
    assert state.partner[0][add] == add and state.pairings[add].rung == "operands"
    assert REBIND(state) == 0
    held = prepare(first, second, Hints())
    held.pair(tanh, tanh, "place", 0.8, "given")
    held.pair(add, later, "hash", 0.99, "alike in everything")
    assert REBIND(held) == 0


def test_reading_the_same_values_by_other_weights_takes_nothing_over():
    def graph(path: str) -> NormalGraph:
        made = Graph()
        x = made.op("Tanh", [made.leaf("Input", "x", 2, 8)], (2, 8), path)
        ends = [
            made.op(
                "Linear",
                [x, made.parameter(f"{path}.{word}.weight", 8, 8)],
                (2, 8),
                f"{path}.{word}",
            )
            for word in ("near", "far")
        ]
        deep = made.op(
            "Linear", [ends[1], made.parameter(f"{path}.deep.weight", 8, 8)], (2, 8), f"{path}.deep"
        )
        return made.finish(near=ends[0], deep=deep)

    first, second = graph("a"), graph("b")
    tanh = next(node.id for node in second.nodes if node.op == "Tanh")
    near, far, deep = (node.id for node in second.nodes if node.op == "Linear")
    state = prepare(first, second, Hints())
    state.pair(tanh, tanh, "place", 0.8, "given")
    state.pair(near, deep, "hash-below", 0.9, "given")
    state.pair(far, far, "place", 0.8, "given")
    assert REBIND(state) == 1  # its own name says so
    state = prepare(first, second, Hints())
    state.pair(tanh, tanh, "place", 0.8, "given")
    state.pair(deep, far, "place", 0.8, "given")
    state.pair(far, deep, "place", 0.8, "given")
    assert REBIND(state) == 0


def test_a_sum_that_shares_no_operand_gives_way_to_one_that_shares_a_sure_one():
    def graph(path: str) -> NormalGraph:
        made = Graph()
        x = made.op("Exp", [made.leaf("Input", "x", 2, 8)], (2, 8), path)
        inner = made.op("Add", [x, made.op("Tanh", [x], (2, 8), path)], (2, 8), path)
        return made.finish(
            output=made.op("Add", [inner, made.op("Sigmoid", [inner], (2, 8), path)], (2, 8), path)
        )

    first, second = graph("a"), graph("b")
    tanh = next(node.id for node in second.nodes if node.op == "Tanh")
    inner, outer = (node.id for node in second.nodes if node.op == "Add")
    for confidence, taken in ((0.8, 1), (0.5, 0)):
        state = prepare(first, second, Hints())
        state.pair(tanh, tanh, "place", confidence, "given")
        state.pair(inner, outer, "sequence", 0.85, "given")
        assert REBIND(state) == taken
        assert state.partner[0][inner] == (inner if taken else outer)


def test_equal_branches_are_told_apart_by_who_reads_them():
    def graph(path: str) -> NormalGraph:
        made = Graph()
        x = made.op("Tanh", [made.leaf("Input", "x", 8, 8)], (8, 8), path)
        query, key = (
            made.op("Linear", [x, made.parameter(f"{path}.{word}.weight", 8, 8)], (8, 8), path)
            for word in ("query", "key")
        )
        return made.finish(output=made.op("MatMul", [query, key], (8, 8), path))

    first, second = graph("a"), graph("b")
    tanh, product = (
        next(node.id for node in second.nodes if node.op == op) for op in ("Tanh", "MatMul")
    )
    query, key = (node.id for node in second.nodes if node.op == "Linear")
    state = prepare(first, second, Hints())
    state.pair(tanh, tanh, "place", 0.8, "given")
    state.pair(key, query, "sequence", 0.5, "given")
    assert REBIND(state) == 0  # nobody reads them yet
    state.pair(product, product, "place", 0.8, "given")
    assert REBIND(state) == 1 and state.partner[0][key] == key
