"""A small readable Python converter of one map.

It needs numpy alone: neither this tool nor torch.
"""

from __future__ import annotations

import math
import os
import pprint
from pathlib import Path
from typing import Any

from padiff_graph.alignment.correspondence import ParameterEntry
from padiff_graph.capture.normal.index_map import View
from padiff_graph.errors import UsageError
from padiff_graph.file_writing import write_text
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.layer_map.transform_rows import check_filled
from padiff_graph.matching.result import Piece
from padiff_graph.printable import code_comment, docstring_line

__all__ = ["script_text", "write_script"]

VIEW = '''def view(tensor, shape, *steps):
    """Elements of a tensor by (shape, strides, start), one step after the other."""
    flat = np.ascontiguousarray(tensor).reshape(-1)
    for extents, strides, start in steps:
        at = np.full((), start)
        for extent, stride in zip(extents, strides):
            along = np.asarray(stride) if isinstance(stride, tuple) else np.arange(extent) * stride
            at = at[..., None] + along
        flat = flat[at.reshape(-1)]
    return flat.reshape(shape)


'''
PUT = '''def put(target, places, values):
    """Writes values to the places of a target, given as a view of its elements."""
    target.reshape(-1)[places.reshape(-1)] = values.reshape(-1)


'''

HEAD = '''\
"""Converts a torch checkpoint (.safetensors) of {second} into Paddle parameters of {first}.

    python {name} model.safetensors model.pdparams
"""

import json
import os
import pickle
import struct
import sys

import numpy as np

DTYPES = {{
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
}}
NOT_NEEDED = {unused}  # tensors that the Paddle model has no place for


def load(path):
    """All tensors of a .safetensors file by name, memory-mapped; bfloat16 as its bits."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    data = np.memmap(path, "u1", "r", 8 + length)
    tensors = {{}}
    for name, entry in header.items():
        bits = data[slice(*entry["data_offsets"])]
        tensors[name] = bits.view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


{helpers}def convert(t):
    p = {{}}
{body}
    return p


class Tensors(dict):
    """Tensors by name, and the names that nobody has read yet."""

    def __init__(self, tensors):
        super().__init__(tensors)
        self.left = set(tensors)

    def __getitem__(self, name):
        if name not in self:
            sys.exit(f"the checkpoint has no {{name}}; is it of the same model?")
        self.left.discard(name)
        return super().__getitem__(name)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tensors = Tensors(load(sys.argv[1]))
    parameters = {{name: np.array(value) for name, value in convert(tensors).items()}}
    left = sorted(tensors.left - NOT_NEEDED)
    if left:
        print("not used, so make sure that they are second names of tied weights:", ", ".join(left))
    beside = sys.argv[2] + ".part"
    with open(beside, "wb") as out:
        pickle.dump(parameters, out, protocol=4)
    os.replace(beside, sys.argv[2])
'''


def write_script(layer_map: Any, path: str | os.PathLike[str]) -> None:
    """Writes the converter of a map (see `script_text`)."""
    write_text(path, script_text(layer_map, Path(path).name))


def script_text(layer_map: Any, name: str = "convert.py") -> str:
    """The converter as Python text: one statement for each Paddle parameter.

    Raises:
        UsageError: the map holds no parameter rows, or one without a source.
    """
    held = LayerMap.of(layer_map)
    if not held.parameters:
        raise UsageError(
            "this layer map holds no parameter rows; make one with "
            "suggest_layer_map(...)[0].to_yaml('map.yaml')"
        )
    missing = [entry.paddle_name for entry in held.parameters if entry.status == "open"]
    if missing:
        raise UsageError(f"the map has no source for {', '.join(missing)}; fill in their rows")
    for entry in held.parameters:
        if entry.row.pieces:
            check_filled(entry)
    body = "\n".join(
        f"    {statement}" for entry in held.parameters for statement in _statements(entry)
    )
    helpers = [text for call, text in (("view(", VIEW), ("put(", PUT)) if call in body]
    unused = "set()"
    if held.unused_second:
        unused = f"{{{', '.join(map(repr, sorted(held.unused_second)))}}}"
    first, second = held.models
    return HEAD.format(
        first=docstring_line(first or "the Paddle model"),
        second=docstring_line(second or "the torch model"),
        name=docstring_line(name),
        body=body,
        helpers="".join(helpers),
        unused=unused,
    )


def _statements(entry: ParameterEntry) -> list[str]:
    """What makes one Paddle parameter of tensors `t`."""
    target, pieces = f"p[{entry.paddle_name!r}]", entry.row.pieces
    if not pieces:
        kept = f"{entry.paddle_name}: {entry.row.reason}; Paddle keeps its initial value"
        return [f"# {code_comment(kept)}"]
    if len(pieces) == 1 and pieces[0].first_view.identity and not pieces[0].summed:
        return [f"{target} = {_whole(entry, pieces[0])}"]
    size, words = math.prod(entry.shape), code_comment(entry.transform)
    dtype = f"t[{pieces[0].second!r}].dtype"
    lines = [f"{target} = np.zeros({list(entry.shape)}, {dtype})  # {words}"]
    for piece in pieces:
        places = _view_call(f"np.arange({size})", piece.first_view)
        values = _view_call(f"t[{piece.second!r}]", piece.second_view)
        if piece.summed == "held":
            continue  # zeros, as they stand
        if piece.summed == "added":
            there = f"{target}.reshape(-1)[{places}.reshape(-1)]"
            values = f"{there} + {values}.reshape(-1)"
        lines.append(f"put({target}, {places}, {values})")
    return lines


def _whole(entry: ParameterEntry, piece: Piece) -> str:
    """The expression for a parameter that is one tensor, moved or not."""
    source = f"t[{piece.second!r}]"
    shape = entry.seconds[piece.second]
    turned = tuple(reversed(shape))
    if piece.second_view.identity:
        return source + _reshaped(shape, entry.shape)
    if View.of(shape).transpose(tuple(reversed(range(len(shape))))).same(piece.second_view):
        return f"{source}.T{_reshaped(turned, entry.shape)}"
    steps = _steps(piece.second_view)
    return f"view({source}, {list(entry.shape)}, {steps})  # {code_comment(entry.transform)}"


def _reshaped(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if shape == wanted:
        return ""
    return f".reshape({list(wanted)})"


def _view_call(source: str, view: View) -> str:
    arguments = [source, str(list(view.shape))]
    if view.stages:
        arguments.append(_steps(view))
    return f"view({', '.join(arguments)})"


def _steps(view: View) -> str:
    steps = ((stage.shape, stage.steps, stage.offset) for stage in view.stages)
    return ", ".join(pprint.pformat(step, width=10**6) for step in steps)
