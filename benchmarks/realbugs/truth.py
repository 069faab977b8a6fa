"""What is true of a pair, from plain runs of the frameworks: no tool is asked.

Each quantity as the largest difference over the largest value. Two correct float32 models stay
below `NOISE`, a bug stands above `SEEN`; `of` refuses nothing, tests hold the cases against both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import torch

from benchmarks.realbugs.case import Case, Pair
from benchmarks.realbugs.pairing import example

__all__ = ["NOISE", "SEEN", "agrees", "of"]

NOISE = 2e-6
"""What rounding explains in models of this size; healthy forms measure up to 1e-6."""
SEEN = 5e-6
"""What a bug that changes a number must reach. The weakest is an epsilon behind values of unit
size, as in BERT's blocks."""
SAME_IN_HALF = 0.0
"""Two healthy forms in half precision are written cast for cast alike, so they agree exactly."""


def of(case: Case, faulty: bool) -> dict[str, float]:
    """Quantity -> relative difference of one form of the case."""
    torch.manual_seed(0)
    paddle.seed(0)
    np.random.seed(0)
    if case.precision and case.twin is not None:
        return {"rounded output": _rounded(case, faulty)}
    made = case.build(faulty)
    ours, theirs = example(made.arrays)
    first, second = _paddle_run(made, ours), _torch_run(made, theirs)
    differences = {
        quantity: _largest(first.get(quantity, {}), second.get(quantity, {}))
        for quantity in {*first, *second}
    }
    return differences | _trained(made, ours, theirs)


def agrees(case: Case) -> list[str]:
    """What contradicts the case's own claims; nothing where they hold."""
    healthy, faulty = of(case, False), of(case, True)
    noise = SAME_IN_HALF if case.precision else NOISE
    wrong = [
        f"{case.name}: the healthy form differs in {quantity} by {size:.1e}"
        for quantity, size in healthy.items()
        if size > noise
    ]
    for quantity, size in faulty.items():
        if quantity in case.changes and size < SEEN:
            wrong.append(f"{case.name}: {quantity} differs by {size:.1e} only")
        if not case.changes and size > noise:
            wrong.append(f"{case.name}: harmless, but {quantity} differs by {size:.1e}")
    missing = [quantity for quantity in case.changes if quantity not in faulty]
    return wrong + [f"{case.name}: {quantity} was not measured" for quantity in missing]


def _largest(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The largest relative difference of arrays by name; infinite where one is missing."""
    worst = 0.0
    for name in first.keys() | second.keys():
        ours, theirs = first.get(name), second.get(name)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            present = ours if theirs is None else theirs
            if ours is None or theirs is None:
                worst = max(worst, float("inf") if np.any(present) else 0.0)
                continue
            return float("inf")
        scale = max(float(np.abs(theirs).max(initial=0.0)), 1e-12)
        apart = np.abs(ours.astype("float64") - theirs.astype("float64"))
        worst = max(worst, float(apart.max(initial=0.0)) / scale)
    return worst


def _leaves(value: Any) -> list[Any]:
    """The tensors of an answer, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in _leaves(part)]
    return [] if value is None else [value]


def _cotangent(number: int, shape: Any) -> Any:
    return np.random.RandomState(1000 + number).standard_normal(tuple(shape)).astype("float32")


def _paddle_run(made: Pair, inputs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Outputs, gradients and written buffers of the port."""
    layer = made.layer
    kept = _kept(layer)
    before = {name: value.numpy().copy() for name, value in kept.items()}
    answers = _leaves(layer(**inputs))
    seen = {"output": {str(i): answer.numpy() for i, answer in enumerate(answers)}}
    parts = [
        (answer * paddle.to_tensor(_cotangent(i, answer.shape))).sum()
        for i, answer in enumerate(answers)
        if answer.dtype == paddle.float32 and not answer.stop_gradient
    ]
    if parts:
        sum(parts[1:], parts[0]).backward()
    linears = {
        f"{path}.weight"
        for path, sub in layer.named_sublayers()
        if isinstance(sub, paddle.nn.Linear)
    }
    gradients = {}
    for name, parameter in layer.named_parameters():
        if parameter.grad is not None:
            value = parameter.grad.numpy()
            value = value.T if name in linears else value
            gradients[name] = value[np.argsort(made.rows[name])] if name in made.rows else value
    written = {}
    for name, value in kept.items():
        if not np.array_equal(before[name], value.numpy()):
            written[name] = value.numpy().copy()
        value.set_value(before[name])
    layer.clear_gradients()
    return seen | {"gradient": gradients, "buffer": written}


def _kept(layer: Any) -> dict[str, Any]:
    """What a forward may write: buffers, and a norm's statistics, which Paddle has as parameters
    without a gradient."""
    still = {name: value for name, value in layer.named_parameters() if value.stop_gradient}
    return dict(layer.named_buffers()) | still


def _biased(module: Any, before: dict[str, Any]) -> dict[str, Any]:
    """Running variances as Paddle keeps them, from the biased variance of a batch: the frameworks
    differ in this as known, and no port can help it."""
    variances = {}
    for path, norm in module.named_modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm) and hasattr(norm, "seen"):
            name = f"{path}.running_var".lstrip(".")
            old = before[name] * (1 - norm.momentum)
            variances[name] = old + (norm.running_var - old) * (norm.seen - 1) / norm.seen
    return variances


def _count(norm: Any, inputs: Any, output: Any) -> None:
    """A hook: how many numbers a channel's statistics are of."""
    if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm) and norm.training:
        norm.seen = inputs[0].numel() / inputs[0].shape[1]


def _torch_run(made: Pair, inputs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same of the reference, buffers by Paddle's names."""
    module = made.module
    before = {name: value.detach().clone() for name, value in module.named_buffers()}
    hooks = [sub.register_forward_hook(_count) for sub in module.modules()]
    answers = _leaves(module(**inputs))
    for hook in hooks:
        hook.remove()
    variances = _biased(module, before)
    seen = {"output": {str(i): answer.detach().numpy() for i, answer in enumerate(answers)}}
    parts = [
        (answer * torch.from_numpy(_cotangent(i, answer.shape))).sum()
        for i, answer in enumerate(answers)
        if answer.dtype == torch.float32 and answer.requires_grad
    ]
    if parts:
        sum(parts[1:], parts[0]).backward()
    gradients = {
        name: parameter.grad.numpy().copy()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
    written = {}
    for name, value in module.named_buffers():
        if not torch.equal(before[name], value):
            renamed = name.replace("running_mean", "_mean").replace("running_var", "_variance")
            if "num_batches_tracked" not in name:
                written[renamed] = variances.get(name, value).numpy().copy()
        value.data.copy_(before[name])
    module.zero_grad()
    return seen | {"gradient": gradients, "buffer": written}


def _trained(made: Pair, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """The loss, and the weights after the training that the pair asks for."""
    training = made.training
    if training is None:
        return {}
    seen: dict[str, float] = {}
    if training.losses is not None:
        first = training.losses[0](made.layer(**ours)).numpy()
        second = training.losses[1](made.module(**theirs)).detach().numpy()
        seen["loss"] = _largest({"": np.asarray(first)}, {"": np.asarray(second)})
    if training.optimizers is None and training.loops is None:
        return seen
    for _ in range(training.steps):
        _one_step(made, ours, theirs)
    linears = {
        f"{path}.weight"
        for path, sub in made.layer.named_sublayers()
        if isinstance(sub, paddle.nn.Linear)
    }
    moved = {
        name: value.numpy().T if name in linears else value.numpy()
        for name, value in made.layer.named_parameters()
    }
    reference = {name: value.detach().numpy() for name, value in made.module.named_parameters()}
    return seen | {"weights": _largest(moved, reference)}


def _one_step(made: Pair, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """One step of both trainings."""
    training = made.training
    assert training is not None
    if training.loops is not None:
        training.loops[0](made.layer, ours)
        training.loops[1](made.module, theirs)
        return
    assert training.losses is not None and training.optimizers is not None
    training.losses[0](made.layer(**ours)).backward()
    training.losses[1](made.module(**theirs)).backward()
    for optimizer in training.optimizers:
        optimizer.step() if hasattr(optimizer, "step") else optimizer()
    for optimizer, clear in zip(training.optimizers, ("clear_grad", "zero_grad"), strict=True):
        getattr(optimizer, clear, lambda: None)()


def _rounded(case: Case, faulty: bool) -> float:
    """How far the port's twin is from the reference, both run in half precision by torch."""
    assert case.twin is not None
    twin = case.twin(faulty)
    dtype = getattr(torch, case.precision)
    answers = []
    for model in (twin.port, twin.reference):
        low = model.to(dtype).eval()
        inputs = {
            name: torch.as_tensor(array).to(dtype)
            if np.issubdtype(array.dtype, np.floating)
            else torch.as_tensor(array)
            for name, array in case.build(False).arrays.items()
        }
        with torch.no_grad():
            answers.append(_leaves(low(**inputs)))
    first, second = (
        {str(i): answer.float().numpy() for i, answer in enumerate(side)} for side in answers
    )
    return _largest(first, second)
