"""Reading a torch checkpoint as numpy arrays: weights only, memory-mapped where it can be."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["arrays", "read"]


def read(path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], frozenset[str]]:
    """The state dict of a .pt, .pth or .bin file, also one level down: "state_dict", "model".

    bfloat16 comes as its bits in uint16, which is how Paddle holds it in numpy.

    Returns:
        the arrays by name, and the names of those that are bfloat16.

    Raises:
        ValueError: the file is no checkpoint, holds more than weights, or holds no state dict.
    """
    try:
        state = _loaded(path)
    except UNREADABLE as error:
        # torch's own words advise to trust the file
        whole = re.search(r"(?:GLOBAL|class) `?([\w.]+)`?", str(error))
        held = f"objects of {whole[1]}" if whole else "a broken file or other objects"
        raise ValueError(
            f"{path}: expected a checkpoint that holds weights only; found {held};"
            " save model.state_dict() and convert that"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    members = state.values() if isinstance(state, Mapping) else ()
    if not any(isinstance(value, torch.Tensor) for value in members):
        raise ValueError(
            f"{path}: expected a state dict (name -> tensor); found {type(state).__name__};"
            " save model.state_dict() and convert that"
        )
    try:
        return arrays(state), _bfloat16(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    OverflowError,
    struct.error,
)
"""What a broken file makes the unpickler stumble over."""


def _loaded(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:
        # files of the old format cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True)


def arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of a state dict as numpy arrays, sharing memory where they can.

    Raises:
        ValueError: a tensor that numpy cannot hold: sparse, quantised, without numbers.
    """
    held = {}
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            held[name] = _array(name, value.detach())
    return held


def _bfloat16(state: Mapping[str, Any]) -> frozenset[str]:
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return frozenset(name for name, value in tensors.items() if value.dtype == torch.bfloat16)


def _array(name: str, tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """One tensor in numpy."""
    try:
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.view(torch.uint16)
        numbers: np.ndarray[Any, Any] = tensor.cpu().numpy()
        return numbers
    except (TypeError, NotImplementedError, RuntimeError):
        kind = f"{tensor.layout} tensor of {tensor.dtype} on {tensor.device}"
        raise ValueError(
            f"{name} is a {kind}, which numpy cannot hold; save it as a dense one of another dtype"
        ) from None
