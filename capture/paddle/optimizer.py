"""Paddle's optimizers, in words both frameworks share: settings, state, one step, and trying
without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle

from padiff_graph.capture.abilities import WatchedPass, WatchedStep
from padiff_graph.capture.master_weights import HALVES, SETTING, masters_of, updated_in
from padiff_graph.capture.noted_closure import noting_first
from padiff_graph.capture.paddle.passes import noting_passes
from padiff_graph.capture.paddle.values import array, dtype

__all__ = [
    "advance",
    "bare",
    "clear",
    "copies",
    "gradients",
    "is_hooked",
    "is_optimizer",
    "kept",
    "learn",
    "masters",
    "overwrite",
    "put_gradients",
    "refusal",
    "saved",
    "schedule",
    "settings",
    "state",
    "trainable",
    "watching",
]

Array = np.ndarray[Any, Any]

ALGORITHMS = {
    "SGD": "SGD",
    "Momentum": "SGD",
    "Adam": "Adam",
    "AdamW": "Adam",
    "RMSProp": "RMSProp",
    "Adagrad": "Adagrad",
    "Adadelta": "Adadelta",
    "Adamax": "Adamax",
    "NAdam": "NAdam",
    "RAdam": "RAdam",
    "Rprop": "Rprop",
    "ASGD": "ASGD",
    "Lamb": "Lamb",
    "LBFGS": "LBFGS",
}
"""Class name -> the update rule, by one name for both frameworks. Decay is a setting, not a
rule."""

SETTINGS = {
    "_momentum": "momentum",
    "_use_nesterov": "nesterov",
    "_beta1": "beta1",
    "_beta2": "beta2",
    "_epsilon": "epsilon",
    "_amsgrad": "amsgrad",
    "_rho": "rho",
    "_centered": "centered",
    "_momentum_decay": "momentum decay",
    "always_adapt": "always adapt",
    "initial_accumulator_value": "initial accumulator",
}
"""Attribute of an optimizer -> the setting's name in both frameworks; also a group's key, without
"_"."""

STATE = {
    "moment1": "first moment",
    "moment2": "second moment",
    "moment2_max": "largest second moment",
    "velocity": "velocity",
    "mean_square": "mean square",
    "mean_grad": "mean gradient",
    "_avg_squared_grad": "mean square",
    "_avg_squared_update": "mean squared update",
    "inf_norm": "infinity norm",
}
"""Name of an accumulator -> its name in both frameworks."""
MOMENT = {"Adagrad": "sum of squares", "Adamax": "first moment"}
"""What the accumulator "moment" is, by the optimizer's class."""


def is_optimizer(thing: object) -> bool:
    """Whether a thing is one of this framework's optimizers."""
    return isinstance(thing, paddle.optimizer.Optimizer)


def refusal(optimizer: Any) -> str:
    """Why a step cannot be taken with it, "" where it can."""
    if isinstance(optimizer, paddle.optimizer.LBFGS):
        return "paddle.optimizer.LBFGS needs a closure; pass a function that takes the whole step"
    return ""


def trainable(model: paddle.nn.Layer) -> set[str]:
    """Names of the parameters whose gradient is asked for."""
    return {name for name, parameter in model.named_parameters() if not parameter.stop_gradient}


def settings(optimizer: Any, model: paddle.nn.Layer) -> dict[str, dict[str, object]]:
    """What the optimizer does to each of the layer's parameters that it owns, by parameter name."""
    held = {name: dtype(parameter) for name, parameter in model.named_parameters()}
    kept_in_full = masters(optimizer, model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    names |= {id(tensor): name for name, tensor in kept_in_full.items()}
    by_name = {}
    for group in _groups(optimizer):
        for parameter in group["params"]:
            if id(parameter) in names:
                name = names[id(parameter)]
                # its own masters are made at its first step (paddle/optimizer/optimizer.py, 3.x)
                full = name in kept_in_full or getattr(optimizer, "_multi_precision", False)
                by_name[name] = _parameter_settings(optimizer, group, parameter)
                by_name[name][SETTING] = updated_in(held[name], bool(full))
    return by_name


def masters(optimizer: Any, model: paddle.nn.Layer) -> dict[str, Any]:
    """Float32 copies of weights in half precision, by parameter name: those that the optimizer made
    itself, and tensors that it owns in their place."""
    made = getattr(optimizer, "_master_weights", None) or {}
    found = {
        name: made[parameter.name]
        for name, parameter in model.named_parameters()
        if parameter.name in made and dtype(parameter) in HALVES
    }
    owned = [parameter for group in _groups(optimizer) for parameter in group["params"]]
    own = {id(parameter) for parameter in model.parameters()}
    direct = {id(parameter) for parameter in owned}
    foreign = [parameter for parameter in owned if id(parameter) not in own]
    left = [(name, each) for name, each in model.named_parameters() if id(each) not in direct]
    by_hand = masters_of(foreign, left, dtype, _rounded, array)
    return {**found, **by_hand}


def copies(model: paddle.nn.Layer, tensors: Sequence[Any]) -> dict[str, Any]:
    """Which of some tensors are float32 copies of weights in half precision."""
    return masters_of(tensors, model.named_parameters(), dtype, _rounded, array)


def _rounded(master: Any, parameter: Any) -> Array:
    return array(master.detach().astype(dtype(parameter)))


def _groups(optimizer: Any) -> list[dict[str, Any]]:
    groups = list(optimizer._param_groups or [])
    if groups and isinstance(groups[0], dict):
        return groups
    return [{"params": list(optimizer._parameter_list or [])}]


def _parameter_settings(
    optimizer: Any, group: Mapping[str, Any], parameter: Any
) -> dict[str, object]:
    told: dict[str, object] = {"algorithm": _rule(optimizer)}
    for attribute, name in SETTINGS.items():
        value = group.get(attribute.lstrip("_"), getattr(optimizer, attribute, None))
        if value is not None:
            told[name] = _plain(value)
    told["learning rate"] = _learning_rate(optimizer, parameter)
    decay, how = _decay(optimizer, group, parameter)
    told["weight decay"] = decay
    if OWN in str(told["algorithm"]):
        told["kind of weight decay"] = None  # only what it does can tell
    elif decay:
        told["kind of weight decay"] = how
    if isinstance(optimizer, OWN_DECAY) and getattr(parameter, "regularizer", None) is not None:
        # its own decay does not replace a regularizer: Paddle computes both
        told["coupled weight decay"] = _coefficient(parameter.regularizer)
    if optimizer._grad_clip is not None and getattr(parameter, "need_clip", True):
        told["gradient clipping"] = str(optimizer._grad_clip)
    if getattr(optimizer, "_rescale_grad", 1.0) != 1.0:
        told["gradient scale"] = float(optimizer._rescale_grad)
    return told


def _learning_rate(optimizer: Any, parameter: Any) -> float:
    """The rate with the parameter's own factor, and AdamW's and its like's by `lr_ratio`."""
    # LBFGS hands no rate on to what it inherits from (paddle/optimizer/lbfgs.py, 3.x)
    whole = isinstance(optimizer, paddle.optimizer.LBFGS)
    rate = float(optimizer.learning_rate if whole else optimizer.get_lr())
    own = getattr(parameter, "optimize_attr", None) or {}
    rate *= float(own.get("learning_rate", 1.0))
    ratio = getattr(optimizer, "_lr_ratio", None)
    if ratio:
        rate *= float(ratio(parameter))
    return rate


def _decay(optimizer: Any, group: Mapping[str, Any], parameter: Any) -> tuple[float, str]:
    """A parameter's weight decay and its kind."""
    if isinstance(optimizer, paddle.optimizer.AdamW):
        return _adamw_decay(optimizer, group, parameter), DECOUPLED
    if isinstance(optimizer, paddle.optimizer.Lamb):
        return _lamb_decay(optimizer, parameter), DECOUPLED
    # a parameter's own regularizer wins over the optimizer's
    own = getattr(parameter, "regularizer", None)
    if own is None and getattr(optimizer, "_regularization_method", "") == "l2_decay":
        return float(optimizer._regularization_coeff), L2
    regularizer = own
    if own is None:
        regularizer = group.get("weight_decay", optimizer.regularization)
    if regularizer is None:
        return 0.0, ""
    if isinstance(regularizer, (int, float)):
        return float(regularizer), L2
    rule = L1 if isinstance(regularizer, paddle.regularizer.L1Decay) else L2
    return _coefficient(regularizer), rule


def _coefficient(regularizer: Any) -> float:
    coefficient = getattr(regularizer, "_regularization_coeff", 0.0)
    return float(getattr(regularizer, "_coeff", coefficient))


def _rule(optimizer: Any) -> str:
    """The update rule by its common name; by its place where it is none of the framework's own."""
    for owner in type(optimizer).__mro__:
        if owner.__module__.startswith("paddle.optimizer"):
            return ALGORITHMS.get(owner.__name__, owner.__name__)
        if not REPLACED.isdisjoint(vars(owner)):
            break
    return f"{type(optimizer).__module__}{OWN}{type(optimizer).__qualname__}"


def _adamw_decay(optimizer: Any, group: Mapping[str, Any], parameter: Any) -> float:
    wanted = optimizer._apply_decay_param_fun
    if wanted is not None and not wanted(parameter.name):
        return 0.0
    return float(group.get("weight_decay", optimizer._weight_decay) or 0.0)


def _lamb_decay(optimizer: Any, parameter: Any) -> float:
    spared = getattr(optimizer, "_exclude_from_weight_decay_fn", None)
    if spared is not None and spared(parameter):
        return 0.0
    return float(optimizer._lamb_weight_decay)


OWN_DECAY = (paddle.optimizer.AdamW, paddle.optimizer.Lamb)
"""Optimizers that decay weights by themselves."""
OWN = "."
"""What is in the name of a rule that is no framework's own: its place."""
REPLACED = frozenset({"step", "_append_optimize_op", "_apply_optimize"})
"""What a subclass defines that has an update rule of its own."""
DECOUPLED = "decoupled"
L1 = "added to the gradient (L1)"
L2 = "added to the gradient (L2)"


def state(optimizer: Any, model: paddle.nn.Layer) -> dict[str, dict[str, Array]]:
    """What the optimizer remembers of each parameter: parameter name -> name of the state ->
    numbers."""
    memory: dict[str, dict[str, Array]] = {}
    kept_in_full = masters(optimizer, model)
    for key, accumulators in optimizer._accumulators.items():
        meaning = _meaning(optimizer, key)
        if meaning is None:
            continue
        for name, parameter in model.named_parameters():
            # those of a master are kept by the master's name
            owner = kept_in_full.get(name, parameter)
            accumulated = accumulators.get(parameter.name, accumulators.get(owner.name))
            if accumulated is not None and list(accumulated.shape) == list(parameter.shape):
                memory.setdefault(name, {})[meaning] = array(accumulated)
    return memory


def _meaning(optimizer: Any, key: str) -> str | None:
    """What an accumulator is, None where no other framework has it."""
    kind = type(optimizer).__name__
    if kind == "RMSProp" and key == "mean_grad" and not optimizer._centered:
        return None
    return MOMENT.get(kind) if key == "moment" else STATE.get(key)


@contextmanager
def watching(model: paddle.nn.Layer) -> Iterator[list[WatchedStep | WatchedPass]]:
    """Notes every step of any optimizer that owns parameters of the layer, and backward passes.

    Every optimizer adds its regularization to the gradients when they are clipped and nothing else
    is done to them (paddle/optimizer/optimizer.py, `_apply_optimize`, 3.x): the class's method
    is watched there while the context lasts. LBFGS goes its own way; its step is watched itself.
    """
    seen: list[WatchedStep | WatchedPass] = []
    base = paddle.optimizer.Optimizer
    original = base.append_regularization_ops

    def noted(optimizer: Any, handed: Any, *arguments: Any, **named: Any) -> Any:
        _note(seen, optimizer, model, handed)
        return original(optimizer, handed, *arguments, **named)

    whole = paddle.optimizer.LBFGS
    stepping = whole.step

    def stepped(optimizer: Any, closure: Any) -> Any:
        def note() -> None:
            owned = [each for group in _groups(optimizer) for each in group["params"]]
            _note(seen, optimizer, model, [(each, each.grad) for each in owned])

        return stepping(optimizer, noting_first(closure, note))

    base.append_regularization_ops = noted
    whole.step = stepped
    try:
        with noting_passes(model, lambda: gradients(model), seen.append):
            yield seen
    finally:
        base.append_regularization_ops = original
        whole.step = stepping


def _note(
    seen: list[WatchedStep | WatchedPass],
    optimizer: Any,
    model: paddle.nn.Layer,
    handed: list[tuple[Any, Any]],
) -> None:
    """Adds a step; each group of parameters comes by itself and belongs to the step before it."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    names |= {id(tensor): name for name, tensor in masters(optimizer, model).items()}
    arrived = {
        names[id(parameter)]: array(gradient)
        for parameter, gradient in handed
        if id(parameter) in names and gradient is not None
    }
    owned = settings(optimizer, model)
    if not owned:
        return
    last = seen[-1] if seen else None
    if (
        isinstance(last, WatchedStep)
        and last.optimizer is optimizer
        and not arrived.keys() & last.gradients.keys()
    ):
        arrived = {**last.gradients, **arrived}
        seen.pop()
    seen.append(WatchedStep(optimizer, arrived, owned))


def schedule(optimizer: Any) -> str:
    """As of `Optimizers`."""
    rate = optimizer._learning_rate
    return type(rate).__name__ if isinstance(rate, paddle.optimizer.lr.LRScheduler) else ""


def is_hooked(optimizer: Any) -> bool:
    """Never: Paddle's optimizers have no hooks."""
    return False


def bare(optimizer: Any) -> None:
    """Leaves the optimizer nothing but its update rule: no clipping."""
    optimizer._grad_clip = None
    for group in _groups(optimizer):
        if "grad_clip" in group:
            group["grad_clip"] = None


def advance(optimizer: Any) -> None:
    """One step, and gradients cleared."""
    optimizer.step()
    optimizer.clear_grad()


def learn(loss: Any) -> None:
    """Differentiates a loss into the parameters' own gradients, as a training loop does."""
    loss.backward()


def clear(model: paddle.nn.Layer) -> None:
    """Drops all gradients."""
    for parameter in model.parameters():
        parameter.clear_gradient(False)


def gradients(model: paddle.nn.Layer) -> dict[str, Array]:
    """The gradients that arrived, by parameter name."""
    return {
        name: array(parameter.grad)
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def put_gradients(model: paddle.nn.Layer, numbers: Mapping[str, Array]) -> None:
    """Sets gradients by parameter name; parameters that are not named get none."""
    for name, parameter in model.named_parameters():
        given = numbers.get(name)
        parameter.clear_gradient(False)
        if given is not None:
            parameter.grad = paddle.to_tensor(np.array(given), place=parameter.place).astype(
                dtype(parameter)
            )
            # cleared gradients are overwritten by the next backward, these are to be added to
            parameter._unset_fake_empty()


def overwrite(tensor: paddle.Tensor, numbers: Array) -> None:
    """Puts numbers into a tensor."""
    with paddle.no_grad():
        paddle.assign(paddle.to_tensor(np.array(numbers)).astype(dtype(tensor)), tensor)


def saved(optimizer: Any, model: paddle.nn.Layer) -> Callable[[], None]:
    """Remembers the optimizer's state and settings and the parameters' values; called, the answer
    puts them back."""
    held = [*model.parameters(), *masters(optimizer, model).values()]
    weights = [(tensor, tensor.detach().clone()) for tensor in held]
    memory: list[tuple[Any, Any]] = []
    attributes = {name: (value, _copied(value, memory)) for name, value in vars(optimizer).items()}

    def put_back() -> None:
        with paddle.no_grad():
            for tensor, values in [*weights, *memory]:
                paddle.assign(values, tensor)
        for parameter, _ in weights:
            parameter.clear_gradient(False)
        for name in [name for name in vars(optimizer) if name not in attributes]:
            delattr(optimizer, name)
        for name, (own, copied) in attributes.items():
            vars(optimizer)[name] = _refilled(own, copied)

    return put_back


@contextmanager
def kept(optimizer: Any, model: paddle.nn.Layer) -> Iterator[None]:
    """Puts the optimizer's state and settings and the parameters' values back at the end."""
    put_back = saved(optimizer, model)
    try:
        yield
    finally:
        put_back()


def _refilled(own: Any, copied: Any) -> Any:
    """The optimizer's own container with what it held; others may hold it too."""
    if isinstance(own, dict):
        own.clear()
        own.update(copied)
    elif isinstance(own, list):
        own[:] = copied
    elif isinstance(own, set):
        own.clear()
        own |= copied
    return own


def _copied(value: Any, memory: list[tuple[Any, Any]]) -> Any:
    """A copy of nested containers around the same tensors, whose numbers go into `memory`."""
    if isinstance(value, dict):
        fresh = value.copy()
        for key, member in value.items():
            fresh[key] = _copied(member, memory)
        return fresh
    if isinstance(value, (list, set)):
        return type(value)(_copied(member, memory) for member in value)
    if isinstance(value, paddle.Tensor) and not isinstance(
        value, paddle.base.framework.EagerParamBase
    ):
        memory.append((value, value.detach().clone()))
    return value


def _plain(value: Any) -> object:
    if isinstance(value, paddle.Tensor):
        value = float(value)
    return value if isinstance(value, (bool, str)) else float(value)
