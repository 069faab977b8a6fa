"""A torch checkpoint as a Paddle one, by a saved map: no model is built, every tensor is accounted for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from padiff_graph.alignment.correspondence import ParameterEntry
from padiff_graph.capture.backend import backend, needed
from padiff_graph.checkpoint.checkpoint_files import (
    BITS,
    Written,
    read_checkpoint,
    write_checkpoint,
)
from padiff_graph.errors import UsageError
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.progress import shown

__all__ = ["Conversion", "convert_checkpoint", "convert_state_dict"]

Array = np.ndarray[Any, Any]
SHOWN = 8


@dataclass(frozen=True)
class Conversion:
    """What became of every tensor.

    Attributes:
        written: Paddle names that were written.
        kept: Paddle parameters that no tensor of the checkpoint fills (neutral ones, those that
            nothing reads); the model keeps its initial values.
        unused: tensors of the checkpoint that the Paddle model has no place for, as the map says.
        duplicates: tensors of the checkpoint that equal another one under a second name (tied weights).
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]
    duplicates: tuple[str, ...]


def convert_state_dict(torch_state_dict: Mapping[str, Any], layer_map: Any) -> dict[str, Array]:
    """A Paddle state dict from a torch one.

    Args:
        torch_state_dict: name -> torch tensor or numpy array.
        layer_map: a LayerMap that holds a parameter map (from `suggest_layer_map`, `LayerMap.auto`
            or a saved file), or the file's path.

    Returns:
        name -> numpy array, for `layer.set_state_dict`; bfloat16 as its bits in uint16, which Paddle reads as bfloat16.

    Raises:
        UsageError: a tensor is missing, has another shape than the map says, or stands in no row of it.
    """
    if all(isinstance(value, np.ndarray) for value in torch_state_dict.values()):
        arrays = dict(torch_state_dict)
    else:
        checkpoints = needed(backend("torch").checkpoints)  # the tensors are torch's already
        arrays = checkpoints.arrays(torch_state_dict)
    plan, _ = _plan(arrays, frozenset(), LayerMap.of(layer_map))
    return {name: make() for name, (_, _, make) in plan.items()}


def convert_checkpoint(
    checkpoint: str | os.PathLike[str], layer_map: Any, out: str | os.PathLike[str]
) -> Conversion:
    """Converts a checkpoint file; one tensor in memory at a time where the target is .safetensors.

    Args:
        checkpoint: .pt, .pth, .bin (loaded weights-only), .safetensors, an index of shards or a folder.
        layer_map: as in `convert_state_dict`.
        out: .pdparams or .safetensors.

    Raises:
        UsageError: as in `convert_state_dict`, or a file that is not there or broken. Nothing is written then.
    """
    target = Path(out)
    if target.suffix not in (".pdparams", ".safetensors"):
        raise UsageError(f"{target}: expected a target that ends in .pdparams or .safetensors")
    arrays, halves = read_checkpoint(Path(checkpoint))
    plan, found = _plan(arrays, halves, LayerMap.of(layer_map))
    with shown(f"writing {target.name}") as steps:
        write_checkpoint(target, plan, steps.at)
    return found


def _plan(
    arrays: Mapping[str, Array], halves: frozenset[str], layer_map: LayerMap
) -> tuple[Written, Conversion]:
    """What will be written, with all that can be wrong said before."""
    rows = layer_map.parameters
    if not rows:
        raise UsageError(
            "this layer map holds no parameter rows; make one with suggest_layer_map(...)[0].to_yaml('map.yaml') or `padiff-graph suggest PAIR -o map.yaml`"
        )
    _check(arrays, rows)
    plan: dict[str, Any] = {}
    for entry in rows:
        pieces = entry.row.pieces
        if pieces:
            dtypes = {arrays[piece.second].dtype for piece in pieces}
            if len(dtypes) > 1:
                raise UsageError(
                    f"{entry.paddle_name}: put together of tensors of several dtypes: {', '.join(sorted(map(str, dtypes)))}; convert the checkpoint to one dtype first"
                )
            dtype = "BF16" if pieces[0].second in halves else BITS[dtypes.pop().newbyteorder("=")]
            plan[entry.paddle_name] = (entry.shape, dtype, partial(_filled, entry, arrays))
    used = {piece.second for entry in rows for piece in entry.row.pieces}
    unused = tuple(name for name in arrays if name in layer_map.unused_second and name not in used)
    unknown = [name for name in arrays if name not in used and name not in unused]
    duplicates = tuple(
        name for name in unknown if any(_same(arrays[name], arrays[other]) for other in used)
    )
    lost = [name for name in unknown if name not in duplicates]
    if lost:
        raise UsageError(
            f"tensors of the checkpoint that stand in no row of the map: {_named(lost)}; add rows for them, or name them under unused: torch: in the map"
        )
    kept = tuple(entry.paddle_name for entry in rows if not entry.row.pieces)
    return plan, Conversion(tuple(plan), kept, unused, duplicates)


def _check(arrays: Mapping[str, Array], rows: Iterable[ParameterEntry]) -> None:
    missing, shaped, unmapped = [], [], []
    for entry in rows:
        if entry.status == "open":
            unmapped.append(entry.paddle_name)
        for name, shape in entry.seconds.items():
            if name not in arrays:
                missing.append(name)
            elif tuple(arrays[name].shape) != shape:
                shaped.append(f"{name} {list(arrays[name].shape)} instead of {list(shape)}")
    if missing:
        hint = _prefix_hint(missing[0], arrays)
        raise UsageError(
            f"tensors that the map needs and the checkpoint lacks: {_named(missing)}{hint}"
        )
    if shaped:
        raise UsageError(
            f"tensors of another shape than the map says: {_named(shaped)}; is this checkpoint of the same model and size?"
        )
    if unmapped:
        raise UsageError(f"the map has no source for {_named(unmapped)}; fill in their rows")


def _prefix_hint(name: str, arrays: Iterable[str]) -> str:
    """What to do where all names carry a prefix, as DataParallel and wrappers leave it."""
    for other in arrays:
        if other.endswith(f".{name}"):
            return f"; the checkpoint calls it {other}: take the prefix {other.removesuffix(name)!r} off its names first"
        if name.endswith(f".{other}"):
            return f"; the checkpoint calls it {other}: put the prefix {name.removesuffix(other)!r} in front of its names first"
    return "; is this checkpoint of the same model?"


def _filled(entry: ParameterEntry, arrays: Mapping[str, Array]) -> Array:
    pieces = entry.row.pieces
    if len(pieces) == 1 and pieces[0].first_view.identity:
        return pieces[0].second_view.apply(arrays[pieces[0].second]).reshape(entry.shape)
    target = np.zeros(entry.shape, arrays[pieces[0].second].dtype)
    for piece in pieces:
        piece.first_view.scatter(target, piece.second_view.apply(arrays[piece.second]))
    return target


def _same(one: Array, other: Array) -> bool:
    return (
        one.shape == other.shape and one.dtype == other.dtype and bool(np.array_equal(one, other))
    )


def _named(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (
        f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    )
