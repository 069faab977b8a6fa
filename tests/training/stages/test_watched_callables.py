"""What callables do with gradients and optimizers is seen, on either side, and told with both."""

import numpy as np
import paddle
import pytest
import torch

from padiff_graph import compare

EXACT = {"atol": 1e-5, "rtol": 1e-4, "compare_mode": "strict"}


class Layer(paddle.nn.Layer):
    def __init__(self, drop):
        super().__init__()
        self.inner = paddle.nn.Linear(6, 10)
        self.drop = paddle.nn.Dropout(drop)
        self.head = paddle.nn.Linear(10, 3)

    def forward(self, x):
        return self.head(self.drop(paddle.tanh(self.inner(x))))


class Module(torch.nn.Module):
    def __init__(self, drop):
        super().__init__()
        self.inner = torch.nn.Linear(6, 10)
        self.drop = torch.nn.Dropout(drop)
        self.head = torch.nn.Linear(10, 3)

    def forward(self, x):
        return self.head(self.drop(torch.tanh(self.inner(x))))


class Turn:
    """A user's turn of the optimizer, for either framework."""

    def __init__(self, model, optimizer, norm=0.0, value=0.0, times=1, every=1, clear=True):
        self.model, self.optimizer, self.norm, self.value = model, optimizer, norm, value
        self.times, self.every, self.clear, self.count = times, every, clear, 0

    def __call__(self):
        self.count += 1
        if self.count % self.every:
            return
        utils = (paddle if isinstance(self.model, paddle.nn.Layer) else torch).nn.utils
        if self.norm:
            utils.clip_grad_norm_(self.model.parameters(), self.norm)
        if self.value:
            utils.clip_grad_value_(self.model.parameters(), self.value)
        for _ in range(self.times):
            self.optimizer.step()
        if self.clear:
            self.optimizer.clear_grad() if hasattr(
                self.optimizer, "clear_grad"
            ) else self.optimizer.zero_grad()


def check(first, second, drop=0.0, swap=False, steps=2, **own):
    """Runs a training with the first turn's habits on one side and the second's on the other."""
    paddle.seed(1)
    torch.manual_seed(1)
    layer, module = Layer(drop), Module(drop)
    if swap:
        first, second = second, first
    array = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
    optimizers = (
        paddle.optimizer.Momentum(0.05, 0.9, parameters=layer.parameters(), **own),
        torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9),
    )
    pairs = zip((layer, module), optimizers, (first, second), strict=True)
    turns = [
        optimizer if habits is None else Turn(model, optimizer, **habits)
        for model, optimizer, habits in pairs
    ]
    return compare(
        layer,
        module,
        ({"x": paddle.to_tensor(array)}, {"x": torch.from_numpy(array)}),
        steps=steps,
        options=EXACT,
        optimizer=turns,
        loss_fn=[lambda y: (y * y).mean(), lambda y: (y * y).mean()],
    )


def told(report):
    return [finding.cause for finding in report.findings if finding.fails]


FAULTS = {
    "another norm": ({"norm": 0.01}, {"norm": 0.02}, ("clipping", "norm of 0.01", "of 0.02")),
    "no clipping": ({}, {"norm": 0.01}, ("clipping", "none", "norm of 0.01")),
    "norm against value": ({"value": 0.001}, {"norm": 0.01}, ("at most 0.001", "norm of 0.01")),
    "steps twice": ({"times": 2}, {}, ("steps of the optimizer in one call", "2", "1")),
    "never clears": ({"clear": False}, {}, ("gradients after a step", "kept", "cleared")),
}


@pytest.mark.parametrize("drop", [0.0, 0.4], ids=["plain", "dropout"])
@pytest.mark.parametrize("swap", [False, True], ids=["paddle", "torch"])
@pytest.mark.parametrize("name", FAULTS)
def test_habits_that_differ(name, swap, drop):
    first, second, words = FAULTS[name]
    report = check(first, second, drop=drop, swap=swap)
    causes = told(report)
    assert not report.passed and len(causes) == 1, causes
    assert all(word in causes[0] for word in words), causes
    assert "from step 1" in causes[0]


@pytest.mark.parametrize("drop", [0.0, 0.4], ids=["plain", "dropout"])
@pytest.mark.parametrize(
    "habits",
    [{"norm": 0.01}, {"value": 0.001}, {"times": 2}, {"clear": False}, {"every": 2}],
    ids=str,
)
def test_habits_shared(habits, drop):
    report = check(habits, habits, drop=drop, steps=4)
    assert report.passed, [finding.cause for finding in report.findings]


def test_clipping_in_an_optimizer_and_in_a_callable():
    clip = paddle.nn.ClipGradByGlobalNorm
    assert check(None, {"norm": 0.01}, grad_clip=clip(0.01)).passed
    causes = told(check(None, {"norm": 0.01}, grad_clip=clip(0.03)))
    assert len(causes) == 1 and "norm of 0.03" in causes[0] and "norm of 0.01" in causes[0]


def test_accumulation_that_clears_in_between():
    """Gradients of every second batch are lost on one side."""

    def losing(optimizer):
        count = [0]

        def turn():
            count[0] += 1
            if count[0] % 2 == 0:
                optimizer.step()
            optimizer.clear_grad()

        return turn

    paddle.seed(1)
    torch.manual_seed(1)
    layer, module = Layer(0.0), Module(0.0)
    array = np.ones((4, 6), "float32")
    optimizers = [
        losing(paddle.optimizer.SGD(0.1, parameters=layer.parameters())),
        Turn(module, torch.optim.SGD(module.parameters(), lr=0.1), every=2),
    ]
    example = ({"x": paddle.to_tensor(array)}, {"x": torch.from_numpy(array)})
    report = compare(layer, module, example, steps=4, options=EXACT, optimizer=optimizers)
    assert not report.passed and "kept" in told(report)[0], told(report)


def test_nothing_of_the_watching_is_left():
    import torch.optim.optimizer as hooks

    before = (
        paddle.optimizer.Optimizer.append_regularization_ops,
        dict(hooks._global_optimizer_pre_hooks),
    )
    check({"norm": 0.01}, {"norm": 0.01})
    after = (
        paddle.optimizer.Optimizer.append_regularization_ops,
        dict(hooks._global_optimizer_pre_hooks),
    )
    assert before == after


@pytest.mark.parametrize("side", [0, 1], ids=["paddle", "torch"])
def test_state_carried_in(side):
    layer, module = Layer(0.0), Module(0.0)
    optimizers = [
        paddle.optimizer.Momentum(0.05, 0.9, parameters=layer.parameters()),
        torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9),
    ]
    array = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
    example = {"x": paddle.to_tensor(array)}, {"x": torch.from_numpy(array)}
    model = (layer, module)[side]
    (model(**example[side]) ** 2).mean().backward()
    optimizers[side].step()
    optimizers[side].clear_grad() if side == 0 else optimizers[side].zero_grad()
    report = compare(layer, module, example, options=EXACT, optimizer=optimizers)
    causes = told(report)
    assert len(causes) == 1 and "state carried in" in causes[0] and "velocity" in causes[0], causes


def test_rates_as_tensors():
    layer, module = Layer(0.0), Module(0.0)
    optimizers = [
        paddle.optimizer.Adam(0.01, parameters=layer.parameters()),
        torch.optim.Adam(module.parameters(), lr=torch.tensor(0.01)),
    ]
    array = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
    example = {"x": paddle.to_tensor(array)}, {"x": torch.from_numpy(array)}
    loose = {"atol": 1e-4}
    assert compare(layer, module, example, steps=3, options=loose, optimizer=optimizers).passed
