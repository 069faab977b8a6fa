"""The update rules that are said to differ between the frameworks, each held against its formula;
nine others (not LBFGS) compute the same numbers under equal settings."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

from padiff_graph.training.setting_findings import DIVERGENT

RATE, EPSILON, STEPS = 0.01, 1e-2, 8
START = np.array([0.5, -0.3, 0.2, 0.7], np.float64)
CLOSE = 1.2e-7  # a unit of float32, which both frameworks hold rates and epsilons in


def _gradients():
    random = np.random.default_rng(3)
    return [0.1 * random.standard_normal(START.shape) for _ in range(STEPS)]


def _torch(name, **settings):
    weight = torch.nn.Parameter(torch.from_numpy(START.copy()))
    optimizer = getattr(torch.optim, name)([weight], lr=RATE, **settings)
    for gradient in _gradients():
        weight.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
    return weight.detach().numpy()


def _paddle(name, **settings):
    weight = paddle.create_parameter(START.shape, "float64")
    weight.set_value(START)
    optimizer = getattr(paddle.optimizer, name)(RATE, parameters=[weight], **settings)
    for gradient in _gradients():
        (weight * paddle.to_tensor(gradient)).sum().backward()
        optimizer.step()
        optimizer.clear_grad()
    return weight.numpy()


def _rmsprop(inside):
    weight, mean = START.copy(), np.zeros_like(START)
    for gradient in _gradients():
        mean = 0.9 * mean + 0.1 * gradient**2
        root = np.sqrt(mean + EPSILON) if inside else np.sqrt(mean) + EPSILON
        weight -= RATE * gradient / root
    return weight


def _adamax(to_the_norm):
    weight, mean, norm = START.copy(), np.zeros_like(START), np.zeros_like(START)
    for step, gradient in enumerate(_gradients(), 1):
        mean = 0.9 * mean + 0.1 * gradient
        size = np.abs(gradient)
        if to_the_norm:
            norm = np.maximum(size, 0.999 * norm + EPSILON)
        else:
            norm = np.maximum(size + EPSILON, 0.999 * norm)
        weight -= RATE / (1 - 0.9**step) * mean / norm
    return weight


def _asgd_of_gradients(count):
    weight, kept = START.copy(), [np.zeros_like(START)] * count
    for step, gradient in enumerate(_gradients()):
        kept[step % count] = gradient
        weight -= RATE * sum(kept) / min(step + 1, count)
    return weight


def _asgd_of_weights(decay=0.1, power=0.75):
    weight, rate = START.copy(), RATE
    for step, gradient in enumerate(_gradients(), 1):
        weight = weight * (1 - decay * rate) - rate * gradient
        rate = RATE / (1 + decay * RATE * step) ** power
    return weight


FORMULAS = {
    "RMSProp": (
        lambda: _paddle("RMSProp", rho=0.9, epsilon=EPSILON),
        lambda: _rmsprop(inside=True),
        lambda: _torch("RMSprop", alpha=0.9, eps=EPSILON),
        lambda: _rmsprop(inside=False),
    ),
    "Adamax": (
        lambda: _paddle("Adamax", epsilon=EPSILON),
        lambda: _adamax(to_the_norm=True),
        lambda: _torch("Adamax", eps=EPSILON),
        lambda: _adamax(to_the_norm=False),
    ),
    "ASGD": (
        lambda: _paddle("ASGD", batch_num=2),
        lambda: _asgd_of_gradients(2),
        lambda: _torch("ASGD", lambd=0.1),
        _asgd_of_weights,
    ),
}


def test_each_rule_that_is_said_to_differ_is_held_against_its_formula():
    assert FORMULAS.keys() == DIVERGENT.keys()


@pytest.mark.parametrize("name", FORMULAS)
def test_a_framework_computes_the_formula_that_is_told_of_it(name):
    in_paddle, first, in_torch, second = (compute() for compute in FORMULAS[name])
    np.testing.assert_allclose(in_paddle, first, rtol=CLOSE)
    np.testing.assert_allclose(in_torch, second, rtol=CLOSE)
    assert np.abs(first - second).max() > 1e-5, "the two formulas are told apart"


ALIKE = {
    "SGD": ("Momentum", {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    "nesterov": (
        "Momentum",
        {"momentum": 0.9, "use_nesterov": True},
        "SGD",
        {"momentum": 0.9, "nesterov": True},
    ),
    "Adam": ("Adam", {"epsilon": EPSILON}, "Adam", {"eps": EPSILON}),
    "AdamW": (
        "AdamW",
        {"epsilon": EPSILON, "weight_decay": 0.1},
        "AdamW",
        {"eps": EPSILON, "weight_decay": 0.1},
    ),
    "Adagrad": ("Adagrad", {"epsilon": EPSILON}, "Adagrad", {"eps": EPSILON}),
    "Adadelta": ("Adadelta", {"rho": 0.9, "epsilon": EPSILON}, "Adadelta", {"eps": EPSILON}),
    "NAdam": ("NAdam", {"epsilon": EPSILON}, "NAdam", {"eps": EPSILON}),
    "RAdam": ("RAdam", {"epsilon": EPSILON}, "RAdam", {"eps": EPSILON}),
    "Rprop": (
        "Rprop",
        {"learning_rate_range": (1e-6, 50.0)},
        "Rprop",
        {"step_sizes": (1e-6, 50.0)},
    ),
}


@pytest.mark.parametrize("name", ALIKE)
def test_these_others_compute_the_same(name):
    first, in_paddle, second, in_torch = ALIKE[name]
    np.testing.assert_allclose(_paddle(first, **in_paddle), _torch(second, **in_torch), rtol=CLOSE)
