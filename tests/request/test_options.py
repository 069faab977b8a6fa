"""Options: every key, every value, every impossible combination."""

import numpy as np
import pytest

from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.request.options import Options, parse_options


def test_defaults():
    asked = parse_options({})
    assert (asked.atol, asked.rtol, asked.diff_phase, asked.compare_mode, asked.single_step) == (
        0.0,
        1e-7,
        "both",
        "mean",
        False,
    )
    assert parse_options(None) == asked == Options()


def test_values_are_taken():
    given = {
        "atol": 1e-3,
        "rtol": np.float32(0.5),
        "diff_phase": "forward",
        "compare_mode": "strict",
        "single_step": True,
        "allow_rounding": True,
        "fail_fast": True,
        "check_nan": True,
        "precision": "bfloat16",
        "observed": 0.25,
        "tolerances": {},
    }
    asked = parse_options(given)
    assert asked.as_dict() == {**given, "rtol": 0.5}
    named = {"tolerances": {"logits*": (1e-5, 1e-4)}}
    assert parse_options(named).as_dict()["tolerances"] == named["tolerances"]


def test_given_dict_is_not_kept():
    given = {"atol": 1e-3}
    parse_options(given)
    assert given == {"atol": 1e-3}
    assert parse_options({}).atol == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"atoll": 1}, "did you mean 'atol'"),
        ({"atol": -1}, "0 or greater"),
        ({"atol": "1e-3"}, "is a number"),
        ({"rtol": True}, "is a number"),
        ({"rtol": float("nan")}, "finite"),
        ({"rtol": float("inf")}, "finite"),
        ({"rtol": None}, "is a number"),
        ({"compare_mode": "max"}, "'mean', 'strict'"),
        ({"compare_mode": 1}, "'mean', 'strict'"),
        ({"diff_phase": "fwd"}, "'both', 'forward', 'backward'"),
        ({"single_step": 1}, "True or False"),
        ({"diff_phase": "backward"}, "needs single_step=True"),
        (["atol"], "expected a dict"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(UsageError, match=words):
        parse_options(options)


def test_backward_with_single_step():
    assert parse_options({"diff_phase": "backward", "single_step": True}).forward is False


@pytest.mark.parametrize(
    ("steps", "optimizer", "options", "words"),
    [
        (0, None, {}, "1 or more"),
        (-3, None, {}, "1 or more"),
        (1.0, None, {}, "whole number"),
        (True, None, {}, "whole number"),
        (2, None, {}, "needs optimizer"),
        (2, object(), {"diff_phase": "forward"}, "needs diff_phase='both'"),
        (1, object(), {"diff_phase": "forward"}, "an optimizer needs gradients"),
    ],
)
def test_bad_combinations(steps, optimizer, options, words):
    with pytest.raises(UsageError, match=words):
        parse_options(options, steps, optimizer)


def test_wrong_types_are_type_errors_too():
    with pytest.raises(TypeError):
        parse_options({"single_step": "yes"})
    assert issubclass(UsageTypeError, ValueError)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"precision": "float8"},
            "precision is one of 'bfloat16', .* 'autocast-float16'; found 'float8'",
        ),
        ({"precision": 16}, "precision is one of"),
        ({"observed": 0.1}, "needs 'precision'"),
        ({"precision": "bfloat16", "observed": -1}, "observed is a finite number"),
        ({"precision": "bfloat16", "observed": "a.npy"}, "two files"),
        ({"precision": "bfloat16", "observed": ["a.npy", 2]}, "two files"),
        ({"observed": ["a.npy", "b.npy"]}, "needs 'precision'"),
    ],
)
def test_half_precision_is_asked_for_by_name(given, said):
    with pytest.raises((UsageError, TypeError), match=said):
        parse_options(given)
