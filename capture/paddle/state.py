"""What a check must leave as it was: Paddle's global state and a layer's own. Taken, compared, put
back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paddle

from padiff_graph.capture.generators import python_generators
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.paddle.internals import (
    cpu_draws,
    put_cpu_draws,
    put_gradient,
    threaded,
    threads,
)
from padiff_graph.capture.paddle.values import array, is_tensor
from padiff_graph.capture.python_state import python_facts

__all__ = ["generators", "kept", "snapshot", "threaded", "threads"]

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
    return {
        **_global_state(),
        **_replaced_functions(),
        **_layer_state(model),
        **python_facts(
            model.named_sublayers(include_self=True), vars(paddle.nn.Layer()), is_tensor, _sum
        ),
        **_tensor_state(model),
        **_input_state(example),
    }


def _global_state() -> dict[str, object]:
    return {
        "default dtype": paddle.get_default_dtype(),
        "dynamic mode": paddle.in_dynamic_mode(),
        "gradient recording": paddle.is_grad_enabled(),
        "random state": _random(),
        "device": paddle.get_device(),
        "threads": threads(),
        "flags": paddle.get_flags(list(FLAGS)),
        "default program": id(paddle.static.default_main_program()),
    }


def _replaced_functions() -> dict[str, object]:
    functions: dict[str, object] = {}
    for owner in PATCHABLE:
        members = {name: id(member) for name, member in vars(owner).items() if callable(member)}
        functions[f"functions of {getattr(owner, '__name__', owner)}"] = members
    return functions


def _layer_state(model: paddle.nn.Layer) -> dict[str, object]:
    layers: dict[str, object] = {}
    for path, layer in [("", model), *model.named_sublayers()]:
        at = f"layer {path or '(root)'}"
        held = vars(layer).items()
        layers[f"{at}: attributes"] = {
            name: _identity(value) for name, value in held if not name.startswith("_")
        }
        layers[f"{at}: hooks"] = {
            name: list(value)
            for name, value in held
            if name.endswith("_hooks") and isinstance(value, dict)
        }
        layers[f"{at}: members"] = [list(getattr(layer, name)) for name in MEMBERS]
    return layers


MEMBERS = ("_parameters", "_buffers", "_sub_layers")
"""Where a layer lists what it owns."""


def _tensor_state(model: paddle.nn.Layer) -> dict[str, object]:
    tensors: dict[str, object] = {}
    for name, tensor in _tensors(model):
        place = str(tensor.place)
        itself = (id(tensor), tensor.name, tensor.stop_gradient, tensor.dtype, place)
        tensors[f"{name}: itself"] = itself
        tensors[f"{name}: values"] = _sum(tensor)
        tensors[f"{name}: gradient"] = _gradient_sum(tensor)
    return tensors


def _input_state(example: Any) -> dict[str, object]:
    inputs: dict[str, object] = {}
    for name, leaf in leaves(example, is_tensor).items():
        inputs[f"input {name}"] = (id(leaf), _sum(leaf), leaf.stop_gradient, _gradient_sum(leaf))
    return inputs


@contextmanager
def kept(model: paddle.nn.Layer) -> Iterator[None]:
    """Puts modes, flags, gradients, random states and global switches back at the end, however it
    comes.

    Cheap: no numbers are copied but those of the gradients that exist beforehand.
    """
    dynamic = paddle.in_dynamic_mode()
    put_back = [_modes(model), _gradients(model), _switches()]
    try:
        yield
    finally:
        if dynamic and not paddle.in_dynamic_mode():
            paddle.disable_static()
        for restore in reversed(put_back):
            restore()


def _switches() -> Callable[[], None]:
    dtype, recording = paddle.get_default_dtype(), paddle.is_grad_enabled()
    random, gpu, flags = cpu_draws(), _gpu_states(), paddle.get_flags(list(FLAGS))

    def restore() -> None:
        paddle.set_default_dtype(dtype)
        if paddle.is_grad_enabled() != recording:
            paddle.framework._dygraph_tracer()._has_grad = recording
        put_cpu_draws(random)
        if gpu:
            paddle.set_cuda_rng_state(gpu)
        paddle.set_flags(flags)

    return restore


def _modes(model: paddle.nn.Layer) -> Callable[[], None]:
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]

    def restore() -> None:
        for layer, training in modes:
            layer.training = training

    return restore


def _gradients(model: paddle.nn.Layer) -> Callable[[], None]:
    held = []
    for _, tensor in _tensors(model):
        gradient = None if tensor.grad is None else tensor.grad.clone()
        held.append((tensor, tensor.stop_gradient, gradient))

    def restore() -> None:
        for tensor, stopped, gradient in held:
            tensor.stop_gradient = stopped
            if gradient is not None or tensor.grad is not None:
                put_gradient(tensor, gradient)

    return restore


def _tensors(model: paddle.nn.Layer) -> Iterator[tuple[str, Any]]:
    yield from ((f"parameter {name}", tensor) for name, tensor in model.named_parameters())
    yield from ((f"buffer {name}", tensor) for name, tensor in model.named_buffers())


def _gpu_states() -> list[Any]:
    if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        return list(paddle.get_cuda_rng_state())
    return []


def generators() -> tuple[object, ...]:
    """Equal to an earlier answer exactly where no random number was drawn in between."""
    return (*_random(), *python_generators())


def _random() -> list[str]:
    """Random states in words, without the addresses of their holders."""
    texts = []
    for state in (cpu_draws(), *_gpu_states()):
        words = [word for word in str(state).split() if not word.startswith("0x")]
        texts.append(" ".join(words))
    return texts


def _identity(value: Any) -> object:
    return value if isinstance(value, (str, int, float, bool, type(None))) else id(value)


def _sum(tensor: Any) -> int:
    return zlib.crc32(array(tensor).tobytes())


def _gradient_sum(tensor: Any) -> int | None:
    return None if tensor.grad is None else _sum(tensor.grad)
