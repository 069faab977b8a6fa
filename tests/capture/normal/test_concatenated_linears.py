"""Concatenated Linears as one: what is joined, what stands for what, and what stays as it is."""

import pytest

from padiff_graph.capture.normal.concatenated_linears import concatenations, joined
from padiff_graph.capture.normal.form import NormalGraph
from tests.models.graph_maker import Maker


def heads(
    framework: str,
    *,
    other_operand: bool = False,
    one_bias: bool = True,
    marks: tuple[str, ...] = (),
) -> NormalGraph:
    """Two Linears of 3 and 5 features of one operand, concatenated.

    The first is read by a tanh too.
    """
    make = Maker(framework)
    x, y = make.input("x", (2, 4)), make.input("y", (2, 4))
    results = []
    for name, width in (("a", 3), ("b", 5)):
        operand = y if other_operand and name == "b" else x
        biased = name == "a" or one_bias
        if framework == "torch":
            roles = {"input": operand, "weight": make.parameter(f"{name}.weight", (width, 4))}
            if biased:
                roles["bias"] = make.parameter(f"{name}.bias", (width,))
            results.append(make.op("linear", roles, (2, width), marks))
        else:
            product = make.op(
                "matmul",
                {"x": operand, "y": make.parameter(f"{name}.weight", (4, width))},
                (2, width),
                marks,
                transpose_x=False,
                transpose_y=False,
            )
            results.append(
                make.op(
                    "add", {"x": product, "y": make.parameter(f"{name}.bias", (width,))}, (2, width)
                )
                if biased
                else product
            )
    if framework == "torch":
        whole = make.op("cat", {"tensors": results}, (2, 8), dim=-1)
        early = make.op("tanh", {"self": results[0]}, (2, 3))
        late = make.op("relu", {"self": whole}, (2, 8))
    else:
        whole = make.op("concat", {"x": results, "axis": make.number(-1, "int32")}, (2, 8))
        early = make.op("tanh", {"x": results[0]}, (2, 3))
        late = make.op("relu", {"x": whole}, (2, 8))
    return make.normal(early, late)


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_one_linear_stands_for_all(framework):
    graph = heads(framework)
    (found,) = concatenations(graph)
    assert found.features == 8 and len(found.linears) == 2
    made = joined(graph, [found])
    assert [node.id for node in made.nodes] == list(range(len(made.nodes)))
    assert all(
        edge.source < node.id for node in made.nodes for edge in node.inputs if edge is not None
    )
    (linear,) = (node for node in made.nodes if node.op == "Linear")
    assert (
        linear.outputs[0].shape == (2, 8) and linear.locations == graph.nodes[found.node].locations
    )
    stands = {by for at in (found.node, *found.linears) for by in graph.nodes[at].native}
    assert set(linear.native) == stands
    weights = [made.nodes[edge.source] for edge in linear.inputs[1:] if edge is not None]
    assert [(node.op, node.attrs, node.outputs[0].shape) for node in weights] == [
        ("Concat", {"axis": 1}, (4, 8)),
        ("Concat", {"axis": 0}, (8,)),
    ]
    assert [made.nodes[edge.source].name for edge in weights[0].inputs if edge is not None] == [
        "a.weight",
        "b.weight",
    ]
    early = made.nodes[made.outputs["output.0"].source].inputs[0]
    assert early is not None and early.source == linear.id and early.view is not None
    assert early.view.indices().tolist() == [0, 1, 2, 8, 9, 10]
    assert made.rewrites["joined_linears"] == 1


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_what_is_no_one_linear_is_left_alone(framework):
    assert not list(concatenations(heads(framework, other_operand=True)))
    assert not list(concatenations(heads(framework, one_bias=False)))
    assert not list(concatenations(heads(framework, marks=("gradient_hook",))))
