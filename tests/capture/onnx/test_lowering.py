"""ONNX's operators come to the form of torch's spelling, and not to that of a near miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from onnx import TensorProto, helper, numpy_helper

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.normalize import normalize
from tests.models.captured_functions import example, of_torch, read_alike
from tests.models.spelled import same

ROWS = np.array([2, 0, 1])


def of_onnx(
    op: str, operands: list[str], constants: dict[str, Any], attributes: dict[str, Any]
) -> NormalGraph:
    """The normal form of one operator with tanh behind its first result."""
    names = [*operands, *constants]
    results = ["result", *(f"more{n}" for n in range(attributes.pop("results", 1) - 1))]
    nodes = [
        helper.make_node(op, names, results, **attributes),
        helper.make_node("Cast", ["result"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Tanh", ["number"], ["out"]),
    ]
    arrays = example(lambda array: array)
    kinds = {name: helper.np_dtype_to_tensor_dtype(arrays[name].dtype) for name in operands}
    inputs = [
        helper.make_tensor_value_info(name, kinds[name], arrays[name].shape) for name in operands
    ]
    graph = helper.make_graph(
        nodes,
        "one",
        inputs,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    given = {name: arrays[name] for name in operands}
    return normalize(capture_graph(model, given, certify=False))


Case = tuple[str, list[str], dict[str, Any], dict[str, Any], Callable[..., Any], Callable[..., Any]]
CASES: dict[str, Case] = {
    "slice": (
        "Slice",
        ["x"],
        {"starts": [6, -1], "ends": [1, -5], "axes": [1, 3], "steps": [-2, -1]},
        {},
        lambda x, y, i: x[:, [6, 4, 2]][..., [5, 4, 3, 2]],
        lambda x, y, i: x[:, [6, 4, 2]][..., [5, 4, 3, 1]],
    ),
    "slice to the very beginning": (
        "Slice",
        ["x"],
        {"starts": [-1], "ends": [-100], "axes": [1], "steps": [-1]},
        {},
        lambda x, y, i: x.flip(1),
        lambda x, y, i: x[:, 1:].flip(1),
    ),
    "split": (
        "Split",
        ["x"],
        {"sizes": [3, 5]},
        {"axis": 1, "results": 2},
        lambda x, y, i: x[:, :3],
        lambda x, y, i: x[:, 5:],
    ),
    "pad": (
        "Pad",
        ["x"],
        {"pads": [0, 0, 1, 0, 0, 0, 2, 3], "value": np.float32(2.0)},
        {},
        lambda x, y, i: TF.pad(x, (0, 3, 1, 2), value=2.0),
        lambda x, y, i: TF.pad(x, (3, 0, 1, 2), value=2.0),
    ),
    "depth to space, channels behind blocks": (
        "DepthToSpace",
        ["x"],
        {},
        {"blocksize": 2, "mode": "CRD"},
        lambda x, y, i: TF.pixel_shuffle(x, 2),
        lambda x, y, i: TF.pixel_shuffle(x[:, [0, 2, 4, 6, 1, 3, 5, 7]], 2),
    ),
    "depth to space, blocks before channels": (
        "DepthToSpace",
        ["x"],
        {},
        {"blocksize": 2, "mode": "DCR"},
        lambda x, y, i: TF.pixel_shuffle(x[:, [0, 2, 4, 6, 1, 3, 5, 7]], 2),
        lambda x, y, i: TF.pixel_shuffle(x, 2),
    ),
    "space to depth": (
        "SpaceToDepth",
        ["x"],
        {},
        {"blocksize": 2},
        lambda x, y, i: x.reshape(2, 8, 2, 2, 3, 2).permute(0, 3, 5, 1, 2, 4).reshape(2, 32, 2, 3),
        lambda x, y, i: TF.pixel_unshuffle(x, 2),
    ),
    "tile": (
        "Tile",
        ["x"],
        {"repeats": [1, 1, 2, 1]},
        {},
        lambda x, y, i: x.repeat(1, 1, 2, 1),
        lambda x, y, i: x.repeat(1, 1, 1, 2),
    ),
    "rows by data": (
        "Gather",
        ["x", "i"],
        {},
        {"axis": 1},
        lambda x, y, i: x[:, i],
        lambda x, y, i: x[:, :, i],
    ),
    "rows by constants": (
        "Gather",
        ["x"],
        {"rows": ROWS},
        {"axis": 1},
        lambda x, y, i: x[:, [2, 0, 1]],
        lambda x, y, i: x[:, [2, 1, 0]],
    ),
    "triangle": (
        "Trilu",
        ["x"],
        {"k": np.int64(-1)},
        {"upper": 0},
        lambda x, y, i: torch.tril(x, -1),
        lambda x, y, i: torch.tril(x, 1),
    ),
    "clip": (
        "Clip",
        ["x"],
        {"low": np.float32(-1.0), "high": np.float32(2.0)},
        {},
        lambda x, y, i: torch.clamp(x, -1.0, 2.0),
        lambda x, y, i: torch.clamp(x, -1.0, 3.0),
    ),
    "sum of several": (
        "Sum",
        ["x", "y", "x"],
        {},
        {},
        lambda x, y, i: x + y + x,
        lambda x, y, i: x + y - x,
    ),
    "mean of several": (
        "Mean",
        ["x", "y"],
        {},
        {},
        lambda x, y, i: 0.5 * x + 0.5 * y,
        lambda x, y, i: 0.5 * x + 0.25 * y,
    ),
    "largest of several": (
        "Max",
        ["x", "y"],
        {},
        {},
        lambda x, y, i: torch.maximum(x, y),
        lambda x, y, i: torch.minimum(x, y),
    ),
    "negated": ("Neg", ["x"], {}, {}, lambda x, y, i: -x, lambda x, y, i: x),
    "root of squares": (
        "ReduceL2",
        ["x"],
        {"axes": [2, 3]},
        {"keepdims": 0},
        lambda x, y, i: torch.linalg.vector_norm(x, dim=(2, 3)),
        lambda x, y, i: torch.linalg.vector_norm(x, dim=(1, 3)),
    ),
    "argmax": (
        "ArgMax",
        ["x"],
        {},
        {"axis": 1, "keepdims": 0},
        lambda x, y, i: torch.argmax(x, 1),
        lambda x, y, i: torch.argmin(x, 1),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_form_and_no_other(name: str) -> None:
    op, operands, constants, attributes, in_torch, near_miss = CASES[name]
    form = of_onnx(op, operands, constants, dict(attributes))
    same(form, of_torch(in_torch))
    read_alike(form, of_torch(in_torch))
    other = of_torch(near_miss)
    with pytest.raises(AssertionError):
        same(form, other)
        read_alike(form, other)
