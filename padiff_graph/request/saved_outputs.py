"""Outputs of two runs that the user saved: read, and held against each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.errors import UsageError
from padiff_graph.file_reading import UnreadableFile, load_arrays

__all__ = ["SavedOutputs", "read_saved"]

Array = np.ndarray[Any, Any]
FILES = "two files, .npy or .npz, with the outputs of a run of each model"


@dataclass(frozen=True)
class SavedOutputs:
    """Arrays by name of both runs, in the order of the files; an `.npy` file has the name "".

    Attributes:
        first, second: of the first and of the second model, equally many and equally large.
    """

    first: Mapping[str, Array]
    second: Mapping[str, Array]

    def of(self, number: int, names: tuple[str, str], count: int) -> tuple[Array, Array] | None:
        """What was saved of a pair of outputs; None where that cannot be told.

        Args:
            number, count: which pair of outputs, of how many.
            names: the output's in each model.
        """
        if names[0] in self.first and names[1] in self.second:
            return self.first[names[0]], self.second[names[1]]
        if len(self.first) != count:
            return None
        return tuple(self.first.values())[number], tuple(self.second.values())[number]


def read_saved(first: str, second: str) -> SavedOutputs:
    """Both files.

    Raises:
        UsageError: where one cannot be read, or they do not hold the same outputs.
    """
    arrays = _read(first), _read(second)
    if len(arrays[0]) != len(arrays[1]):
        raise UsageError(
            f"options: observed: {first} holds {len(arrays[0])} arrays and {second} "
            f"{len(arrays[1])}; save the same outputs of both models"
        )
    if arrays[0].keys() == arrays[1].keys():
        arrays = arrays[0], {name: arrays[1][name] for name in arrays[0]}
    for (name, one), (other_name, other) in zip(arrays[0].items(), arrays[1].items(), strict=True):
        if one.size != other.size:
            raise UsageError(
                f"options: observed: {_called(first, name)} has shape {list(one.shape)} and "
                f"{_called(second, other_name)} {list(other.shape)}; save the same outputs of both "
                "models"
            )
    return SavedOutputs(*arrays)


def _read(path: str) -> dict[str, Array]:
    try:
        named = load_arrays(path)
    except UnreadableFile as error:
        raise UsageError(
            f"options: observed is a number or {FILES}; {os.fspath(path)!r} cannot be read: {error}"
        ) from None
    if not named:
        raise UsageError(f"options: observed: {path} holds no array")
    return {name: _floats(path, name, array) for name, array in named.items()}


def _floats(path: str, name: str, array: Array) -> Array:
    if array.dtype.kind not in "fiub":
        raise UsageError(
            f"options: observed: {_called(path, name)} holds {array.dtype}; save it as float32 "
            "(output.float().numpy() in torch, output.astype('float32').numpy() in Paddle)"
        )
    return array.astype(np.float64)


def _called(path: str, name: str) -> str:
    return f"{name} of {path}" if name else path
