import dataclasses
import random

import pytest
from edits import EDITS, Draft, bypass, damage, drop_branch, remove_block
from synthetic import Graph, decoder, resnet

from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.ladder import match
from padiff_graph.matching.rungs.hints import Hints


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


def test_a_flip_keeps_its_view():
    graph = Graph()
    x = graph.op("Tanh", [graph.leaf("Input", "x", 4)], (4,), "")
    whole = graph.finish(output=x)
    flipped = dataclasses.replace(
        whole, outputs={"output": Edge(x, 0, View.of((4,)).take(0, range(3, -1, -1)))}
    )
    from padiff_graph.matching.difference.structural_differences import differences

    (found,) = differences(match(flipped, whole))
    assert found.kind == "extra" and dict(found.facts)["operation"] == "Flip"


def _chain(normed: bool) -> NormalGraph:
    """Convolutions of different widths in a row, with or without a norm and an activation behind
    each."""
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
    """Three stages of three blocks, blocks numbered as told, before an operation that the other
    model lacks."""
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


def _mlp(paths: tuple[str, str], shifted: bool) -> NormalGraph:
    """A Linear, with a bias or without, an activation, a Linear; the modules' paths as told."""
    graph = Graph()
    x = graph.leaf("Input", "x", 2, 4)
    operands = [x, graph.parameter(f"{paths[0]}.weight", 8, 4)]
    operands += [graph.parameter(f"{paths[0]}.bias", 8)] if shifted else []
    x = graph.op("Linear", operands, (2, 8), paths[0])
    x = graph.op("Swish", [x], (2, 8), paths[1].rpartition(".")[0])
    x = graph.op("Tanh", [x], (2, 8), paths[1].rpartition(".")[0])
    operands = [x, graph.parameter(f"{paths[1]}.weight", 4, 8)]
    operands.append(graph.parameter(f"{paths[1]}.bias", 4))
    return graph.finish(output=graph.op("Linear", operands, (2, 4), paths[1]))


def test_blocks_numbered_in_another_order_match_by_structure():
    first = _mlp(("blocks.0.fc", "blocks.1.fc"), shifted=False)
    second = _mlp(("stage_1.part", "stage_0.part"), shifted=True)
    partner = match(first, second).partner()
    computing = [[node.id for node in graph.nodes if not node.leaf] for graph in (first, second)]
    assert [partner.get(node) for node in computing[0]] == computing[1]


def _gated_and_read_twice(paths: tuple[str, str, str, str], biased: bool) -> NormalGraph:
    """Two linear layers in a row behind a gate, the first one with a bias or without."""
    graph = Graph()
    x = graph.leaf("Input", "x", 2, 4)
    before, act, gate, after = paths
    held = [
        graph.parameter(f"{before}.{word}", *size) for word, size in (("w", (4, 8)), ("b", (8,)))
    ]
    made = graph.op("Linear", [x, *held], (2, 8), before)
    made = graph.op("Mul", [graph.op("Relu", [made], (2, 8), act), made], (2, 8), gate)
    square = [graph.parameter(f"{after}0.w", 8, 8)]
    square += [graph.parameter(f"{after}0.b", 8)] if biased else []
    last = [graph.parameter(f"{after}1.w", 8, 4), graph.parameter(f"{after}1.b", 4)]
    made = graph.op("Linear", [made, *square], (2, 8), f"{after}0")
    made = graph.op("Linear", [made, *last], (2, 4), f"{after}1")
    return graph.finish(output=graph.op("Relu", [made], (2, 4), f"{after}2"))


def test_what_a_corrected_match_makes_room_for_is_matched():
    """Numbers in the paths agree crosswise here, until what reads both tells otherwise."""
    first = _gated_and_read_twice(
        ("blocks.0.step0", "blocks.0.step2", "blocks.1", "blocks.2.step"), False
    )
    second = _gated_and_read_twice(("stage_2.part_c", "stage_2", "stage_0", "stage_1.part_"), True)
    found = {
        (first.nodes[item.first].path, second.nodes[item.second].path)
        for item in match(first, second).matches
        if first.nodes[item.first].op == "Linear"
    }
    steps = {(f"blocks.2.step{number}", f"stage_1.part_{number}") for number in (0, 1)}
    assert found == {("blocks.0.step0", "stage_2.part_c"), *steps}
