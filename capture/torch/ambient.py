"""What a caller may have switched on in torch around a call: set aside, or refused in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from padiff_graph.capture.capture_errors import ContextError
from padiff_graph.capture.torch.internals import fakes_tensors

__all__ = ["set_aside"]


@contextmanager
def set_aside(arguments: Sequence[Any]) -> Iterator[None]:
    """Gradients are recorded while the block runs, also inside `no_grad` and `inference_mode`.

    Raises:
        ContextError: autocast is on around the call, or a mode whose tensors hold no numbers, or a
            model was made in inference mode, whose tensors cannot be differentiated. Nothing was
            changed.
    """
    if fakes_tensors():
        raise ContextError(
            "a FakeTensorMode is on around this call, in which tensors hold no numbers; leave it "
            "first"
        )
    devices = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    if devices:
        raise ContextError(
            f"torch.autocast is on around this call ({devices[0]}), which one side alone would "
            "feel; leave it first, or enter it in the model's forward, where it is checked"
        )
    for argument in arguments:
        if isinstance(argument, torch.nn.Module):
            _check_tensors(argument)
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _check_tensors(model: torch.nn.Module) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not torch.nn.parameter.is_lazy(tensor) and tensor.is_inference():
            raise ContextError(
                f"{name} of {type(model).__name__} was made in torch.inference_mode and cannot be "
                "differentiated; make the model outside of it"
            )
