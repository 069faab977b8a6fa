"""torch's optimizers in words that frameworks share: settings, state, a step, a try undone."""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from padiff_graph.capture.abilities import WatchedPass, WatchedStep
from padiff_graph.capture.master_weights import SETTING, masters_of, pieces_of, updated_in
from padiff_graph.capture.noted_closure import noting_first
from padiff_graph.capture.torch.passes import noting_passes
from padiff_graph.capture.torch.values import array, dtype

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
    "Adam": "Adam",
    "AdamW": "Adam",
    "RMSprop": "RMSProp",
    "Adagrad": "Adagrad",
    "Adadelta": "Adadelta",
    "Adamax": "Adamax",
    "NAdam": "NAdam",
    "RAdam": "RAdam",
    "Rprop": "Rprop",
    "ASGD": "ASGD",
    "LBFGS": "LBFGS",
}
"""Class name -> the update rule, by one name for both frameworks. Decay is no rule."""
WATCHES = "_padiff_graph_watches"
"""Attribute of a hook of `watching`."""
RULES = frozenset(ALGORITHMS.values())

SETTINGS = {
    "lr": "learning rate",
    "momentum": "momentum",
    "dampening": "dampening",
    "nesterov": "nesterov",
    "maximize": "maximize",
    "eps": "epsilon",
    "amsgrad": "amsgrad",
    "alpha": "rho",
    "rho": "rho",
    "centered": "centered",
    "momentum_decay": "momentum decay",
    "always_adapt": "always adapt",
    "lr_decay": "learning rate decay",
    "initial_accumulator_value": "initial accumulator",
}
"""Key of a parameter group -> the setting's name in both frameworks."""

STATE = {
    "exp_avg": "first moment",
    "exp_avg_sq": "second moment",
    "max_exp_avg_sq": "largest second moment",
    "momentum_buffer": "velocity",
    "square_avg": "mean square",
    "grad_avg": "mean gradient",
    "sum": "sum of squares",
    "acc_delta": "mean squared update",
    "exp_inf": "infinity norm",
}
"""Key of a parameter's state -> its name in both frameworks."""


def is_optimizer(thing: object) -> bool:
    """Whether a thing is one of this framework's optimizers."""
    return isinstance(thing, torch.optim.Optimizer)


def refusal(optimizer: torch.optim.Optimizer) -> str:
    """Why a step cannot be taken with it, "" where it can."""
    if isinstance(optimizer, torch.optim.LBFGS):
        return "torch.optim.LBFGS needs a closure; pass a function that takes the whole step"
    return ""


def trainable(model: torch.nn.Module) -> set[str]:
    """Names of the parameters whose gradient is asked for."""
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def settings(
    optimizer: torch.optim.Optimizer, model: torch.nn.Module
) -> dict[str, dict[str, object]]:
    """What the optimizer does to each parameter that it owns, by parameter name."""
    held = {name: dtype(parameter) for name, parameter in model.named_parameters()}
    kept_in_full = masters(optimizer, model)
    names = {id(tensor): [name] for name, tensor in _owned(model, kept_in_full).items()}
    names |= {id(flat): list(pieces) for flat, pieces in _flat(optimizer, model)}
    by_name = {}
    for group in optimizer.param_groups:
        common = _group_settings(optimizer, group)
        for parameter in group["params"]:
            for name in names.get(id(parameter), ()):
                full = updated_in(held[name], name in kept_in_full)
                by_name[name] = {**common, SETTING: full}
    return by_name


def masters(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> dict[str, Any]:
    """Float32 copies of weights in half precision that the optimizer owns, by parameter name: one
    tensor for each, or parts of a flat one."""
    found = masters_of(*_foreign(optimizer, model), dtype, _rounded, array)
    for _, pieces in _flat(optimizer, model):
        found.update(pieces)
    return found


def _foreign(
    optimizer: torch.optim.Optimizer, model: torch.nn.Module
) -> tuple[list[Any], list[tuple[str, Any]]]:
    """What the optimizer owns and the model does not; parameters that it does not own."""
    owned = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    own = {id(parameter) for parameter in model.parameters()}
    direct = {id(parameter) for parameter in owned}
    foreign = [parameter for parameter in owned if id(parameter) not in own]
    return foreign, [
        (name, each) for name, each in model.named_parameters() if id(each) not in direct
    ]


def _flat(
    optimizer: torch.optim.Optimizer, model: torch.nn.Module
) -> list[tuple[Any, dict[str, Any]]]:
    """Flat tensors of the optimizer's that hold several masters, with these as views."""
    foreign, left = _foreign(optimizer, model)
    single = {id(tensor) for tensor in masters_of(foreign, left, dtype, _rounded, array).values()}
    found = []
    for flat in foreign:
        pieces = {} if id(flat) in single else pieces_of(flat, left, dtype, _rounded, array)
        if pieces:
            found.append((flat, pieces))
            left = [(name, each) for name, each in left if name not in pieces]
    return found


def copies(model: torch.nn.Module, tensors: Sequence[Any]) -> dict[str, Any]:
    """Which of some tensors are float32 copies of weights in half precision."""
    return masters_of(tensors, model.named_parameters(), dtype, _rounded, array)


def _rounded(master: Any, parameter: Any) -> Array:
    return array(master.detach().to(parameter.dtype))


def _owned(model: torch.nn.Module, kept_in_full: Mapping[str, Any]) -> dict[str, Any]:
    """What an optimizer updates in the place of each parameter: the parameter, or its master."""
    return {**dict(model.named_parameters()), **kept_in_full}


def _group_settings(
    optimizer: torch.optim.Optimizer, group: Mapping[str, Any]
) -> dict[str, object]:
    rule = _rule(optimizer)
    own: dict[str, object] = {"algorithm": rule}
    for key, name in SETTINGS.items():
        if key in group and not (key == "alpha" and rule == "ASGD"):
            own[name] = _plain(group[key])
    if "betas" in group:
        own["beta1"], own["beta2"] = (float(beta) for beta in group["betas"])
    decay = float(group.get("weight_decay", 0.0))
    own["weight decay"] = decay
    if rule not in RULES:
        own["kind of weight decay"] = None  # only what it does can tell
    elif decay and (
        isinstance(optimizer, torch.optim.AdamW) or group.get("decoupled_weight_decay")
    ):
        own["kind of weight decay"] = "decoupled"
    elif decay:
        own["kind of weight decay"] = "added to the gradient (L2)"
    return own


def _rule(optimizer: torch.optim.Optimizer) -> str:
    """The update rule by its common name; by its place where it is none of the framework's own."""
    # torch wraps `step` of each class when one is made (`_patch_step_function`)
    if inspect.unwrap(type(optimizer).step).__module__.startswith("torch.optim"):
        for owner in type(optimizer).__mro__:
            if owner.__module__.startswith("torch.optim"):
                return ALGORITHMS.get(owner.__name__, owner.__name__)
    return f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"


def state(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> dict[str, dict[str, Array]]:
    """What the optimizer remembers: parameter name -> name of the state -> numbers."""
    names = dict(STATE)
    if isinstance(optimizer, torch.optim.RMSprop):
        del names["momentum_buffer"]  # holds no learning rate here, Paddle's does
    remembered: dict[str, dict[str, Array]] = {}
    for name, parameter in _owned(model, masters(optimizer, model)).items():
        numbers = {
            names[key]: np.array(array(value))
            for key, value in optimizer.state.get(parameter, {}).items()
            if key in names and isinstance(value, torch.Tensor) and value.shape == parameter.shape
        }
        if numbers:
            remembered[name] = numbers
    return remembered


@contextmanager
def watching(model: torch.nn.Module) -> Iterator[list[WatchedStep | WatchedPass]]:
    """Notes every step of any optimizer that owns parameters of the model, and backward passes.

    torch calls hooks on all optimizers before those of one: at an optimizer's first step the former
    adds one of the latter, which so comes behind the user's own hooks.
    """
    seen: list[WatchedStep | WatchedPass] = []
    handles: dict[int, Any] = {}

    def note(optimizer: torch.optim.Optimizer) -> None:
        owned = settings(optimizer, model)
        arrived = gradients(model) | _gradients(masters(optimizer, model).items())
        for flat, pieces in _flat(optimizer, model):
            if flat.grad is not None:
                arrived |= _gradients_of_pieces(array(flat.grad), pieces)
        handed = {name: arrived[name] for name in owned if name in arrived}
        if owned:
            seen.append(WatchedStep(optimizer, handed, owned))

    def ahead(optimizer: torch.optim.Optimizer, given: Any, named: Any) -> Any:
        return _behind_closure(given, named, lambda: note(optimizer))

    def first(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if id(optimizer) not in handles:
            handles[id(optimizer)] = optimizer.register_step_pre_hook(ahead)

    setattr(ahead, WATCHES, True)
    everywhere = register_optimizer_step_pre_hook(first)
    try:
        with noting_passes(model, lambda: gradients(model), seen.append):
            yield seen
    finally:
        for handle in (everywhere, *handles.values()):
            handle.remove()


def _behind_closure(given: Any, named: Any, note: Callable[[], None]) -> Any:
    """The arguments of a step whose gradients are noted: now, or behind the first call of a closure
    that computes them within the step."""
    position = 1 if len(given) > 1 else None
    closure = named.get("closure") if position is None else given[position]
    if closure is None:
        note()
        return None
    noted = noting_first(closure, note)
    if position is None:
        return given, {**named, "closure": noted}
    return (*given[:position], noted, *given[position + 1 :]), named


def schedule(optimizer: torch.optim.Optimizer) -> str:
    """As of `Optimizers`: a scheduler keeps the optimizer and marks its step, and is not known to
    it."""
    return "scheduler" if hasattr(optimizer.step, "_wrapped_by_lr_sched") else ""


def is_hooked(optimizer: torch.optim.Optimizer) -> bool:
    """Whether hooks of the user's run before a step; those of a running `watching` are not his."""
    hooks = vars(optimizer).get("_optimizer_step_pre_hooks") or {}
    return any(not getattr(hook, WATCHES, False) for hook in hooks.values())


def bare(optimizer: torch.optim.Optimizer) -> None:
    """Leaves the optimizer nothing but its update rule: no hooks."""
    attributes = vars(optimizer)
    attributes["_optimizer_step_pre_hooks"] = OrderedDict()
    attributes["_optimizer_step_post_hooks"] = OrderedDict()


def advance(optimizer: torch.optim.Optimizer) -> None:
    """One step, and gradients cleared."""
    optimizer.step()
    optimizer.zero_grad()


def learn(loss: Any) -> None:
    """Differentiates a loss into the parameters' own gradients, as a training loop does."""
    loss.backward()


def clear(model: torch.nn.Module) -> None:
    """Drops all gradients."""
    for parameter in model.parameters():
        parameter.grad = None


def gradients(model: torch.nn.Module) -> dict[str, Array]:
    """The gradients that arrived, by parameter name."""
    return _gradients(model.named_parameters())


def _gradients_of_pieces(flat: Array, pieces: Mapping[str, Any]) -> dict[str, Array]:
    """The gradients of parts that lie one behind the other."""
    ends = np.cumsum([piece.numel() for piece in pieces.values()])[:-1]
    parts = np.split(flat[: sum(piece.numel() for piece in pieces.values())], ends)
    return {
        name: np.array(part).reshape(tuple(piece.shape))
        for (name, piece), part in zip(pieces.items(), parts, strict=True)
    }


def _gradients(tensors: Iterable[tuple[str, Any]]) -> dict[str, Array]:
    return {
        name: np.array(array(tensor.grad)) for name, tensor in tensors if tensor.grad is not None
    }


def put_gradients(model: torch.nn.Module, numbers: Mapping[str, Array]) -> None:
    """Sets gradients by parameter name; parameters that are not named get none."""
    for name, parameter in model.named_parameters():
        parameter.grad = None
        if name in numbers:
            parameter.grad = torch.from_numpy(np.array(numbers[name])).to(parameter)


def overwrite(tensor: torch.Tensor, numbers: Array) -> None:
    """Puts numbers into a tensor."""
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.array(numbers)))


def saved(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> Callable[[], None]:
    """Remembers state, settings and the parameters' values; the answer, called, puts them back."""
    held = [*model.parameters(), *masters(optimizer, model).values()]
    weights = [(tensor, tensor.detach().clone()) for tensor in held]
    groups = [
        {key: _cloned(value) for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    memory = {
        parameter: {key: _cloned(value) for key, value in values.items()}
        for parameter, values in optimizer.state.items()
    }
    attributes = {
        name: value
        for name, value in vars(optimizer).items()
        if name not in ("state", "param_groups")
    }

    def put_back() -> None:
        with torch.no_grad():
            for parameter, values in weights:
                parameter.copy_(values)
                parameter.grad = None
        optimizer.state.clear()
        optimizer.state.update(memory)
        for group, before in zip(optimizer.param_groups, groups, strict=True):
            group.update(before)
        vars(optimizer).update(attributes)

    return put_back


@contextmanager
def kept(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> Iterator[None]:
    """Puts the optimizer's state and settings and the parameters' values back at the end."""
    put_back = saved(optimizer, model)
    try:
        yield
    finally:
        put_back()


def _cloned(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else copy.copy(value)


def _plain(value: Any) -> object:
    if isinstance(value, torch.Tensor):
        value = value.item()
    return value if isinstance(value, (bool, str, type(None))) else float(value)
