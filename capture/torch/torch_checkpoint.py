"""Reading a torch checkpoint as numpy arrays, weights only, memory-mapped where the file allows it."""

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


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The state dict of a .pt, .pth or .bin file; one nesting under "state_dict" or "model" is opened.

    bfloat16 comes as its bits in uint16, which is how Paddle holds it in numpy.

    Raises:
        ValueError: the file is no checkpoint, holds more than weights, or holds no state dict.
    """
    try:
        try:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:
            found = torch.load(
                path, map_location="cpu", weights_only=True
            )  # files of the old format cannot be mapped
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        IndexError,
        KeyError,
        struct.error,
    ) as error:  # whatever a broken file makes the unpickler stumble over
        whole = re.search(
            r"(?:GLOBAL|class) `?([\w.]+)`?", str(error)
        )  # torch's own words advise to trust the file
        held = f"objects of {whole[1]}" if whole else "a broken file or other objects"
        raise ValueError(
            f"{path}: expected a checkpoint that holds weights only; found {held}; save model.state_dict() and convert that"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not any(
        isinstance(value, torch.Tensor) for value in found.values()
    ):
        raise ValueError(
            f"{path}: expected a state dict (name -> tensor); found {type(found).__name__}; save model.state_dict() and convert that"
        )
    return arrays(found)


def arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of a state dict as numpy arrays, sharing memory where they can; other entries left out."""
    found = {}
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            tensor = value.detach().cpu()
            found[name] = (
                tensor.view(torch.uint16).numpy()
                if tensor.dtype == torch.bfloat16
                else tensor.numpy()
            )
    return found
