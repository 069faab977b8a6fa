"""What a check must leave as it was: Paddle's global state and a layer's own. Taken, compared, put back."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paddle

from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.paddle.internals import threaded, threads
from padiff_graph.capture.paddle.values import array, is_tensor

__all__ = ["kept", "snapshot", "threaded", "threads"]

FLAGS = ("FLAGS_pir_apply_inplace_pass", "FLAGS_enable_pir_api", "FLAGS_check_nan_inf")
"""Switches that a tool might be tempted to set."""
PATCHABLE: tuple[Any, ...] = (
    paddle.Tensor,
    paddle.nn.Layer,
    paddle.nn.functional,
    paddle.autograd,
    paddle.autograd.PyLayer,
    paddle._C_ops,
    paddle,
)
"""Where a tool might replace functions."""


def snapshot(model: paddle.nn.Layer, example: Any) -> dict[str, object]:
    """Everything that a check could change, by a label that says what it is.

    Values are compared by checksum, functions and hooks by identity. Reads every number: for tests.
    """
    found: dict[str, object] = {
        "default dtype": paddle.get_default_dtype(),
        "dynamic mode": paddle.in_dynamic_mode(),
        "gradient recording": paddle.is_grad_enabled(),
        "random state": _random(),
        "device": paddle.get_device(),
        "threads": threads(),
        "flags": paddle.get_flags(list(FLAGS)),
        "default program": id(paddle.static.default_main_program()),
    }
    for owner in PATCHABLE:
        found[f"functions of {getattr(owner, '__name__', owner)}"] = {
            name: id(member) for name, member in vars(owner).items() if callable(member)
        }
    for path, layer in [("", model), *model.named_sublayers()]:
        at = f"layer {path or '(root)'}"
        found[f"{at}: attributes"] = {
            name: _identity(value)
            for name, value in vars(layer).items()
            if not name.startswith("_")
        }
        found[f"{at}: hooks"] = {
            name: list(value)
            for name, value in vars(layer).items()
            if name.endswith("_hooks") and isinstance(value, dict)
        }
        found[f"{at}: members"] = [
            list(getattr(layer, name)) for name in ("_parameters", "_buffers", "_sub_layers")
        ]
    for name, tensor in _tensors(model):
        found[f"{name}: itself"] = (
            id(tensor),
            tensor.name,
            tensor.stop_gradient,
            tensor.dtype,
            str(tensor.place),
        )
        found[f"{name}: values"] = _sum(tensor)
        found[f"{name}: gradient"] = None if tensor.grad is None else _sum(tensor.grad)
    for name, leaf in leaves(example, is_tensor).items():
        found[f"input {name}"] = (
            id(leaf),
            _sum(leaf),
            leaf.stop_gradient,
            None if leaf.grad is None else _sum(leaf.grad),
        )
    return found


@contextmanager
def kept(model: paddle.nn.Layer) -> Iterator[None]:
    """Puts modes, flags, gradients, random states and global switches back at the end, however it comes.

    Cheap: no numbers are copied but those of the gradients that exist beforehand.
    """
    dtype, dynamic, recording = (
        paddle.get_default_dtype(),
        paddle.in_dynamic_mode(),
        paddle.is_grad_enabled(),
    )
    rng, gpu, flags = paddle.get_rng_state("cpu"), _gpu_states(), paddle.get_flags(list(FLAGS))
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    tensors = [
        (tensor, tensor.stop_gradient, None if tensor.grad is None else tensor.grad.clone())
        for _, tensor in _tensors(model)
    ]
    try:
        yield
    finally:
        if dynamic and not paddle.in_dynamic_mode():
            paddle.disable_static()
        paddle.set_default_dtype(dtype)
        if paddle.is_grad_enabled() != recording:
            paddle.framework._dygraph_tracer()._has_grad = recording
        paddle.set_rng_state(rng, "cpu")
        if gpu:
            paddle.set_cuda_rng_state(gpu)
        paddle.set_flags(flags)
        for layer, training in modes:
            layer.training = training
        for tensor, stopped, grad in tensors:
            tensor.stop_gradient = stopped
            if grad is not None or tensor.grad is not None:
                tensor.grad = grad


def _tensors(model: paddle.nn.Layer) -> Iterator[tuple[str, Any]]:
    yield from ((f"parameter {name}", tensor) for name, tensor in model.named_parameters())
    yield from ((f"buffer {name}", tensor) for name, tensor in model.named_buffers())


def _gpu_states() -> list[Any]:
    return (
        list(paddle.get_cuda_rng_state())
        if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count()
        else []
    )


def _random() -> list[str]:
    states = (*paddle.get_rng_state("cpu"), *_gpu_states())
    return [
        " ".join(word for word in str(state).split() if not word.startswith("0x"))
        for state in states
    ]  # 0x: an address


def _identity(value: Any) -> object:
    return value if isinstance(value, (str, int, float, bool, type(None))) else id(value)


def _sum(tensor: Any) -> int:
    return zlib.crc32(array(tensor).tobytes())
