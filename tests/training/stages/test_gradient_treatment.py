"""What was done to gradients, told from the numbers before and after."""

import numpy as np
import pytest

from padiff_graph.capture.abilities import WatchedPass, WatchedStep
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.result import ParameterRow, Piece
from padiff_graph.training.stages.gradient_treatment import Treatment, compatible, treatments
from padiff_graph.training.stages.loss_factor import Multiple, is_factor
from padiff_graph.training.stages.observed_differences import observed_differences
from padiff_graph.training.stages.step_record import StepRecord


def gradients(scale=1.0):
    random = np.random.default_rng(3)
    return {
        name: (scale * random.standard_normal(shape)).astype("float32")
        for name, shape in {"a.weight": (5, 4), "a.bias": (4,), "b.weight": (4, 3)}.items()
    }


def scaled(before, factor, names=None):
    return {
        name: np.asarray(array * np.float32(factor)) if names is None or name in names else array
        for name, array in before.items()
    }


def rows_of(before):
    views = {name: View.of(array.shape) for name, array in before.items()}
    return [
        ParameterRow(name, (Piece(name, view, view),), "identity", 1.0, "given")
        for name, view in views.items()
    ]


def test_untouched():
    before = gradients()
    assert {entry.kind for entry in treatments(before, dict(before)).values()} == {"none"}


def test_a_global_norm():
    before = gradients()
    told = treatments(before, scaled(before, 0.125))
    norm = np.sqrt(sum(np.square(array).sum() for array in before.values()))
    for entry in told.values():
        assert entry.kind == "norm"
        assert entry.limit == pytest.approx(norm / 8, rel=1e-6)
        assert entry.factor == pytest.approx(0.125, rel=1e-6)


def test_a_parameter_left_out():
    before = gradients()
    told = treatments(before, scaled(before, 0.5, {"a.weight", "a.bias"}))
    assert told["b.weight"].kind == "none" and told["a.bias"].kind == "norm"


def test_a_norm_of_each():
    before = gradients()
    after = {
        name: np.asarray(array * np.float32(0.1 / np.linalg.norm(array)))
        for name, array in before.items()
    }
    limits = [entry.limit for entry in treatments(before, after).values()]
    assert limits == pytest.approx([0.1] * 3, rel=1e-5)


def test_values():
    before = gradients()
    after = {name: np.clip(array, -0.3, 0.3) for name, array in before.items()}
    told = treatments(before, after)
    assert {entry.kind for entry in told.values()} == {"value"}
    assert told["a.weight"].limit == pytest.approx(0.3)


def test_something_else():
    before = gradients()
    after = {name: np.square(array) for name, array in before.items()}
    assert {entry.kind for entry in treatments(before, after).values()} == {"other"}


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        (Treatment("none", size=0.9), Treatment("norm", 1.0, 0.5, 2.0), True),
        (Treatment("none", size=1.5), Treatment("norm", 1.0, 0.5, 2.0), False),
        (Treatment("norm", 1.0, 0.5, 2.0), Treatment("norm", 1.0, 0.25, 4.0), True),
        (Treatment("norm", 1.0, 0.5, 2.0), Treatment("norm", 2.0, 0.5, 4.0), True),
        (Treatment("norm", 1.0, 0.5, 2.0), Treatment("norm", 1.1, 0.4, 2.75), False),
        (Treatment("norm", 1.0, 0.5, 2.0), Treatment("value", 1.0, 0.5, 2.0), False),
        (Treatment("none", size=0.9), Treatment("norm", 1.0, 2.0, 0.5), False),
    ],
)
def test_one_rule_or_two(first, second, alike):
    assert compatible(first, second) is alike
    assert compatible(second, first) is alike


@pytest.mark.parametrize(
    ("loss", "rest", "told"),
    [(1.8, 0.03, True), (2.0, 0.03, False), (2.0, 1e-6, True)],
    ids=["loss scaled too", "another loss", "gradients alone scaled"],
)
def test_gradients_that_shrink_alike_are_a_factor_only_where_something_was_multiplied(
    loss, rest, told
):
    def record(number):
        return StepRecord(passes=(WatchedPass((), (), (), number, {}),))

    assert is_factor(Multiple(0.9, rest), record(loss), record(2.0)) is told


def test_gradients_that_are_lost_tell_nothing_of_a_treatment():
    before = gradients()
    lost = {name: np.full_like(array, np.nan) for name, array in before.items()}
    assert {entry.kind for entry in treatments(lost, dict(lost)).values()} == {"none"}
    records = [
        StepRecord(accumulated=own, updates=(WatchedStep(None, scaled(own, 0.5), {}),))
        for own in (lost, before)
    ]
    assert observed_differences(*records, rows_of(before)) == []


@pytest.mark.parametrize(("limit", "told"), [(0.01, False), (0.02, True)])
def test_a_norm_of_all_carries_what_one_gradient_differs_by_to_the_others(limit, told):
    before = gradients()
    other = {**before, "b.weight": before["b.weight"] * np.float32(1.004)}

    def record(accumulated, most):
        norm = np.sqrt(sum(float((array**2).sum()) for array in accumulated.values()))
        update = WatchedStep(None, scaled(accumulated, most / norm), {})
        return StepRecord(accumulated=accumulated, updates=(update,))

    differences = observed_differences(record(other, limit), record(before, 0.01), rows_of(before))
    assert [difference.setting for difference in differences] == ["gradient clipping"] * told
