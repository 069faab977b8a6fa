"""Steps that no optimizer of a framework takes, update rules of the user's own, and what is inside
of a loop within the tolerance."""

from __future__ import annotations

import paddle
import pytest
import torch

import padiff_graph as pg
from tests.training.test_train_step import OPTIONS, _batches, _Paddle, _Torch


class _Own(torch.optim.Optimizer):
    """SGD by another name; `signs` makes another rule of it."""

    def __init__(self, parameters, rate, weight_decay=0.0, signs=False):
        super().__init__(parameters, {"lr": rate, "weight_decay": weight_decay})
        self.signs = signs

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                step = parameter.grad.sign() if self.signs else parameter.grad
                parameter.sub_(step, alpha=group["lr"])


class _SmallAdamW(torch.optim.AdamW):
    """A subclass that keeps the rule."""


def _by_hand(rate):
    @torch.no_grad()
    def step(parameters):
        for parameter in parameters:
            parameter -= rate * parameter.grad

    return step


def _loop(step, clear, extra=0.0):
    def loop(model, batch):
        output = model(**batch)
        loss = (output**2).mean() + extra * output.mean()
        loss.backward()
        step()
        clear()
        return loss

    return loop


def _trained(ours, theirs, extra=0.0, steps=2, options=OPTIONS):
    """A report on the loops of a Paddle optimizer and of a torch optimizer, or of a function that
    updates by hand; each is made of parameters."""
    torch.manual_seed(0)
    layer, module = _Paddle(), _Torch()
    port, reference = ours(layer.parameters()), theirs(list(module.parameters()))
    step = getattr(reference, "step", lambda: reference(list(module.parameters())))
    loops = [
        _loop(port.step, port.clear_grad, extra),
        _loop(step, lambda: module.zero_grad()),
    ]
    batches = _batches(steps)
    return pg.compare(layer, module, batches, steps=steps, train_step=loops, options=options)


def _sgd(parameters):
    return paddle.optimizer.SGD(0.1, parameters=parameters)


def _adamw(parameters):
    return paddle.optimizer.AdamW(1e-3, parameters=parameters, weight_decay=0.1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (_sgd, lambda parameters: _by_hand(0.1)),
        (_sgd, lambda parameters: _Own(parameters, 0.1)),
        (_adamw, lambda parameters: _SmallAdamW(parameters, lr=1e-3, weight_decay=0.1)),
    ],
    ids=["by hand", "a rule of one's own", "a subclass"],
)
def test_whoever_takes_the_same_step_passes(ours, theirs):
    report = _trained(ours, theirs)
    assert report.passed, [finding.cause for finding in report.findings]


@pytest.mark.parametrize(
    ("ours", "theirs", "kind", "words"),
    [
        (_sgd, lambda parameters: _by_hand(0.11), "optimizer.steps", ("step 1", "9.09%")),
        (
            _sgd,
            lambda parameters: _Own(parameters, 0.1, signs=True),
            "optimizer.algorithm",
            ("SGD (paddle)", "_Own (torch)"),
        ),
        (_adamw, lambda parameters: _Own(parameters, 1e-3), "optimizer.weight_decay", ("0.1", "0")),
    ],
    ids=["another rate by hand", "another rule", "decay"],
)
def test_another_step_is_told(ours, theirs, kind, words):
    report = _trained(ours, theirs)
    failing = [finding for finding in report.findings if finding.fails]
    assert not report.passed and failing[0].cause_id == kind, [f.cause for f in failing]
    assert all(word in failing[0].cause for word in words), failing[0].cause


class _AdamByHand:
    """Adam's rule in lines of one's own."""

    def __init__(self, decays):
        self.decays, self.steps, self.moments = decays, 0, {}

    @torch.no_grad()
    def __call__(self, parameters):
        self.steps += 1
        for number, parameter in enumerate(parameters):
            gradient = parameter.grad
            kept = self.moments.get(number, (torch.zeros_like(gradient),) * 2)
            means = [
                decay * mean + (1 - decay) * new
                for decay, mean, new in zip(self.decays, kept, (gradient, gradient**2), strict=True)
            ]
            self.moments[number] = means
            first, second = (
                mean / (1 - decay**self.steps)
                for decay, mean in zip(self.decays, means, strict=True)
            )
            parameter -= 1e-3 * first / (second.sqrt() + 1e-8)


@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize("decay", [0.999, 0.99])
def test_a_rule_by_hand_is_held_against_what_its_gradients_ask_for(decay, tight):
    """Another decay moves weights by less than a tolerance and the band of two right trainings."""
    report = _trained(
        lambda parameters: paddle.optimizer.Adam(1e-3, parameters=parameters),
        lambda parameters: _AdamByHand((0.9, decay)),
        steps=3,
        options={"rtol": 1e-7, "atol": 0.0, "allow_rounding": True} if tight else OPTIONS,
    )
    failing = [finding.cause_id for finding in report.findings if finding.fails]
    assert failing == ([] if decay == 0.999 else ["optimizer.steps"])
    assert report.passed is not bool(failing)


def test_a_part_of_a_loss_within_the_tolerance_is_no_rounding():
    report = _trained(_sgd, lambda parameters: torch.optim.SGD(parameters, 0.1), extra=3e-4)
    failing = [finding for finding in report.findings if finding.fails]
    beyond = [name for step in report.training for name in (step.apart,) if name > 1e-3]
    assert not beyond, "the weights are within the tolerance"
    assert not report.passed and failing[0].cause_id == "training.departs"
    assert failing[0].reason.get("step") == 1, failing[0].cause


@pytest.mark.parametrize("extra", [0.0, 0.3])
def test_update_rules_of_two_frameworks_hide_no_loss(extra):
    def ours(parameters):
        return paddle.optimizer.RMSProp(1e-3, rho=0.99, epsilon=1e-4, parameters=parameters)

    report = _trained(
        ours, lambda parameters: torch.optim.RMSprop(parameters, 1e-3, eps=1e-4), extra
    )
    kinds = {finding.verdict: finding for finding in report.findings}
    assert "sqrt(mean + epsilon)" in kinds["framework-divergence"].cause
    assert report.passed is (extra == 0.0)
    if extra:
        assert kinds["different"].reason.get("stage") in ("loss", "gradients")


def _direct(ours, theirs):
    torch.manual_seed(0)
    layer, module = _Paddle(), _Torch()
    optimizers = [ours(layer), theirs(module)]
    return pg.compare(layer, module, _batches(2), steps=2, optimizer=optimizers, options=OPTIONS)


def test_a_regularizer_beside_decoupled_decay_is_a_setting_of_its_own():
    def ours(layer):
        layer.fc1.weight.regularizer = paddle.regularizer.L2Decay(0.05)
        return _adamw(layer.parameters())

    report = _direct(ours, lambda module: _SmallAdamW(module.parameters(), 1e-3, weight_decay=0.1))
    failing = [finding for finding in report.findings if finding.fails]
    assert [finding.cause_id for finding in failing] == ["optimizer.coupled_weight_decay"]
    assert "0.05 (paddle) against 0 (torch) for fc1.weight" in failing[0].cause


@pytest.mark.parametrize("limit", [0.01, 1e3], ids=["reached", "not reached"])
def test_a_hook_that_clips_as_the_optimizer_does_is_no_difference(limit):
    def ours(layer):
        clip = paddle.nn.ClipGradByGlobalNorm(limit)
        return paddle.optimizer.SGD(0.1, parameters=layer.parameters(), grad_clip=clip)

    def theirs(module):
        optimizer = torch.optim.SGD(module.parameters(), 0.1)

        def clip(*_):
            torch.nn.utils.clip_grad_norm_(module.parameters(), limit)

        optimizer.register_step_pre_hook(clip)
        return optimizer

    report = _direct(ours, theirs)
    assert report.passed, [finding.cause for finding in report.findings]
