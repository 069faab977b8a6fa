"""Rows for PIR operators over windows, grids, frequencies and sequences, and for those that
draw."""

from __future__ import annotations

from typing import Any

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import shape_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.paddle.pir_compute import channels_last, paddings

__all__ = [
    "affine_grid",
    "bernoulli",
    "complex_part",
    "dropout",
    "folded",
    "fourier",
    "grid_sample",
    "integers",
    "interpolation",
    "normal",
    "permutation",
    "pooling",
    "recurrent",
    "unfolded",
    "uniform",
]


# -- windows


def pooling(count: int, kind: str = "", results: int = 1) -> Row:
    """pool2d, pool3d, max_pool2d_with_index: global, adaptive or by window.

    Args:
        count: spatial axes.
        kind: the normal form's operator; "" where an attribute decides.
        results: 2 where positions are a second result.
    """

    def row(call: Call) -> Result:
        last = channels_last(call)
        op = kind or POOLINGS.get(str(call.get("pooling_type", "avg")), "AveragePool")
        x = call["x"]
        several = _results_read(call, results)
        if call.get("global_pooling", False):
            whole = (1,) * count
            return rows.adaptive_pool(call, x, op, whole, channels_last=last, results=several)
        kernel = rows.per_axis(call.numbers("kernel_size"), count)
        if call.get("adaptive", False):
            return rows.adaptive_pool(call, x, op, kernel, channels_last=last, results=several)
        return rows.pool(
            call,
            x,
            op,
            kernel=kernel,
            strides=call.numbers("strides"),
            pads=paddings(call),
            ceil_mode=bool(call.get("ceil_mode", False)),
            count_include_pad=not call.get("exclusive", True),
            channels_last=last,
            results=several,
        )

    return row


POOLINGS = {"max": "MaxPool", "avg": "AveragePool"}
"""Attribute `pooling_type` -> the normal form's operator."""


def _results_read(call: Call, results: int) -> int:
    """How many results a pooling has for the graph: positions count where anybody reads them."""
    several = min(results, len(call.record.outputs))
    edges = call.builder.graph.out_edges(call.record.id, data=True)
    positions_read = any(data["output"] == 1 for _, _, data in edges)
    return several if positions_read else min(several, 1)


def unfolded(call: Call) -> Result:
    """unfold: windows as columns."""
    return rows.patches(call, call["x"], _windows(call))


def folded(call: Call) -> Result:
    """fold: windows summed where they came from."""
    attrs = {"output_size": tuple(call.numbers("output_sizes")), **_windows(call)}
    return rows.image(call, call["x"], attrs)


def _windows(call: Call) -> dict[str, Any]:
    pads = [int(width) for width in call.numbers("paddings")]
    # four are top, left, bottom, right: ONNX's order already
    whole = tuple(pads) if len(pads) == 4 else rows.both_sides(pads, 2)
    return {
        "kernel_shape": rows.per_axis(call.numbers("kernel_sizes"), 2),
        "strides": rows.per_axis(call.numbers("strides"), 2),
        "pads": whole,
        "dilations": rows.per_axis(call.numbers("dilations"), 2),
    }


# -- grids


def interpolation(mode: str, count: int) -> Row:
    """nearest_interp, bilinear_interp, ...

    Args:
        mode: "nearest", "linear" or "cubic".
        count: spatial axes.
    """

    def row(call: Call) -> Result:
        scales = () if _has_size(call) else call.numbers("scale")
        return rows.resize(
            call,
            call["x"],
            mode,
            _coordinates(call, mode),
            [float(factor) for factor in scales],
            channels_last=channels_last(call),
        )

    return row


def _coordinates(call: Call, mode: str) -> str:
    """ONNX's name of the convention; `align_mode` 1 is the asymmetric one."""
    if call.get("align_corners", False):
        return "align_corners"
    if mode == "nearest":
        return "asymmetric"
    if mode == "cubic" or call.number("align_mode", 1) == 0:
        return "half_pixel"
    return "asymmetric"


def _has_size(call: Call) -> bool:
    """Whether an interpolation is told the size of its result."""
    told = any(int(call.number(name, 0) or 0) > 0 for name in ("out_d", "out_h", "out_w"))
    return told or call.operand("out_size") is not None or bool(call.members("size_tensor"))


def affine_grid(call: Call) -> Result:
    """Positions that an affine map sends a grid to."""
    attrs = {
        "align_corners": bool(call.get("align_corners", True)),
        "size": tuple(int(extent) for extent in call.shape[1:-1]),
    }
    return call.draft("AffineGrid", [call["input"]], attrs)


def grid_sample(call: Call) -> Result:
    """Values at positions between the elements."""
    attrs = {
        "mode": str(call.get("mode")),
        "padding_mode": str(call.get("padding_mode")),
        "align_corners": bool(call.get("align_corners", True)),
    }
    return call.draft("GridSample", [call["x"], call["grid"]], attrs)


# -- frequencies


def complex_part(op: str) -> Row:
    """real, imag: nothing for a real tensor's real part."""

    def row(call: Call) -> Result:
        if call.builder.dtype(call["x"]).startswith("complex"):
            return call.draft(op, [call["x"]])
        return call.touch(call["x"])

    return row


def fourier(call: Call) -> Result:
    """fft_r2c, fft_c2c over axes."""
    if call.get("onesided", False):
        raise Unsupported("a one-sided transform")
    attrs = {
        "axes": tuple(sorted(int(axis) % call.rank(call["x"]) for axis in call.numbers("axes"))),
        "inverse": not call.get("forward", True),
        "normalization": str(call.get("normalization", "backward")),
    }
    return call.draft("DFT", [call["x"]], attrs)


# -- sequences


def recurrent(call: Call) -> Result:
    """rnn: LSTM, GRU or a plain recurrence, by the attribute `mode`."""
    if call.operand("sequence_length") is not None:
        raise Unsupported("sequences of different lengths")
    states = call.tensors("pre_state")
    mode = str(call.get("mode"))
    op = mode if mode in ("LSTM", "GRU") else "RNN"
    attrs = _recurrence(call)
    if op == "RNN":
        attrs["activation"] = "relu" if "RELU" in mode else "tanh"
    state_types = [TensorType(shape_of(edge), call.type().dtype) for edge in states]
    operands = [call["x"], *states, *_cell_weights(call)]
    drafts = call.results(op, operands, attrs, call.type(), *state_types)
    # native results: output, dropout state, the final states (a list), workspace
    if len(call.record.outputs) != 4:
        return [drafts[0], None, *drafts[1:]]
    call.list_result(2, drafts[1:])
    only_state: Edge | None = None
    if len(states) == 1:
        only_state = drafts[1]
    return [drafts[0], None, only_state, None]


def _recurrence(call: Call) -> dict[str, Any]:
    layers = int(call.number("num_layers", 1))
    dropout = 0.0
    if layers > 1 and not call.get("is_test", False):
        dropout = float(call.number("dropout_prob", 0.0))
    return {
        "hidden_size": int(call.number("hidden_size")),
        "num_layers": layers,
        "bidirectional": bool(call.get("is_bidirec", False)),
        "dropout": dropout,
    }


def _cell_weights(call: Call) -> list[Edge]:
    """Weights by layer and direction, as torch has them; Paddle has all weights, then all
    biases."""
    weights = call.tensors("weight_list")
    cells = int(call.number("num_layers", 1))
    if call.get("is_bidirec", False):
        cells *= 2
    if len(weights) != 4 * cells:
        raise Unsupported(f"{len(weights)} weights for {cells} cells")
    matrices, biases = weights[: 2 * cells], weights[2 * cells :]
    ordered = []
    for cell in range(cells):
        pair = slice(2 * cell, 2 * cell + 2)
        ordered += [*matrices[pair], *biases[pair]]
    return ordered


# -- draws


def dropout(call: Call) -> Result:
    """Kept values are scaled in training (upscale_in_train), or all of them in evaluation
    (downgrade_in_infer)."""
    edge, ratio = call["x"], float(call.number("p", 0.5))
    downscale = str(call.get("mode", "upscale_in_train")) == "downgrade_in_infer"
    if ratio == 0:
        return [call.touch(edge)]
    if call.get("is_test", False):
        return [call.affine(edge, 1.0 - ratio) if downscale else call.touch(edge)]
    kept = call.draft("Dropout", [edge], {"ratio": ratio})
    return [call.affine(kept, 1.0 - ratio) if downscale else kept]


def bernoulli(call: Call) -> Result:
    """Draws with the probabilities of a constant tensor."""
    probability = call.scalar(call["x"])
    if probability is None:
        raise Unsupported("draws with a tensor of probabilities")
    return call.draft("Bernoulli", [], {"p": float(probability)})


def uniform(call: Call) -> Result:
    """uniform(shape, min, max): the range is a factor and a shift."""
    low, high = float(call.number("min", 0.0)), float(call.number("max", 1.0))
    return call.affine(call.draft("RandomUniform", []), high - low, low)


def normal(call: Call) -> Result:
    """gaussian(shape, mean, std): mean and deviation are a shift and a factor."""
    mean, deviation = float(call.number("mean", 0.0)), float(call.number("std", 1.0))
    return call.affine(call.draft("RandomNormal", []), deviation, mean)


def integers(call: Call) -> Result:
    """randint(low, high, shape)."""
    bounds = {"low": int(call.number("low", 0)), "high": int(call.number("high"))}
    return call.draft("RandomInteger", [], bounds)


def permutation(call: Call) -> Result:
    """randperm(n)."""
    return call.draft("RandomPermutation", [], {"n": int(call.number("n"))})
