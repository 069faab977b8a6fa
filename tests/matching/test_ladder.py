import dataclasses
import random

import pytest
from edits import EDITS, Draft, bypass, damage, drop_branch, remove_block
from synthetic import Graph, decoder, resnet

from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.ladder import match, prepare
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.misnamed import give_up_misnamed
from padiff_graph.matching.rungs.rebind import rebind
from padiff_graph.matching.rungs.replacement import replaced
from padiff_graph.matching.tree.module_paths import split_path
from padiff_graph.matching.tree.path_numbers import Names


def chosen(graph: NormalGraph, edit, wanted) -> tuple[NormalGraph, dict[int, int], object]:
    """The graph with `edit` done at the node (or block) that `wanted` accepts."""
    for seed in range(2000):
        draft = Draft(graph)
        done = edit(draft, random.Random(seed))
        if done is not None and wanted(done):
            return (*draft.finish(), done)
    raise AssertionError("no such edit")


@pytest.mark.parametrize("make", [decoder, resnet])
def test_two_spellings_of_one_model_match_whole(make):
    first, second = make(6), make(6, "second")
    found = match(first, second)
    assert found.partner() == {node.id: node.id for node in first.nodes}
    assert all(item.confidence > 0.9 for item in found.matches)
    assert all(item.reason and item.rung for item in found.matches)


def test_order_of_calls_does_not_matter():
    first, second = decoder(4), decoder(4, "second", order="vkq")
    by_path = {node.path: node.id for node in second.nodes if node.op == "Linear"}
    partner = match(first, second).partner()
    for node in first.nodes:
        if node.path.endswith(("q_proj", "k_proj", "v_proj")):
            assert (
                partner[node.id]
                == by_path[
                    node.path.replace("llama.layers", "model.h")
                    .replace("self_attn.", "attn.w")
                    .replace("_proj", "")
                ]
            )


@pytest.mark.parametrize("block", [0, 3, 7])
@pytest.mark.parametrize("make", [decoder, resnet])
def test_a_missing_block_never_shifts_the_others(make, block):
    graph = make(8)
    damaged, ids, _ = chosen(
        graph, remove_block, lambda edit: edit.words == f"block llama.layers.{block} removed"
    )
    was = {new: old for old, new in ids.items()}
    found = match(damaged, make(8, "second"))
    assert [item for item in found.matches if was[item.first] != item.second] == []
    assert len(found.matches) >= len(damaged.nodes) - 8


def test_a_dropped_residual_is_not_taken_by_a_neighbour():
    damaged, _, edit = chosen(resnet(5), drop_branch, lambda edit: True)
    found = match(damaged, resnet(5, "second"))
    assert edit.touched[0] not in {item.second for item in found.matches}


def test_the_linear_behind_a_missing_activation_still_matches():
    def mlp(relu: bool) -> NormalGraph:
        graph = Graph()
        x = graph.leaf("Input", "x", 2, 8)
        hidden = graph.op("Linear", [x, graph.parameter("fc1.weight", 8, 16)], (2, 16), "fc1")
        if relu:
            hidden = graph.op("Relu", [hidden], (2, 16), "")
        out = graph.op("Linear", [hidden, graph.parameter("fc2.weight", 16, 8)], (2, 8), "fc2")
        return graph.finish(output=graph.op("Add", [out, x], (2, 8), ""))

    first, second = mlp(False), mlp(True)
    partner = match(first, second).partner()
    names = {node.id: node.name for node in second.nodes}
    assert {
        node.name: names[partner[node.id]] for node in first.nodes if node.op == "Parameter"
    } == {"fc1.weight": "fc1.weight", "fc2.weight": "fc2.weight"}


def test_operands_of_a_sum_are_paired_by_what_computes_them():
    def sums(order: str) -> NormalGraph:
        graph = Graph()
        x = graph.leaf("Input", "x", 2, 4)
        made = {}
        for letter, op in (("a", "Tanh"), ("b", "Relu"), ("c", "Sigmoid")):
            made[letter] = graph.op(op, [x], (2, 4), "")
        return graph.finish(output=graph.op("Add", [made[letter] for letter in order], (2, 4), ""))

    found = match(sums("abc"), sums("cab"))
    total = next(item for item in found.matches if found.first.nodes[item.first].op == "Add")
    assert set(total.operands) == {(0, 1), (1, 2), (2, 0)}


def test_interchangeable_branches_stay_whole():
    def branches(swap: bool) -> NormalGraph:
        graph = Graph()
        x = graph.leaf("Input", "x", 2, 4)
        ends = []
        for name in ("right", "left") if swap else ("left", "right"):
            hidden = graph.op(
                "Linear", [x, graph.parameter(f"{name}.0.weight", 4, 4)], (2, 4), f"{name}.0"
            )
            ends.append(
                graph.op(
                    "Linear",
                    [hidden, graph.parameter(f"{name}.1.weight", 4, 4)],
                    (2, 4),
                    f"{name}.1",
                )
            )
        return graph.finish(output=graph.op("Add", ends, (2, 4), ""))

    first, second = branches(False), branches(True)
    partner = match(first, second).partner()
    names = {node.id: node.name for node in second.nodes}
    assert all(
        names[partner[node.id]] == node.name for node in first.nodes if node.op == "Parameter"
    )


def test_hints_are_anchors():
    def two(names: tuple[str, str]) -> NormalGraph:
        graph = Graph()
        x = graph.leaf("Input", "x", 2, 4)
        ends = [
            graph.op("Linear", [x, graph.parameter(f"{name}.weight", 4, 4)], (2, 4), name)
            for name in names
        ]
        return graph.finish(output=graph.op("Add", ends, (2, 4), ""))

    first, second = two(("a", "b")), two(("c", "d"))
    partner = match(first, second, hints=Hints(modules=(("a", "d"), ("b", "c")))).partner()
    paths = {
        first.nodes[a].path: second.nodes[b].path
        for a, b in partner.items()
        if first.nodes[a].op == "Linear"
    }
    assert paths == {"a": "d", "b": "c"}


@pytest.mark.parametrize("edits, most", [(1, 0.001), (5, 0.005)])
def test_damage_makes_few_wrong_matches_and_no_sure_one(edits, most):
    right = wrong = 0
    for make in (decoder, resnet):
        for seed in range(10):
            damaged, ids, _ = damage(make(8), edits, random.Random(seed))
            was = {new: old for old, new in ids.items()}
            for item in match(damaged, make(8, "second")).matches:
                if was[item.first] == item.second:
                    right += 1
                else:
                    wrong += 1
                    assert item.confidence <= 0.9
    assert right > 2000
    assert wrong <= most * (right + wrong)


def test_each_edit_of_the_benchmark_can_be_made():
    for edit in EDITS.values():
        assert (
            edit(Draft(resnet(4)), random.Random(1)) is not None
            or edit(Draft(decoder(4)), random.Random(1)) is not None
        )
    assert bypass(Draft(decoder(1)), random.Random(0)) is not None


def test_deep_graphs_need_no_recursion():
    graph = Graph()
    x = graph.leaf("Input", "x", 2)
    for _ in range(3000):
        x = graph.op("Tanh", [x], (2,), "")
    whole = graph.finish(output=x)
    assert len(match(whole, whole).matches) == len(whole.nodes)


def test_the_same_twice():
    first, second = resnet(5), resnet(5, "second")
    damaged, _, _ = damage(first, 3, random.Random(4))
    assert match(damaged, second).matches == match(damaged, second).matches


def test_paths_split_into_template_and_numbers():
    assert split_path("encoder.layers.11.linear1") == ("encoder.layers.#.linear1", (11,))
    assert split_path("layer2.0.conv1") == ("layer#.#.conv1", (2, 0))


def test_a_flip_keeps_its_view():
    graph = Graph()
    x = graph.op("Tanh", [graph.leaf("Input", "x", 4)], (4,), "")
    whole = graph.finish(output=x)
    flipped = dataclasses.replace(
        whole, outputs={"output": Edge(x, 0, View.of((4,)).take(0, range(3, -1, -1)))}
    )
    from padiff_graph.matching.difference.structural_differences import differences

    (found,) = differences(match(flipped, whole))
    assert found.kind == "extra" and "Flip" in found.cause


def _chain(normed: bool) -> NormalGraph:
    """Convolutions of different widths in a row, with or without a norm and an activation behind each."""
    graph = Graph("torch" if normed else "paddle")
    x = graph.leaf("Input", "x", 2, 4, 8, 8)
    for number in range(5):
        weight = graph.parameter(f"c{number}.weight", 4, 4, 3, 3)
        x = graph.op(
            "Conv",
            [x, weight],
            (2, 4, 8, 8),
            f"c{number}",
            {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "group": 1},
        )
        if normed:
            parts = [
                graph.parameter(f"c{number}.bn.{word}", 4)
                for word in ("weight", "bias", "mean", "variance")
            ]
            x = graph.op(
                "BatchNormalization",
                [x, *parts],
                (2, 4, 8, 8),
                f"c{number}.bn",
                {"epsilon": 1e-5, "momentum": None, "training": False},
            )
            x = graph.op("Relu", [x], (2, 4, 8, 8), f"c{number}")
    return graph.finish(
        output=graph.op(
            "ReduceMean", [Edge(x, 0, View.of((2, 4, 64)))], (2, 4), "pool", {"axes": (2, 3)}
        )
    )


def test_convolutions_whose_every_norm_is_missing_still_match():
    first, second = _chain(False), _chain(True)
    partner = match(first, second).partner()
    convs = [[node.id for node in graph.nodes if node.op == "Conv"] for graph in (first, second)]
    assert [partner.get(node) for node in convs[0]] == convs[1]


def test_a_flat_list_goes_with_blocks_counted_through_stages():
    stages = ((0, 1), (1, 1), (2, 1), (3, 3), (4, 2))
    flat = [f"block{number}.conv" for number in range(8)]
    staged = [f"blocks.{stage}.{place}.conv" for stage, count in stages for place in range(count)]
    names = Names(flat, staged)
    names.learn([(0, 0), (1, 1), (2, 2), (3, 3)])  # so far the stage's number would do as well
    assert all(names.agree(number, number) for number in range(8))
    assert names.agree(4, 5) is False


def test_a_run_shifted_by_a_missing_block_teaches_no_numbers():
    first = [f"blocks.{number}.conv" for number in range(8)]
    second = [f"layers.{number}.conv" for number in range(8)]
    names = Names(first, second)
    names.learn(
        [(3, 4), (4, 5), (5, 6)]
    )  # both models have blocks 0 to 7, so none can be the next one's
    assert names.agree(3, 4) is None
    names.learn([(0, 0), (1, 1), (2, 2), (3, 4), (4, 5)])
    assert names.agree(3, 4) is not True
    other = Names(first, [f"layers.{number}.conv" for number in range(1, 9)])
    other.learn([(3, 3), (4, 4), (5, 5)])
    assert other.agree(3, 3) is True  # numbered from one


def test_numbers_that_are_not_apart_by_the_same_throughout_teach_nothing():
    fires = (3, 4, 5, 7, 8, 9, 10, 12)
    names = Names(
        [f"fire{number}.squeeze" for number in range(1, 9)],
        [f"features.{number}.squeeze" for number in range(13) if number in fires],
    )
    names.learn([(3, 3), (4, 4), (5, 5), (6, 6), (7, 7)])
    assert names.agree(0, 1) is not True


def test_names_are_firm_only_where_they_cover_every_number():
    first = [f"stage{outer}.layers.{inner}.fc" for outer in range(3) for inner in range(3)]
    second = [f"parts.{outer}.blocks.{inner}.linear" for outer in range(3) for inner in range(3)]
    names = Names(first, second)
    names.learn([(number, number) for number in range(9)])
    assert names.agree(4, 4) is True and names.firm(4, 4)
    inner_alone = [f"stage{outer}.layers.{inner}.fc" for outer in range(3) for inner in range(3)]
    shuffled = [
        f"parts.{outer}.blocks.{(2 * inner + outer) % 3}.linear"
        for outer in range(3)
        for inner in range(3)
    ]
    names = Names(inner_alone, shuffled)
    names.learn([(number, number) for number in range(9)])
    assert names.agree(4, 4) is True and not names.firm(4, 4)  # the inner numbers say nothing


def test_a_word_that_the_other_model_uses_elsewhere_is_not_firm():
    first = [
        f"layers.{number}.{part}" for number in range(3) for part in ("self_attn", "cross_attn")
    ]
    second = [
        f"layers.{number}.{part}" for number in range(3) for part in ("self_attn", "encoder_attn")
    ]
    names = Names(first, second)
    names.learn([(number, number) for number in range(6)])
    assert names.firm(1, 1) and names.firm(0, 0)
    names.learn([(0, 1), (2, 3), (4, 5)])
    assert not names.firm(0, 1)


@pytest.mark.parametrize("named", [True, False])
def test_weights_are_matched_through_what_stays_matched(named):
    for seed in range(20):
        damaged, _, _ = damage(decoder(8, named=named), 10, random.Random(seed))
        second = decoder(8, "second", named=named)
        found = match(damaged, second)
        partner = found.partner()
        readers = {
            (edge.source, node.id)
            for node in second.nodes
            for edge in node.inputs
            if edge is not None
        }
        by_source: dict[int, list[int]] = {}
        for node in damaged.nodes:
            for edge in node.inputs:
                by_source.setdefault(edge.source, []).append(node.id)
        for item in found.matches:
            if item.rung == "operand":
                assert any(
                    (item.second, partner.get(node, -1)) in readers
                    for node in by_source[item.first]
                )


def _staged(numbers: list[int], end: str) -> NormalGraph:
    """Three stages of three blocks, blocks numbered as told, before an operation that the other model lacks."""
    graph = Graph()
    x = graph.op("Tanh", [graph.leaf("Input", "x", 2, 8)], (2, 8), "start")
    for place, number in enumerate(numbers):
        path = f"stages.{place // 3}.blocks.{number}"
        x = graph.op("Linear", [x, graph.parameter(f"{path}.weight", 8, 8)], (2, 8), path)
        x = graph.op("Relu", [x], (2, 8), path)
    return graph.finish(output=graph.op(end, [x], (2, 8), "end"))


@pytest.mark.parametrize(
    ("numbers", "sure"), [([0, 1, 2] * 3, True), ([10, 11, 12, 11, 12, 10, 12, 10, 11], False)]
)
def test_a_match_is_sure_only_where_names_cover_every_number(numbers, sure):
    found = match(_staged([0, 1, 2] * 3, "Exp"), _staged(numbers, "Log"))
    inner = [
        item.confidence
        for item in found.matches
        if found.first.nodes[item.first].op in ("Linear", "Relu")
    ]
    assert len(inner) == 18
    assert (max(inner) > 0.9) == sure


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
    assert rebind(state) == 1
    assert state.partner[0][add] == add and state.pairings[add].rung == "operands"
    assert rebind(state) == 0
    held = prepare(first, second, Hints())
    held.pair(tanh, tanh, "place", 0.8, "given")
    held.pair(add, later, "hash", 0.99, "alike in everything")
    assert rebind(held) == 0


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
    assert rebind(state) == 1  # its own name says so
    state = prepare(first, second, Hints())
    state.pair(tanh, tanh, "place", 0.8, "given")
    state.pair(deep, far, "place", 0.8, "given")
    state.pair(far, deep, "place", 0.8, "given")
    assert rebind(state) == 0


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
        assert rebind(state) == taken
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
    assert rebind(state) == 0  # nobody reads them yet
    state.pair(product, product, "place", 0.8, "given")
    assert rebind(state) == 1 and state.partner[0][key] == key


def test_a_match_taken_back_waits_again():
    graph = decoder(2)
    state = prepare(graph, graph, Hints())
    every = list(state.first.computing)
    assert state.waiting(0) == every
    state.pair(every[0], every[0], "place", 0.9, "given")
    assert state.waiting(0) == state.waiting(1) == every[1:]
    state.drop(every[0])
    state.pair(every[1], every[1], "place", 0.9, "given")
    assert state.waiting(0) == state.waiting(1) == [every[0], *every[2:]]


def test_a_run_that_names_contradict_is_given_up():
    first, second = decoder(8), decoder(8, "second")
    state = prepare(first, second, Hints())
    width = next(node.id for node in first.nodes if ".1." in node.path) - next(
        node.id for node in first.nodes if ".0." in node.path
    )
    shifted = [node.id for node in first.nodes if not node.leaf and ".5." in node.path]
    for node in first.nodes:
        if not node.leaf and node.id not in shifted:
            assert state.pair(node.id, node.id, "place", 0.9, "given") or ".6." in node.path
    for node in shifted:
        state.drop(node + width)
        state.pair(node, node + width, "neighbour", 0.9, "given")
    sure = [
        (node.id, node.id)
        for node in first.nodes
        if not node.leaf and ".5." not in node.path and ".6." not in node.path
    ]
    state.names.learn(sure)
    assert give_up_misnamed(state) == len(shifted)
    assert all(state.partner[0][node] == -1 for node in shifted)
    assert give_up_misnamed(state) == 0
    for node in shifted:  # given by the user, names undo nothing
        state.pair(node, node + width, "hint", 1.0, "given")
    assert give_up_misnamed(state) == 0


@pytest.mark.parametrize("mark", ["Identity", "Detach", "hook"])
def test_what_a_hook_or_a_detach_stands_behind_is_matched(mark):
    """A hook on a result that a matched operation reads must not leave the weight behind it without a counterpart."""
    made, reads = [], []
    for side in ("paddle", "torch"):
        graph = Graph(side)
        y = graph.op(
            "Linear",
            [graph.leaf("Input", "x", 2, 4), graph.parameter(f"{side}.weight", 4, 4)],
            (2, 4),
            side,
        )
        if side == "paddle":
            y = graph.op("hooked" if mark == "hook" else mark, [y], (2, 4), side)
            graph.nodes[-1] = dataclasses.replace(
                graph.nodes[-1],
                marks=frozenset({"gradient_hook"}) if mark == "hook" else frozenset(),
            )
        reads.append(graph.op("Relu", [y], (2, 4), ""))
        made.append(graph.finish(output=reads[-1]))
    state = prepare(*made, Hints())
    state.pair(*reads, "hint", 1.0, "given")
    assert replaced(state) == 1
    linear = [next(node.id for node in graph.nodes if node.op == "Linear") for graph in made]
    assert state.partner[0][linear[0]] == linear[1]
