"""Region pairs of hand-made graphs: healthy ones agree, each planted bug is found where it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.check.region_check import check_regions
from padiff_graph.diagnosis.region_findings import region_findings
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.cause_sentences import sentence
from padiff_graph.matching.result import Difference, Matching, Point
from padiff_graph.referee.known_divergence import biased_variance
from padiff_graph.referee.referee import Measured, imprecise
from padiff_graph.referee.region_result import RegionCheck
from padiff_graph.referee.rounding_bound import input_growth
from tests.models.toy_engine import Toy, ToyEngine, match

R = np.random.default_rng(0)
X = R.standard_normal((4, 16), np.float32)
W = [R.standard_normal((16, 16), np.float32) for _ in range(3)]
ZERO, ONE = np.zeros(16, np.float32), np.ones(16, np.float32)


def block(model: Toy, *, first: bool, skip: str = "", **bug: Any) -> dict[str, Value]:
    """x -> linear -> norm -> gelu -> linear -> + x; `first` holds weights transposed."""
    v: dict[str, Value] = {}
    x = model.input("x", X)
    names = [
        model.parameter(f"w{i}", np.ascontiguousarray(w.T) if first else w) for i, w in enumerate(W)
    ]
    scale, shift, bias = (
        model.parameter("g", ONE.copy()),
        model.parameter("b", ZERO.copy()),
        model.parameter("c", ZERO.copy()),
    )
    linear = "linear_t" if first else "linear"
    v["fc1"] = model.op(linear, x, names[0], *([] if skip == "bias" else [bias]), path="fc1")
    v["norm"] = model.op(
        "layer_norm", v["fc1"], scale, shift, path="norm", eps=bug.get("eps", 1e-5)
    )
    v["act"] = (
        v["norm"]
        if skip == "act"
        else model.op("gelu", v["norm"], path="act", approximate=bug.get("approximate", "none"))
    )
    inner = (
        model.op(bug["extra"], v["act"], path="act", marks=bug.get("marks", ()))
        if "extra" in bug
        else v["act"]
    )
    v["fc2"] = model.op(linear, inner, names[1], path="fc2")
    v["add"] = v["fc2"] if skip == "add" else model.op("add", v["fc2"], x, path="")
    v["fc3"] = model.op(linear, v["add"], names[2], path="fc3")
    model.output("output", v["fc3"])
    return v


def run(
    first: Toy, second: Toy, matching: Matching, *differences: Difference, fail_fast: bool = False
) -> RegionCheck:
    engines = ToyEngine(first), ToyEngine(second)
    return check_regions(matching, *engines, differences=differences, fail_fast=fail_fast)


def two(skip: str = "", unmatched: tuple[str, ...] = (), **bug: Any) -> tuple[Toy, Toy, Matching]:
    first, second = Toy(), Toy()
    a, b = block(first, first=True, skip=skip, **bug), block(second, first=False)
    pairs = [(a[name], b[name]) for name in b if name not in unmatched]
    return first, second, match(first, second, pairs, transposed=("w0", "w1", "w2"))


def bad(check: RegionCheck, second: Toy) -> list[str]:
    return [
        second.nodes[result.second_nodes[-1]].path
        for result in check.results
        if result.verdict not in ("equal", "rounding")
    ]


def test_healthy_regions_are_equal_forward_and_backward() -> None:
    first, second, matching = two()
    check = run(first, second, matching)
    assert check.counts == {"equal": 6}
    assert (check.compared("output"), check.compared("parameter")) == (6, 6)
    assert check.compared("input") == 7


def test_epsilon_alone_is_found_where_structure_names_it() -> None:
    first, second, matching = two(eps=1e-6)
    norm = next(m for m in matching.matches if matching.second.nodes[m.second].path == "norm")
    difference = Difference(
        "attribute",
        (norm.first,),
        (norm.second,),
        "attribute.epsilon",
        "norm",
        "norm",
        "epsilon",
        (1e-6, 1e-5),
    )
    check = run(first, second, matching, difference)
    assert bad(check, second) == ["norm"]


def test_float64_is_asked_where_what_is_computed_differs_and_not_where_only_the_order_does() -> (
    None
):
    first, second, matching = two()
    fc = next(m for m in matching.matches if matching.second.nodes[m.second].path == "fc2")
    difference = Difference(
        "differently-built", (fc.first,), (fc.second,), "construction.operations", "fc2", "fc2"
    )
    asked = {
        second.nodes[result.second_nodes[-1]].path: result.referee
        for result in run(first, second, matching, difference).results
    }
    assert asked["fc2"] and not asked["fc1"]
    reordered = replace(difference, cause_id="operand.transposed", order=True)
    assert not any(result.referee for result in run(first, second, matching, reordered).results)


def test_a_gradient_sums_over_what_its_element_went_into() -> None:
    """A widening product: few terms in each result, many in the gradient of an operand."""
    model = Toy()
    x = model.input("x", X)
    wide = model.op("linear", x, model.parameter("w", np.tile(W[0], (64, 1))), path="wide")
    narrow = model.op("linear", x, model.parameter("v", W[0][:4]), path="narrow")
    model.output("output", wide)
    graph = model.normal().graph
    assert input_growth(graph, [wide.node]) == pytest.approx(np.sqrt(64 * 16) - np.sqrt(16))
    assert input_growth(graph, [narrow.node]) == 0


@pytest.mark.parametrize(
    ("bug", "unmatched", "place", "words"),
    [
        ({"skip": "add"}, ("add",), "fc3", ""),
        ({"skip": "bias"}, (), "fc1", "bias"),
        ({"skip": "act"}, ("act",), "fc2", ""),
        ({"approximate": "tanh"}, (), "act", ""),
        ({"extra": "flip"}, (), "fc2", ""),
        ({"extra": "detach"}, (), "fc2", "gradient path is cut"),
        ({"extra": "half_gradient", "marks": ("gradient_hook",)}, (), "fc2", "times 0.5"),
        ({"extra": "bf16"}, (), "fc2", ""),
    ],
)
def test_one_bug_is_one_region(
    bug: dict[str, Any], unmatched: tuple[str, ...], place: str, words: str
) -> None:
    first, second, matching = two(unmatched=unmatched, **bug)
    check = run(first, second, matching)
    assert bad(check, second) == [place]
    part = next(result for result in check.results if result.verdict == "different").worst()
    assert part is not None and words in (sentence(part.probe) if part.probe else "")


def test_two_bugs_are_two_regions() -> None:
    first, second, matching = two(skip="bias", approximate="tanh")
    assert bad(run(first, second, matching), second) == ["fc1", "act"]


def test_fail_fast_leaves_what_stands_behind_the_first_difference() -> None:
    check = run(*(models := two(skip="bias", approximate="tanh")), fail_fast=True)
    assert bad(check, models[1]) == ["fc1"]
    ran = len(check.results)
    assert ran < 6 and check.left == 6 - ran
    assert check.notes[-1] == f"fail_fast: stopped at a difference, {6 - ran} regions not run"


def test_fail_fast_runs_all_where_nothing_differs() -> None:
    check = run(*two(), fail_fast=True)
    assert (check.counts, check.notes, check.left) == ({"equal": 6}, (), 0)


def test_operands_swapped_are_negated() -> None:
    first, second = Toy(), Toy()
    pairs = []
    for model in (first, second):
        x, w = model.input("x", X), model.parameter("w", W[0])
        y = model.op("linear", x, w)
        order = (x, y) if model is first else (y, x)
        pairs.append((y, model.op("sub", *order, path="sub")))
        model.output("output", pairs[-1][1])
    check = run(first, second, match(first, second, list(zip(*pairs, strict=True))))
    assert bad(check, second) == ["sub"]
    part = check.results[-1].worst()
    assert part is not None and part.probe == Cause.of("values.negated")


def fused() -> tuple[Toy, Toy, Matching]:
    """Three linears against one fused, then slices; points are slices of the fused product."""
    first, second = Toy(), Toy()
    x = first.input("x", X)
    ones = [
        first.op("linear", x, first.parameter(f"w{i}", w), path=f"fc{i}") for i, w in enumerate(W)
    ]
    first.output("output", first.op("add", first.op("mul", ones[0], ones[1]), ones[2], path="end"))
    x = second.input("x", X)
    product = second.op("linear", x, second.parameter("w", np.concatenate(W)), path="qkv")
    parts = [second.op("slice", product, start=16 * i, stop=16 * i + 16) for i in range(3)]
    second.output(
        "output", second.op("add", second.op("mul", parts[0], parts[1]), parts[2], path="end")
    )
    matching = match(first, second, [])
    views = [View.of((4, 48)).slice(1, 16 * i, 16 * i + 16) for i in range(3)]
    points = [
        *matching.points,
        *(
            Point(one, View.of((4, 16)), product, view, 1.0)
            for one, view in zip(ones, views, strict=True)
        ),
    ]
    from padiff_graph.matching.result import ParameterRow, Piece

    rows = tuple(
        ParameterRow(
            f"w{i}",
            (Piece("w", View.of((16, 16)), View.of((48, 16)).slice(0, 16 * i, 16 * i + 16)),),
            "rows",
            1.0,
            "",
        )
        for i in range(3)
    )
    return first, second, Matching(matching.first, matching.second, (), tuple(points), rows)


def test_fused_against_split() -> None:
    first, second, matching = fused()
    check = run(first, second, matching)
    assert check.counts == {"equal": 2}
    assert check.compared("parameter") == 3


def test_a_wrong_point_is_taken_away() -> None:
    first, second = Toy(), Toy()
    found = []
    for model in (first, second):
        x = model.input("x", X)
        a = model.op("linear", x, model.parameter("a", W[0]), path="a")
        b = model.op("linear", x, model.parameter("b", W[1]), path="b")
        c = model.op("mul", a, b, path="mul")
        model.output("output", c)
        found.append((a, b, c))
    (a, b, c), (p, q, r) = found
    matching = match(first, second, [(a, q), (b, p), (c, r)])
    check = run(first, second, matching)
    assert set(check.counts) == {"equal"}
    assert check.notes
    hasty = run(first, second, matching, fail_fast=True)
    assert (hasty.counts, hasty.notes) == (check.counts, check.notes), "no difference, no stop"


def test_a_region_that_cannot_run_says_so() -> None:
    first, second = Toy(), Toy()
    for model in (first, second):
        x = model.input("x", X)
        model.output("output", model.op("unrunnable" if model is first else "relu", x))
    check = run(first, second, match(first, second, [(Value(1), Value(1))]))
    assert check.counts == {"not-comparable": 1}
    assert "unrunnable" in check.results[0].reason


@pytest.mark.parametrize(
    ("kind", "confidence", "verdict"),
    [
        ("attribute", 0.95, "different"),
        ("attribute", 0.5, "not-comparable"),
        ("rewired", 0.95, "not-comparable"),
        ("extra", 0.95, "not-comparable"),
    ],
)
def test_what_numbers_could_not_decide_is_a_bug_only_between_operations_that_surely_correspond(
    kind: Any, confidence: float, verdict: str
) -> None:
    first, second = Toy(), Toy()
    for model in (first, second):
        x = model.input("x", X)
        model.output("output", model.op("unrunnable" if model is first else "relu", x))
    matching = match(first, second, [(Value(1), Value(1))])
    matching = replace(matching, matches=(replace(matching.matches[0], confidence=confidence),))
    difference = Difference(
        kind,
        (1,),
        (1,),
        "scale",
        "",
        "",
        "scale",
        (1.0, -1.0),
        ((1, 1),),
        facts=(("reader", "Relu"),),
    )
    (finding,) = region_findings(run(first, second, matching, difference), matching, [difference])
    assert (finding.phase, finding.verdict) == ("structure", verdict)
    assert "unrunnable" in finding.advice


def test_dropout_masks_are_shared() -> None:
    first, second = Toy(), Toy()
    found = []
    for model in (first, second):
        x = model.input("x", X)
        if model is first:
            x = model.op("relu", x)  # other node numbers on the two sides
        y = model.op("dropout", x, marks=("random",), p=0.3, path="drop")
        model.output("output", y)
        found.append(y)
    check = run(first, second, match(first, second, [tuple(found)]))  # type: ignore[list-item]
    part = check.results[0].worst("output")
    assert part is not None and (
        part.probe is None or part.probe.kind in ("values.applied", "values.masked")
    )
    second2 = Toy()
    z = second2.op("dropout", second2.op("relu", second2.input("x", X)), marks=("random",), p=0.3)
    second2.output("output", z)
    assert run(first, second2, match(first, second2, [(found[0], z)])).counts == {"equal": 1}


def test_another_shape_is_named_and_what_follows_is_still_checked() -> None:
    image = R.standard_normal((1, 3, 9, 9), np.float32)
    kernels = [R.standard_normal((3, 3, 3, 3), np.float32) for _ in range(2)]
    first, second = Toy(), Toy()
    found = []
    for model in (first, second):
        x = model.input("x", image)
        a = model.op(
            "conv2d",
            x,
            model.parameter("k0", kernels[0]),
            path="a",
            padding=0 if model is first else 1,
        )
        b = model.op("relu", a, path="relu")
        c = model.op("conv2d", b, model.parameter("k1", kernels[1]), path="c", padding=1)
        model.output("output", c)
        found.append((a, b, c))
    check = run(first, second, match(first, second, list(zip(*found, strict=True))))
    assert bad(check, second) == ["a"]
    part = check.results[0].worst()
    assert part is not None and part.probe is not None
    assert sentence(part.probe) == "shape [1, 3, 7, 7] against [1, 3, 9, 9]"


def test_a_wrong_gradient_of_the_framework_is_told_from_a_bug() -> None:
    first, second, matching = two(extra="half_gradient")
    check = run(first, second, matching)
    assert check.counts == {"equal": 5, "framework-defect": 1}
    part = next(result for result in check.results if result.verdict == "framework-defect").worst()
    assert part is not None and part.probe is not None
    assert part.probe.kind == "framework.wrong_gradient"
    assert sentence(part.probe, ("torch", "torch")).startswith(
        "the first side's framework computes a wrong gradient"
    )


def test_findings_stand_at_the_cause() -> None:
    first, second, matching = two(extra="detach")
    (finding,) = region_findings(run(first, second, matching), matching)
    assert (finding.phase, finding.verdict, finding.paddle_path, finding.torch_path) == (
        "backward",
        "different",
        "act",
        "fc2",
    )
    assert "gradient path cut here (detach) on the first side only" in finding.cause


def test_an_attribute_without_effect_is_suspicious() -> None:
    first, second, matching = two()
    norm = next(m for m in matching.matches if matching.second.nodes[m.second].path == "norm")
    difference = Difference(
        "attribute",
        (norm.first,),
        (norm.second,),
        "attribute.native",
        "norm",
        "norm",
        "seed",
        (1, 2),
        facts=(("op", "Norm"),),
    )
    (finding,) = region_findings(run(first, second, matching, difference), matching, [difference])
    assert (finding.verdict, finding.fails, finding.cause) == (
        "suspicious",
        False,
        "Norm.seed 1 against 2",
    )


def test_biased_variance_is_recognised_and_nothing_else() -> None:
    before, batch = R.random(8) + 0.5, R.random(8) + 0.5
    biased, unbiased = 0.9 * before + 0.1 * batch, 0.9 * before + 0.1 * batch * 64 / 63
    assert biased_variance(before, biased, unbiased, 64)
    assert not biased_variance(before, unbiased, biased, 64)
    assert not biased_variance(before, biased, unbiased, 32)
    assert not biased_variance(before, 0.8 * before + 0.2 * batch, unbiased, 64)
    assert not biased_variance(before, biased, biased, 64)


def test_concatenations_of_concatenations_read_the_same_parts() -> None:
    first, second = Toy(), Toy()
    found = []
    for model in (first, second):
        x = model.input("x", X)
        a, b = (
            model.op("linear", x, model.parameter(name, w), path=name)
            for name, w in zip("ab", W, strict=False)
        )
        inner = model.op("cat", x, a, path="inner")
        outer = (
            model.op("cat", inner, b, path="outer")
            if model is first
            else model.op("cat", x, a, b, path="outer")
        )
        model.output("output", outer)
        found.append((a, b, inner, outer))
    assert run(first, second, match(first, second, list(zip(*found, strict=True)))).counts == {
        "equal": 4
    }


def test_a_frozen_parameter_is_named() -> None:
    first, second, matching = two()
    info = matching.first.graph.parameters["w1"]
    matching.first.graph.parameters["w1"] = replace(info, trainable=False)
    (finding,) = region_findings(run(first, second, matching), matching)
    assert (finding.phase, finding.verdict) == ("backward", "different")
    assert finding.cause == (
        "w1 is frozen in the first model (requires_grad is False), "
        "w1 is trained in the second model"
    )


def test_what_cancels_on_one_side_is_not_imprecise_on_the_other() -> None:
    """The gradient of a softmax over one element is nothing.

    One framework computes exactly that, the other 1e-8.
    """
    bound = 1e-5
    assert imprecise((0.0, 1.6e-8), Measured(1.6e-8, 1.6e-8), Measured(3e-17, 3e-17), bound) is None
    lost = imprecise((0.0, 1.6e-3), Measured(1.6e-3, 1.0), Measured(0.0, 1.0), bound)
    assert lost is not None and "torch side loses precision" in sentence(lost)


def test_integers_that_are_known_beforehand_are_not_run_again() -> None:
    """Positions made from shapes: their operands stand in no region."""
    first, second = Toy(), Toy()
    results = []
    for model in (first, second):
        x, count = model.input("x", X), model.input("n", np.arange(16))
        places = model.op("add", count, count, path="places")
        known = replace(model.nodes[places.node], constant=2 * np.arange(16))
        model.nodes[places.node] = known
        results.append(model.op("add", x, places, path="sum"))
        model.output("output", results[-1])
    check = run(first, second, match(first, second, [(results[0], results[1])]))
    assert check.counts == {"equal": 1}
