"""What models return is compared where the user reads it: through `compare`, faults in both
directions beside their healthy counterparts."""

from __future__ import annotations

import enum
import fractions
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
MODES = {
    "whole": STRICT,
    "single step": {**STRICT, "single_step": True},
    "forward": {**STRICT, "diff_phase": "forward"},
}


def layers(nn):
    return {"fc": nn.Linear(4, 4), "head": nn.Linear(4, 4), "drop": nn.Dropout(0.25)}


class _Paddle(paddle.nn.Layer):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        for name, layer in layers(paddle.nn).items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.answer(self, x, paddle)


class _Torch(torch.nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        for name, layer in layers(torch.nn).items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.answer(self, x, torch)


def checked(first, second, *, train=False, options=None, **more):
    layer, module = _Paddle(first), _Torch(second)
    for model in (layer, module):
        model.train() if train else model.eval()
    x = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    return pg.compare(layer, module, example, options=options or STRICT, **more)


def causes(report, *verdicts):
    return [finding.cause_id for finding in report.findings if finding.verdict in verdicts]


def failing(report):
    return causes(report, "different", "missing", "extra")


def posterior(model, x, lib):
    h = lib.tanh(model.fc(x))
    return {"mean": h, "scale": lib.exp(model.head(h))}


def swapped(model, x, lib):
    answer = posterior(model, x, lib)
    return {"mean": answer["scale"], "scale": answer["mean"]}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sides", [(posterior, swapped), (swapped, posterior)])
def test_values_under_each_others_keys_are_told_as_exchanged(mode, sides):
    report = checked(*sides, options=MODES[mode])
    assert not report.passed and failing(report) == ["outputs.exchanged"]
    assert "mean" in report.findings[0].cause and "scale" in report.findings[0].cause
    assert checked(posterior, posterior, options=MODES[mode]).passed


def test_with_a_loss_that_reads_one_of_them():
    losses = [lambda answer: answer["mean"].mean()] * 2
    report = checked(posterior, swapped, loss_fn=losses)
    assert not report.passed and failing(report) == ["outputs.exchanged"]
    assert checked(posterior, posterior, loss_fn=losses).passed


def dropped(model, x, lib):
    h = model.drop(model.fc(x))
    return h, lib.tanh(model.head(h))


def test_where_random_draws_part_the_runs():
    report = checked(dropped, lambda *given: dropped(*given)[::-1], train=True)
    assert not report.passed and failing(report) == ["outputs.exchanged"]
    assert checked(dropped, dropped, train=True).passed


def test_one_value_under_several_names_crosses_nothing():
    def twice(model, x, lib):
        h = model.fc(x)
        return {"last": h, "first": h, "y": model.head(h)}

    def again(model, x, lib):
        h = model.fc(x)
        return {"y": model.head(h), "first": h, "last": h}

    report = checked(twice, again)
    assert report.passed and not report.findings


def test_heads_that_only_weights_tell_apart_may_follow_their_weights():
    def heads(model, x, lib):
        return model.fc(x), model.head(x)

    report = checked(heads, lambda *given: heads(*given)[::-1])
    assert report.passed and "suspicious" in {finding.verdict for finding in report.findings}
    assert not checked(heads, lambda *given: heads(*given)[::-1], auto_weights=False).passed


def test_another_container_is_paired_by_what_yields_its_values():
    def row(model, x, lib):
        return posterior(model, x, lib)["scale"], posterior(model, x, lib)["mean"]

    assert checked(row, posterior).passed


def test_a_generator_is_read_once():
    def yielded(model, x, lib):
        return (value for value in dropped(model, x, lib))

    assert checked(yielded, yielded).passed
    assert failing(checked(yielded, lambda *g: iter(yielded(*g)))) == []
    report = checked(yielded, lambda *given: (v for v in dropped(*given)[::-1]))
    assert failing(report) == ["outputs.exchanged"]


PLAIN = [(0.5, 0.25), (3, 4), (True, False), ("sum", "mean"), (2**53, 2**53 + 1)]
PLAIN += [(np.arange(3), np.arange(3)[::-1].copy()), ([1, 2], [2, 1])]


@pytest.mark.parametrize("right, wrong", PLAIN, ids=str)
@pytest.mark.parametrize("train", [False, True])
def test_plain_values_count(right, wrong, train):
    def returning(value):
        return lambda model, x, lib: SimpleNamespace(y=dropped(model, x, lib)[1], kind=value)

    assert checked(returning(right), returning(right), train=train).passed
    report = checked(returning(right), returning(wrong), train=train)
    assert not report.passed and set(failing(report)) == {"outputs.value"}


TYPES = [
    ("float64", "float32", "different"),
    ("float16", "float32", "different"),
    ("int32", "int64", "suspicious"),
    ("int64", "float32", "different"),
    ("bool", "float32", "different"),
]


@pytest.mark.parametrize("first, second, verdict", TYPES)
@pytest.mark.parametrize("options", [STRICT, MODES["single step"]])
def test_types_count(first, second, verdict, options):
    def cast(name):
        def answer(model, x, lib):
            y = model.fc(x)
            return y, (lib.ones_like(y) > 0).to(getattr(lib, name))

        return answer

    report = checked(cast(first), cast(second), options=options)
    assert causes(report, verdict) == ["outputs.type"]
    assert report.passed is (verdict == "suspicious")
    assert not checked(cast(second), cast(second), options=options).findings


def test_what_one_model_returns_alone_is_told_and_does_not_fail():
    def more(model, x, lib):
        return {"y": model.fc(x), "z": model.fc(x).sum(), "kind": "sum"}

    def less(model, x, lib):
        return {"y": model.fc(x), "z": None}

    for sides in ((more, less), (less, more)):
        report = checked(*sides)
        assert report.passed and causes(report, "suspicious") == ["outputs.missing"]
        assert "z" in report.findings[0].cause and "kind" in report.findings[0].cause


def test_axes_in_another_order_are_told_as_that():
    def turned(model, x, lib):
        return model.fc(x).reshape([3, 2, 2]).permute(1, 0, 2)

    def otherwise(model, x, lib):
        return model.fc(x).reshape([3, 2, 2]).permute(2, 0, 1)

    report = checked(turned, otherwise)
    assert not report.passed and failing(report) == ["outputs.layout"]
    assert checked(turned, turned).passed


def test_whole_numbers_are_exact_where_paddle_programs_round():
    def numbered(start):
        return lambda model, x, lib: (model.fc(x), model.fc(x).argmax(-1) + start)

    assert checked(numbered(2**24 + 1), numbered(2**24 + 1)).passed
    for sides in ((2**24, 2**24 + 1), (2**24 + 1, 2**24)):
        report = checked(*map(numbered, sides))
        assert not report.passed and failing(report)


def heads(self, x):
    return self.fc(x), self.head(x)


def test_keys_in_another_order_are_no_difference():
    def ours(self, x, lib):
        a, b = heads(self, x)
        return {"a": a, "b": b}

    def theirs(self, x, lib):
        a, b = heads(self, x)
        return {"b": b, "a": a}

    report = checked(ours, theirs)
    assert report.passed and not report.findings


class Kind(enum.Enum):
    A = 1
    B = 2


WHOLE = [
    ({"a", "b"}, {"a", "c"}),
    (frozenset({1}), frozenset({2})),
    (range(3), range(4)),
    (Kind.A, Kind.B),
    (fractions.Fraction(1, 3), fractions.Fraction(1, 4)),
]


@pytest.mark.parametrize(("value", "other"), WHOLE, ids=[type(a).__name__ for a, _ in WHOLE])
def test_values_that_are_compared_as_a_whole(value, other):
    def returning(what):
        return lambda self, x, lib: (self.fc(x), what)

    assert checked(returning(value), returning(value)).passed
    report = checked(returning(value), returning(other))
    assert not report.passed and causes(report, "different") == ["outputs.value"]
