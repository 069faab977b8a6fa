"""How one side of a pair is trained: a recipe of plain knobs, and what makes losses, optimizers
and loops of it in either framework.

A training fault is a recipe in which a knob stands otherwise than in the other side's. What a
recipe says is done with each framework's own functions, as published training code does it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import paddle
import torch

__all__ = ["Recipe", "Side", "paddle_side", "torch_side"]

Loss = Callable[[Any, int, int, int], Any]
"""A loss of the model's output, the number of the batch, and which of how many parts of it."""


@dataclass(frozen=True)
class Recipe:
    """One side's training.

    Attributes:
        route: what is handed to the check: "optimizer", "callable" or "loop".
        smoothing, reduction, ignore, shift, weighted, auxiliary, twice, half, blank, distance,
            region, masked: of the loss; each family of losses reads its own.
        micro, divided, cleared: backward passes before a step, whether each is divided by their
            number, whether gradients are cleared.
        scale, unscale: what the loss is multiplied by, and when that is taken back: "before" or
            "after" clipping, or "never".
        clip, limit, over: "", "global", "norm" or "value", at which limit, over "all" parameters or
            over the "matrices".
        frozen, stopped: whether vectors (biases, norms) are left out of the optimizer, or get no
            gradient.
        turns: how often the optimizer steps in one call.
        algorithm, rate, momentum, nesterov, dampening, beta1, beta2, epsilon, decay, spared, ratio,
            amsgrad, maximize, carried: of the optimizer; `spared` leaves vectors out of the decay,
            `ratio` is the factor of their rate, `carried` how many steps it has already seen.
        schedule, offset, before, length, gamma: "", "warmup", "cosine" or "steps"; by how many
            steps it is off, whether it moves ahead of the optimizer, its length and its factor.
        average, early, warm: the decay of an average of weights, whether it is taken ahead of the
            update, whether its decay warms up.
        brightness: what the loop multiplies its batch with.
        training: whether the loop trains in training mode.
    """

    route: str = "loop"
    smoothing: float = 0.0
    reduction: str = "mean"
    ignore: int | None = -100
    shift: int = 1
    weighted: bool = False
    auxiliary: float = 0.0
    twice: bool = False
    half: bool = False
    blank: int = 0
    distance: str = "l2"
    region: float = 1.0
    masked: bool = False
    micro: int = 1
    divided: bool = True
    cleared: bool = True
    scale: float = 1.0
    unscale: str = "before"
    clip: str = ""
    limit: float = 0.01
    over: str = "all"
    frozen: bool = False
    stopped: bool = False
    turns: int = 1
    algorithm: str = "sgd"
    rate: float = 1e-2
    momentum: float = 0.9
    nesterov: bool = False
    dampening: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    decay: float = 0.0
    spared: bool = False
    ratio: float = 1.0
    amsgrad: bool = False
    maximize: bool = False
    carried: int = 0
    schedule: str = ""
    offset: int = 0
    before: bool = False
    length: int = 4
    gamma: float = 0.1
    average: float = 0.0
    early: bool = False
    warm: bool = False
    brightness: float = 1.0
    training: bool = True


@dataclass(frozen=True)
class Side:
    """What one side hands to the check.

    Attributes:
        loss: of the model's output, where the check makes the steps.
        stepper: an optimizer, a callable, or a step of a loop.
        average: the averaged model, None where there is none.
    """

    loss: Callable[[Any], Any]
    stepper: Any
    average: Any = None


def factor(recipe: Recipe, epoch: int) -> float:
    """What a warm-up multiplies the rate with."""
    return min(1.0, (epoch + 1 + recipe.offset) / recipe.length)


def vectors(model: Any) -> list[Any]:
    """Biases and the weights of norms."""
    return [parameter for parameter in model.parameters() if len(parameter.shape) == 1]


def matrices(model: Any) -> list[Any]:
    """All parameters but biases and the weights of norms."""
    return [parameter for parameter in model.parameters() if len(parameter.shape) != 1]


def taken(batch: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The batch as the loop gives it to the model."""
    if recipe.brightness == 1.0:
        return dict(batch)
    return {
        name: value * recipe.brightness if "float" in str(value.dtype) else value
        for name, value in batch.items()
    }


def parts(batch: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """A batch cut along its first axis."""
    if count == 1:
        return [dict(batch)]
    cut = {name: max(1, value.shape[0] // count) for name, value in batch.items()}
    return [
        {
            name: value[number * cut[name] : (number + 1) * cut[name]]
            for name, value in batch.items()
        }
        for number in range(count)
    ]


def averaged(old: Any, new: Any, recipe: Recipe, count: int) -> Any:
    """A moving average of weights."""
    decay = min(recipe.average, (1 + count) / (10 + count)) if recipe.warm else recipe.average
    return old * decay + new * (1 - decay)


# -- Paddle


def paddle_side(model: Any, recipe: Recipe, loss: Loss) -> Side:
    """A Paddle model's training."""
    if recipe.stopped:
        for parameter in vectors(model):
            parameter.stop_gradient = True
    rate: Any = _paddle_schedule(recipe)
    optimizer = _paddle_optimizer(model, recipe, rate)
    _carry_paddle(model, optimizer, recipe)
    if recipe.route == "optimizer":
        return Side(lambda output: loss(output, 0, 0, 1), optimizer)
    average = copy.deepcopy(model) if recipe.average else None
    if average is not None:
        average.set_state_dict(model.state_dict())
    count = [0]

    def update() -> None:
        if recipe.scale != 1.0 and recipe.unscale == "before":
            _paddle_divide(model, recipe.scale)
        _paddle_clip(model, recipe)
        if recipe.scale != 1.0 and recipe.unscale == "after":
            _paddle_divide(model, recipe.scale)
        if recipe.before and recipe.schedule:
            rate.step()
        if average is not None and recipe.early:
            _paddle_average(average, model, recipe, count[0])
        for _ in range(recipe.turns):
            optimizer.step()
        if average is not None and not recipe.early:
            _paddle_average(average, model, recipe, count[0])
        if recipe.cleared:
            optimizer.clear_grad()
        if not recipe.before and recipe.schedule:
            rate.step()
        count[0] += 1

    if recipe.route == "callable":
        return Side(lambda output: loss(output, 0, 0, 1), update, average)

    def step(model: Any, batch: Any) -> Any:
        model.train() if recipe.training else model.eval()
        total = 0.0
        for part, cut in enumerate(parts(taken(batch, recipe), recipe.micro)):
            value = loss(model(**cut), count[0], part, recipe.micro)
            total += float(value) / recipe.micro
            value = value / recipe.micro if recipe.divided else value
            (value * recipe.scale if recipe.scale != 1.0 else value).backward()
        update()
        return total

    return Side(lambda output: loss(output, 0, 0, 1), step, average)


def _paddle_schedule(recipe: Recipe) -> Any:
    schedules = paddle.optimizer.lr
    if recipe.schedule == "warmup":
        return schedules.LambdaDecay(recipe.rate, lambda epoch: factor(recipe, epoch))
    if recipe.schedule == "cosine":
        return schedules.CosineAnnealingDecay(recipe.rate, recipe.length)
    if recipe.schedule == "steps":
        return schedules.StepDecay(recipe.rate, recipe.length, recipe.gamma)
    return recipe.rate


def _paddle_optimizer(model: Any, recipe: Recipe, rate: Any) -> Any:
    parameters: Any = list(model.parameters())
    trained = matrices(model) if recipe.frozen else parameters
    if recipe.ratio != 1.0:
        for parameter in vectors(model):
            parameter.optimize_attr = {"learning_rate": recipe.ratio}
    kinds = paddle.optimizer
    moments = {"beta1": recipe.beta1, "beta2": recipe.beta2, "epsilon": recipe.epsilon}
    decay = recipe.decay or None
    kept = {parameter.name for parameter in matrices(model)}
    spared = (lambda name: name in kept) if recipe.spared else None
    made: dict[str, Callable[[], Any]] = {
        "sgd": lambda: (
            kinds.Momentum(
                rate, recipe.momentum, trained, use_nesterov=recipe.nesterov, weight_decay=decay
            )
            if recipe.momentum
            else kinds.SGD(rate, trained, weight_decay=decay)
        ),
        "adam": lambda: kinds.Adam(
            rate, parameters=trained, weight_decay=decay, amsgrad=recipe.amsgrad, **moments
        ),
        "adamw": lambda: kinds.AdamW(
            rate,
            parameters=trained,
            weight_decay=recipe.decay,
            amsgrad=recipe.amsgrad,
            apply_decay_param_fun=spared,
            **moments,
        ),
        "rmsprop": lambda: kinds.RMSProp(
            rate, rho=0.99, epsilon=recipe.epsilon, parameters=trained
        ),
        "adamax": lambda: kinds.Adamax(rate, parameters=trained, **moments),
        "adagrad": lambda: kinds.Adagrad(rate, epsilon=recipe.epsilon, parameters=trained),
    }
    return made[recipe.algorithm]()


def _carry_paddle(model: Any, optimizer: Any, recipe: Recipe) -> None:
    """Steps on made-up gradients; the weights are put back, what the optimizer remembers stays."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    for number in range(recipe.carried):
        generator = torch.Generator().manual_seed(number)
        for parameter in model.parameters():
            noise = torch.randn(list(parameter.shape), generator=generator).numpy()
            parameter.grad = paddle.to_tensor(noise * 1e-2)
        optimizer.step()
        optimizer.clear_grad()
    if recipe.carried:
        model.set_state_dict(weights)


def _paddle_divide(model: Any, scale: float) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad = parameter.grad / scale


def _paddle_clip(model: Any, recipe: Recipe) -> None:
    over = matrices(model) if recipe.over == "matrices" else list(model.parameters())
    over = [parameter for parameter in over if parameter.grad is not None]
    if recipe.clip == "global":
        paddle.nn.utils.clip_grad_norm_(over, recipe.limit)
    elif recipe.clip == "norm":
        for parameter in over:
            paddle.nn.utils.clip_grad_norm_([parameter], recipe.limit)
    elif recipe.clip == "value":
        paddle.nn.utils.clip_grad_value_(over, recipe.limit)


@paddle.no_grad()
def _paddle_average(average: Any, model: Any, recipe: Recipe, count: int) -> None:
    for old, new in zip(average.parameters(), model.parameters(), strict=True):
        paddle.assign(averaged(old, new, recipe, count), old)


# -- torch


def torch_side(model: Any, recipe: Recipe, loss: Loss) -> Side:
    """A torch model's training."""
    if recipe.stopped:
        for parameter in vectors(model):
            parameter.requires_grad_(False)
    optimizer = _torch_optimizer(model, recipe)
    schedule = _torch_schedule(optimizer, recipe)
    if recipe.route == "optimizer":
        return Side(lambda output: loss(output, 0, 0, 1), optimizer)
    average = copy.deepcopy(model) if recipe.average else None
    count = [0]

    def update() -> None:
        if recipe.scale != 1.0 and recipe.unscale == "before":
            _torch_divide(model, recipe.scale)
        _torch_clip(model, recipe)
        if recipe.scale != 1.0 and recipe.unscale == "after":
            _torch_divide(model, recipe.scale)
        for _ in range(recipe.turns):
            optimizer.step()
        if average is not None:
            _torch_average(average, model, recipe, count[0])
        if recipe.cleared:
            optimizer.zero_grad()
        if schedule is not None:
            schedule.step()
        count[0] += 1

    if recipe.route == "callable":
        return Side(lambda output: loss(output, 0, 0, 1), update, average)

    def step(model: Any, batch: Any) -> Any:
        model.train() if recipe.training else model.eval()
        total = 0.0
        for part, cut in enumerate(parts(taken(batch, recipe), recipe.micro)):
            value = loss(model(**cut), count[0], part, recipe.micro)
            total += float(value) / recipe.micro
            value = value / recipe.micro if recipe.divided else value
            (value * recipe.scale if recipe.scale != 1.0 else value).backward()
        update()
        return total

    return Side(lambda output: loss(output, 0, 0, 1), step, average)


def _torch_optimizer(model: Any, recipe: Recipe) -> Any:
    groups: Sequence[Any] = [{"params": matrices(model)}]
    if not recipe.frozen:
        rest: dict[str, Any] = {"params": vectors(model), "lr": recipe.rate * recipe.ratio}
        if recipe.spared:
            rest["weight_decay"] = 0.0
        groups = [*groups, rest]
    kinds = torch.optim
    moments: dict[str, Any] = {"betas": (recipe.beta1, recipe.beta2), "eps": recipe.epsilon}
    common: dict[str, Any] = {"lr": recipe.rate, "weight_decay": recipe.decay}
    made: dict[str, Callable[[], Any]] = {
        "sgd": lambda: kinds.SGD(
            groups,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            dampening=recipe.dampening,
            maximize=recipe.maximize,
            **common,
        ),
        "adam": lambda: kinds.Adam(groups, amsgrad=recipe.amsgrad, **moments, **common),
        "adamw": lambda: kinds.AdamW(groups, amsgrad=recipe.amsgrad, **moments, **common),
        "rmsprop": lambda: kinds.RMSprop(groups, alpha=0.99, eps=recipe.epsilon, **common),
        "adamax": lambda: kinds.Adamax(groups, **moments, **common),
        "adagrad": lambda: kinds.Adagrad(groups, eps=recipe.epsilon, **common),
    }
    return made[recipe.algorithm]()


def _torch_schedule(optimizer: Any, recipe: Recipe) -> Any:
    schedules = torch.optim.lr_scheduler
    if recipe.schedule == "warmup":
        return schedules.LambdaLR(optimizer, lambda epoch: factor(recipe, epoch))
    if recipe.schedule == "cosine":
        return schedules.CosineAnnealingLR(optimizer, recipe.length)
    if recipe.schedule == "steps":
        return schedules.StepLR(optimizer, recipe.length, recipe.gamma)
    return None


def _torch_divide(model: Any, scale: float) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.div_(scale)


def _torch_clip(model: Any, recipe: Recipe) -> None:
    over = matrices(model) if recipe.over == "matrices" else list(model.parameters())
    if recipe.clip == "global":
        torch.nn.utils.clip_grad_norm_(over, recipe.limit)
    elif recipe.clip == "norm":
        for parameter in over:
            torch.nn.utils.clip_grad_norm_([parameter], recipe.limit)
    elif recipe.clip == "value":
        torch.nn.utils.clip_grad_value_(over, recipe.limit)


@torch.no_grad()
def _torch_average(average: Any, model: Any, recipe: Recipe, count: int) -> None:
    for old, new in zip(average.parameters(), model.parameters(), strict=True):
        old.copy_(averaged(old, new, recipe, count))
