"""Recurrent layers that end the process when they are run: told before they do."""

from __future__ import annotations

import paddle

from padiff_graph.capture.capture_errors import MissingKernelError
from padiff_graph.capture.paddle import internals

__all__ = ["refuse_missing_bias"]

TENSORS = 4
"""Of a cell, as Paddle's kernel counts on them: two weights and two biases."""


def refuse_missing_bias(model: paddle.nn.Layer) -> None:
    """Refuses recurrent layers without one of their biases, or without both.

    Paddle's kernel reads past the end of fewer tensors: a segmentation fault (seen in 3.3.1,
    `paddle/phi/kernels/cpu/rnn_kernel.cc`). Layers that run their cells one by one are fine.

    Raises:
        MissingKernelError: with the layer and what may be done.
    """
    for path, layer in model.named_sublayers(include_self=True):
        if not isinstance(layer, internals.RECURRENT.RNNBase) or not layer.could_use_cudnn:
            continue
        cells = layer.num_layers * layer.num_directions
        if len(layer.parameters(include_sublayers=False)) < TENSORS * cells:
            kind = type(layer).__name__
            raise MissingKernelError(
                f"paddle.nn.{kind} at {path or 'the model itself'} lacks a bias, with which it ends"
                " the process in Paddle's own kernel as soon as it is run: give it both, zeros that"
                " are not trained in the place of each (bias_hh_attr=paddle.ParamAttr(initializer="
                "paddle.nn.initializer.Constant(0.0), trainable=False))"
            )
