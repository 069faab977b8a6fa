"""What a user can hand in wrongly: told before anything is run."""

from collections import namedtuple

import numpy as np
import paddle
import pytest
import torch

from padiff_graph.errors import UsageError
from padiff_graph.request.input_pairs import pair_leaves
from padiff_graph.request.inputs import check_inputs, check_models
from padiff_graph.request.loss_pair import check_losses


def models():
    return paddle.nn.Linear(3, 4), torch.nn.Linear(3, 4)


def both(array, first="input", second="input"):
    return {first: paddle.to_tensor(array)}, {second: torch.from_numpy(np.array(array))}


X = np.random.default_rng(0).standard_normal((2, 3)).astype("float32")


class TwoInputs(paddle.nn.Layer):
    def forward(self, image, mask, scale=1.0):
        return image * mask * scale


class TorchTwoInputs(torch.nn.Module):
    def forward(self, pixels, keep, scale=1.0):
        return pixels * keep * scale


class Nested(paddle.nn.Layer):
    def forward(self, batch):
        return batch["x"] + batch["more"][0]


class TorchNested(torch.nn.Module):
    def forward(self, batch):
        return batch["x"] + batch["more"][0]


class Keywords(paddle.nn.Layer):
    def forward(self, **given):
        return given["x"]


def test_different_names_are_paired_by_value():
    mask = (X > 0).astype("float32")
    found = check_inputs(
        TwoInputs(),
        TorchTwoInputs(),
        (
            {"image": paddle.to_tensor(X), "mask": paddle.to_tensor(mask)},
            {"keep": torch.from_numpy(mask), "pixels": torch.from_numpy(X)},
        ),
    )
    assert dict(found.pairs) == {"image": "pixels", "mask": "keep"}


def test_equal_values_are_paired_by_name_then_order():
    assert pair_leaves({"a": X, "b": X}, {"b": X, "a": X}) == (("a", "a"), ("b", "b"))
    assert pair_leaves({"a": X, "b": X}, {"c": X, "d": X}) == (("a", "c"), ("b", "d"))


def test_nested_inputs():
    first = {"batch": {"x": paddle.to_tensor(X), "more": [paddle.to_tensor(2 * X), 3]}}
    second = {"batch": {"x": torch.from_numpy(X), "more": (torch.from_numpy(2 * X), 3)}}
    assert dict(check_inputs(Nested(), TorchNested(), (first, second)).pairs) == {
        "batch.x": "batch.x",
        "batch.more.0": "batch.more.0",
    }


def test_another_layout_is_the_same_input():
    image = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype("float32")
    assert pair_leaves({"x": image}, {"y": np.ascontiguousarray(image.transpose(0, 2, 3, 1))}) == (
        ("x", "y"),
    )


def test_keyword_forward_takes_any_name():
    check_inputs(
        Keywords(),
        torch.nn.Linear(3, 4),
        ({"x": paddle.to_tensor(X)}, {"input": torch.from_numpy(X)}),
    )


def test_nan_inputs_are_equal():
    broken = X.copy()
    broken[0, 0] = np.nan
    check_inputs(*models(), both(broken))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ("model", torch.nn.ReLU()), "ONNX|expected"),
        (lambda: (paddle.nn.ReLU, torch.nn.ReLU()), "found the class"),
        (lambda: (paddle.nn.ReLU(), torch.nn.ReLU), "found the class"),
        (lambda: (None, torch.nn.ReLU()), "expected a torch.nn.Module.*returns nothing"),
        (lambda: (torch.nn.ReLU(), paddle.nn.ReLU()), "models are swapped"),
    ],
)
def test_wrong_models(make, words):
    layer, module = make()
    if layer == "model":
        assert check_models(layer, module) == ("onnx", "torch")
        return
    with pytest.raises(UsageError, match=words):
        check_models(layer, module)


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (lambda: {"input": 1}, "is a pair"),
        (lambda: None, "is a pair"),
        (lambda: (both(X)[0],), "found 1 members"),
        (lambda: (paddle.to_tensor(X), torch.from_numpy(X)), "found .*Tensor for the paddle side"),
        (lambda: both(X)[::-1], "inputs are swapped"),
        (lambda: (both(X)[1], both(X)[1]), "the paddle side's inputs go to a paddle model"),
        (lambda: both(X, first="x"), "takes .*input.* found the input 'x', which it does not take"),
        (lambda: ({}, both(X)[1]), "the input 'input' is missing"),
        (lambda: ({**both(X)[0], "extra": 1}, both(X)[1]), "found the input 'extra'"),
        (lambda: (both(X)[0], both(X + 1)[1]), "differ in values, by up to 1"),
        (lambda: (both(X)[0], both(X[:1])[1]), "differ in shape"),
        (
            lambda: (both(X)[0], both(X.astype("float64"))[1]),
            "different dtypes, float32 and float64",
        ),
        (
            lambda: (both(X.astype("int32"))[0], both(X.astype("int64"))[1]),
            "different dtypes, int32 and int64",
        ),
        (lambda: (both(X)[0], {"input": torch.empty(2, 3, device="meta")}), "holds no numbers"),
        (lambda: ({1: paddle.to_tensor(X)}, both(X)[1]), "found the name 1"),
    ],
)
def test_wrong_inputs(example, words):
    with pytest.raises(UsageError, match=words):
        check_inputs(*models(), example())


def test_numbers_of_one_name_must_agree():
    mask = np.ones_like(X)
    first = {"image": paddle.to_tensor(X), "mask": paddle.to_tensor(mask), "scale": 1.0}
    second = {"pixels": torch.from_numpy(X), "keep": torch.from_numpy(mask), "scale": 2.0}
    with pytest.raises(UsageError, match="scale is 1.0 for paddle and 2.0 for torch"):
        check_inputs(TwoInputs(), TorchTwoInputs(), (first, second))


def test_an_input_of_one_side_only_is_noted():
    first = {"image": paddle.to_tensor(X), "mask": paddle.to_tensor(np.ones_like(X))}
    second = {"pixels": torch.from_numpy(X), "keep": 1.0}
    found = check_inputs(TwoInputs(), TorchTwoInputs(), (first, second))
    assert any("mask" in note and "no counterpart" in note for note in found.notes)


def test_named_tuples_and_strings_pass():
    pair = namedtuple("pair", "first second")
    check_inputs(*models(), pair(*both(X)))
    with pytest.raises(UsageError):
        check_inputs(*models(), "ab")


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (1, "is a pair"),
        ([lambda out: out], "found 1 members"),
        ([None, lambda out: out], "is no function"),
        ([lambda out, target: out, lambda out: out], "takes"),
        ([lambda: 1, lambda out: out], "takes"),
        ([torch.nn.Flatten(), paddle.nn.Flatten()], "is a torch loss for a paddle model"),
        ([paddle.nn.MSELoss(), lambda out: out], "takes"),
        ([paddle.nn.ReLU, torch.nn.ReLU], "is no function"),
    ],
)
def test_wrong_losses(losses, words):
    with pytest.raises(UsageError, match=words):
        check_losses(losses, ("paddle", "torch"))


def test_losses_of_one_argument():
    given = [lambda out: out.mean(), lambda out, weight=2: out.mean()]
    assert check_losses(given, ("paddle", "torch")) == tuple(given)
    assert check_losses(None, ("paddle", "torch")) == (None, None)
