"""A torch checkpoint as a Paddle one, by a saved map.

No model is built, every tensor is accounted for.
"""

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
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.executor.transfer import put
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.layer_map.transform_rows import check_filled
from padiff_graph.progress import shown
from padiff_graph.report.wording import cut_short

__all__ = ["Conversion", "convert_checkpoint", "convert_state_dict"]

Array = np.ndarray[Any, Any]
SHOWN = 8
"""Names that a message lists before it counts the rest; chosen so that it stays readable."""


@dataclass(frozen=True)
class Conversion:
    """What became of every tensor.

    Attributes:
        written: Paddle names that were written.
        kept: Paddle parameters that no tensor of the checkpoint fills (neutral ones, those that
            nothing reads); the model keeps its initial values.
        unused: tensors of the checkpoint that the Paddle model has no place for, as the map says.
        duplicates: tensors of the checkpoint that equal another one under a second name (tied
            weights).
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
        name -> numpy array, for `layer.set_state_dict`; bfloat16 as its bits in uint16, which
        Paddle reads as bfloat16.

    Raises:
        UsageError: a tensor is missing, has another shape than the map says, or stands in no row
            of it.
    """
    if not isinstance(torch_state_dict, Mapping):
        raise UsageTypeError(
            "torch_state_dict is a dict from name to tensor, as model.state_dict() gives it; "
            f"found {type(torch_state_dict).__qualname__}"
        )
    if all(isinstance(value, np.ndarray) for value in torch_state_dict.values()):
        arrays = dict(torch_state_dict)
    else:
        checkpoints = needed(backend("torch").checkpoints)  # the tensors are torch's already
        try:
            arrays = checkpoints.arrays(torch_state_dict)
        except ValueError as error:
            raise UsageError(str(error)) from None
    plan, _ = _plan(arrays, frozenset(), LayerMap.of(layer_map))
    return {name: make() for name, (_, _, make) in plan.items()}


def convert_checkpoint(
    checkpoint: str | os.PathLike[str], layer_map: Any, out: str | os.PathLike[str]
) -> Conversion:
    """Converts a checkpoint file; one tensor in memory at a time where the target is .safetensors.

    Args:
        checkpoint: .pt, .pth, .bin (loaded weights-only), .safetensors, an index of shards or a
            folder.
        layer_map: as in `convert_state_dict`.
        out: .pdparams or .safetensors.

    Raises:
        UsageError: as in `convert_state_dict`, or a file that is not there or broken. Nothing is
            written then.
    """
    target = Path(out)
    if target.suffix not in (".pdparams", ".safetensors"):
        raise UsageError(f"{target}: expected a target that ends in .pdparams or .safetensors")
    arrays, halves = read_checkpoint(Path(checkpoint))
    plan, conversion = _plan(arrays, halves, LayerMap.of(layer_map))
    with shown(f"writing {target.name}") as steps:
        write_checkpoint(target, plan, steps.at)
    return conversion


def _plan(
    arrays: Mapping[str, Array], halves: frozenset[str], layer_map: LayerMap
) -> tuple[Written, Conversion]:
    """What will be written, with all that can be wrong said before."""
    rows = layer_map.parameters
    if not rows:
        raise UsageError(
            "this layer map holds no parameter rows; make one with "
            "suggest_layer_map(...)[0].to_yaml('map.yaml') or "
            "`padiff-graph suggest PAIR -o map.yaml`"
        )
    _check_sources(arrays, rows)
    for entry in rows:
        if entry.row.pieces:
            check_filled(entry)
    plan = {
        entry.paddle_name: (
            entry.shape,
            _dtype(entry, arrays, halves),
            partial(_made, entry, arrays),
        )
        for entry in rows
        if entry.row.pieces
    }
    unused, duplicates = _left_over(arrays, layer_map)
    kept = tuple(entry.paddle_name for entry in rows if not entry.row.pieces)
    return plan, Conversion(tuple(plan), kept, unused, duplicates)


def _check_sources(arrays: Mapping[str, Array], rows: Iterable[ParameterEntry]) -> None:
    """Every row has its tensors, in the shapes it says."""
    missing, reshaped, unmapped = [], [], []
    for entry in rows:
        if entry.status == "open":
            unmapped.append(entry.paddle_name)
        for name, shape in entry.seconds.items():
            if name not in arrays:
                missing.append(name)
            elif tuple(arrays[name].shape) != shape:
                reshaped.append(f"{name} {list(arrays[name].shape)} instead of {list(shape)}")
    if missing:
        raise UsageError(
            f"tensors that the map needs and the checkpoint lacks: {cut_short(missing, SHOWN)}"
            f"{_prefix_hint(missing[0], arrays)}"
        )
    if reshaped:
        raise UsageError(
            f"tensors of another shape than the map says: {cut_short(reshaped, SHOWN)}; "
            "is this checkpoint of the same model and size?"
        )
    if unmapped:
        raise UsageError(
            f"the map has no source for {cut_short(unmapped, SHOWN)}; fill in their rows"
        )


def _dtype(entry: ParameterEntry, arrays: Mapping[str, Array], halves: frozenset[str]) -> str:
    """safetensors' name of the dtype of a row's tensors."""
    pieces = entry.row.pieces
    dtypes = {arrays[piece.second].dtype for piece in pieces}
    if entry.dtype.startswith("complex") and not any(dtype.kind == "c" for dtype in dtypes):
        raise UsageError(
            f"{entry.paddle_name} is complex and its map reads real tensors, which a converted "
            "checkpoint cannot hold as one: copy it with assign_weight"
        )
    if len(dtypes) > 1:
        raise UsageError(
            f"{entry.paddle_name}: put together of tensors of several dtypes: "
            f"{', '.join(sorted(map(str, dtypes)))}; convert the checkpoint to one dtype first"
        )
    if pieces[0].second in halves:
        return "BF16"
    return BITS[dtypes.pop().newbyteorder("=")]


def _left_over(
    arrays: Mapping[str, Array], layer_map: LayerMap
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tensors that no row reads: those that the map says are unused, and second names of others.

    Raises:
        UsageError: a tensor that is neither.
    """
    used = {piece.second for entry in layer_map.parameters for piece in entry.row.pieces}
    unread = [name for name in arrays if name not in used]
    unused = tuple(name for name in unread if name in layer_map.unused_second)
    duplicates, unknown = [], []
    for name in unread:
        if name in layer_map.unused_second:
            continue
        if any(_same(arrays[name], arrays[read]) for read in used):
            duplicates.append(name)
        else:
            unknown.append(name)
    if unknown:
        raise UsageError(
            "tensors of the checkpoint that stand in no row of the map: "
            f"{cut_short(unknown, SHOWN)}; add rows for them, or name them under unused: torch: "
            "in the map"
        )
    return unused, tuple(duplicates)


def _prefix_hint(name: str, arrays: Iterable[str]) -> str:
    """What to do where all names carry a prefix, as DataParallel and wrappers leave it."""
    for held in arrays:
        if held.endswith(f".{name}"):
            prefix = held.removesuffix(name)
            return (
                f"; the checkpoint calls it {held}: take the prefix {prefix!r} off its names first"
            )
        if name.endswith(f".{held}"):
            prefix = name.removesuffix(held)
            return (
                f"; the checkpoint calls it {held}: "
                f"put the prefix {prefix!r} in front of its names first"
            )
    return "; is this checkpoint of the same model?"


def _made(entry: ParameterEntry, arrays: Mapping[str, Array]) -> Array:
    """One Paddle parameter, of all its pieces."""
    pieces = entry.row.pieces
    if len(pieces) == 1 and pieces[0].first_view.identity and not pieces[0].summed:
        return pieces[0].second_view.apply(arrays[pieces[0].second]).reshape(entry.shape)
    target = np.zeros(entry.shape, arrays[pieces[0].second].dtype)
    for piece in pieces:
        value = piece.second_view.apply(arrays[piece.second])
        piece.first_view.scatter(target, put(piece, target, value))
    return target


def _same(first: Array, second: Array) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return bool(np.array_equal(first, second))
