import dataclasses
import random

import pytest
from edits import Draft, bypass, change_attribute, drop_branch, remove_block
from synthetic import Graph, decoder, resnet

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.findings.cause_sentences import sentence
from padiff_graph.findings.difference_causes import difference_cause
from padiff_graph.matching.difference.compared import Compared
from padiff_graph.matching.difference.layers_left_out import layers_left_out
from padiff_graph.matching.difference.structural_differences import differences
from padiff_graph.matching.difference.whereabouts import Whereabouts
from padiff_graph.matching.ladder import match
from tests.matching.small_graphs import wired


def edited(make, edit, seed: int):
    draft = Draft(make(6))
    done = edit(draft, random.Random(seed))
    graph, ids = draft.finish()
    return differences(match(graph, make(6, "second"))), done, ids


def test_the_same_model_has_no_difference():
    assert differences(match(decoder(3), decoder(3, "second"))) == ()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", [decoder, resnet])
def test_an_attribute_is_named_with_both_values(make, seed):
    (found,), done, ids = edited(make, change_attribute, seed)
    assert found.kind == "attribute"
    assert found.first == (ids[done.touched[0]],) and found.second == done.touched
    assert found.attribute in done.words and all(str(value) for value in found.values)


@pytest.mark.parametrize("seed", range(6))
def test_an_operation_left_out_is_missing_once_with_both_paths(seed):
    found, done, _ = edited(resnet, bypass, seed)
    assert [d.kind for d in found] == ["missing"]
    assert found[0].second == done.touched
    assert found[0].first_path.startswith("llama.layers") or not found[0].second_path.startswith(
        "model.h"
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_block_left_out_is_one_difference(seed):
    found, done, _ = edited(decoder, remove_block, seed)
    assert [d.kind for d in found] == ["missing"]
    assert set(done.touched) <= set(found[0].second)


def test_a_dropped_branch_is_shown():
    for seed in range(6):
        found, done, _ = edited(resnet, drop_branch, seed)
        assert any(done.touched[0] in d.second for d in found)


def activation(op: str, times: int, bias: bool = True) -> NormalGraph:
    graph = Graph()
    x = graph.leaf("Input", "x", 2, 8)
    for at in range(times):
        operands = [x, graph.parameter(f"layers.{at}.weight", 8, 8)]
        if bias:
            operands.append(graph.parameter(f"layers.{at}.bias", 8))
        x = graph.op("Linear", operands, (2, 8), f"layers.{at}")
        x = graph.op(op, [x], (2, 8), f"layers.{at}.act")
    return graph.finish(output=x)


def layers(names: str) -> NormalGraph:
    """Linears in modules of their own, the activations between them in none."""
    graph = Graph()
    x = graph.leaf("Input", "x", 2, 8)
    for name in names:
        if name != names[0]:
            x = graph.op("Relu", [x], (2, 8), "")
        x = graph.op("Linear", [x, graph.parameter(f"{name}.weight", 8, 8)], (2, 8), name)
    return graph.finish(output=x)


@pytest.mark.parametrize("activations", [True, False])
def test_a_layer_left_out_is_told_where_its_weights_are(activations: bool) -> None:
    matching = match(layers("ac"), layers("abc"))
    if not activations:  # none of them has its counterpart: the one before and behind are alike
        kept = [each for each in matching.matches if matching.first.nodes[each.first].op != "Relu"]
        matching = dataclasses.replace(matching, matches=tuple(kept))
    (missing,) = differences(matching)
    assert (missing.kind, missing.second_path) == ("missing", "b")
    assert [matching.second.nodes[node].op for node in missing.second] == ["Linear", "Relu"]


@pytest.mark.parametrize(("kept", "told"), [("rrt", [4, 5]), ("rt", None)])
def test_layers_left_out_are_told_in_one_place_alone(kept: str, told: list[int] | None) -> None:
    def stack(letters: str) -> NormalGraph:
        parts: dict[str, tuple[str, ...]] = {"first": ("Linear", "x")}
        last = "first"
        for at, letter in enumerate(letters):
            parts[f"a{at}"] = ({"r": "Relu", "t": "Tanh"}[letter], last)
            parts[f"l{at}"] = ("Linear", f"a{at}")
            last = f"l{at}"
        return wired(parts)

    compared = Compared.of(match(stack(kept), stack("rrtt")))
    nodes = [tuple(node.id for node in side.nodes if not node.leaf) for side in compared.graphs]
    found = layers_left_out(compared, nodes[0], nodes[1])
    assert (found and [nodes[1].index(node) for node in found[1]]) == told


def test_another_activation_everywhere_is_one_cause():
    (found,) = differences(match(activation("Gelu", 4), activation("Relu", 4)))
    assert (found.attribute, found.values) == ("op", ("Gelu", "Relu"))
    assert len(found.places) == 4


def test_a_missing_bias_is_named():
    (found,) = differences(match(activation("Relu", 1, bias=False), activation("Relu", 1)))
    assert found.cause_id == "operand.missing"
    assert sentence(difference_cause(found)) == "missing bias of Linear in the Paddle model"


def test_a_detach_cuts_the_gradient():
    def model(detach: bool) -> NormalGraph:
        graph = Graph()
        x = graph.op("Tanh", [graph.leaf("Input", "x", 4)], (4,), "")
        if detach:
            x = graph.op("Detach", [x], (4,), "")
        return graph.finish(output=graph.op("Exp", [x], (4,), ""))

    (found,) = differences(match(model(True), model(False)))
    assert found.kind == "extra" and found.cause_id == "gradient.detached"
    assert "cut" in sentence(difference_cause(found))


def test_a_missing_operation_stands_beside_the_only_part_that_is_left_of_its_module():
    made = []
    for side in ("torch", "paddle"):
        graph = Graph(side)
        weight, x = graph.parameter("pooler.dense.weight", 4, 4), graph.leaf("Input", "x", 2, 4)
        x = graph.op("Linear", [x, weight], (2, 4), "pooler.dense")
        if side == "torch":
            x = graph.op("Tanh", [x], (2, 4), "pooler.activation")
        made.append(graph.finish(output=x))
    having, lacking = made
    partner = {node.id: node.id for node in lacking.nodes}
    missing = [node.id for node in having.nodes if node.op == "Tanh"]
    assert Whereabouts(having, lacking, partner).path_for(missing) == "pooler"
    lacking.graph.modules["pooler.activation"] = "Identity"
    assert Whereabouts(having, lacking, partner).path_for(missing) == "pooler.activation"


def test_of_two_idle_parts_the_one_that_other_blocks_use_for_it_is_named():
    made = []
    for side in ("torch", "paddle"):
        graph = Graph(side)
        x = graph.leaf("Input", "x", 2, 4)
        for block in range(2):
            x = graph.op(
                "Linear",
                [x, graph.parameter(f"blocks.{block}.fc.weight", 4, 4)],
                (2, 4),
                f"blocks.{block}.fc",
            )
            if side == "torch" or block == 0:
                x = graph.op(
                    "Relu",
                    [x],
                    (2, 4),
                    f"blocks.{block}.{'act' if side == 'torch' else 'nonlinearity'}",
                )
        made.append(graph.finish(output=x))
    having, lacking = made
    for name in ("se", "nonlinearity"):
        lacking.graph.modules[f"blocks.1.{name}"] = "Identity"
    partner = {match.second: match.first for match in match(lacking, having).matches}
    missing = [node.id for node in having.nodes if node.path == "blocks.1.act"]
    assert Whereabouts(having, lacking, partner).path_for(missing) == "blocks.1.nonlinearity"


def scores(turned: bool) -> NormalGraph:
    """Queries against keys, each turned by a table or not."""
    graph = Graph()
    x = graph.leaf("Input", "x", 6, 8)
    sides = []
    for name in ("q", "k"):
        y = graph.op("Linear", [x, graph.parameter(f"{name}.weight", 8, 8)], (6, 8), name)
        if turned:
            table = graph.leaf("Constant", "", 6, 8)
            y = graph.op("Mul", [y, table], (6, 8), "rotary")
            y = graph.op("Sin", [y], (6, 8), "rotary")
        sides.append(y)
    mixed = graph.op("MatMul", sides, (6, 6), "")
    return graph.finish(output=graph.op("Softmax", [mixed], (6, 6), ""))


def test_what_both_apply_the_same_weights_in_is_not_told_with_what_is_left_out():
    matching = match(scores(turned=False), scores(turned=True))
    found = differences(matching)
    told = [sentence(difference_cause(one)) for one in found]
    assert all("Linear" not in words for words in told), told
    assert {one.cause_id for one in found} == {"operation.missing"}, told
    assert all(not one.first and one.second_path == "rotary" for one in found), told
