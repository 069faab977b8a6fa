"""Recurrent layers that Paddle cannot run: told before they end the process."""

from __future__ import annotations

import paddle

from padiff_graph.capture.capture_errors import MissingKernelError
from padiff_graph.capture.paddle import internals

__all__ = ["refuse_one_bias"]

WEIGHTS = 2
"""Weights of a cell: of its input and of its state."""


def refuse_one_bias(model: paddle.nn.Layer) -> None:
    """Refuses recurrent layers with one of the two biases alone.

    Paddle's kernel counts on four tensors a cell, or on two, and reads past the end of three: a
    segmentation fault (seen in 3.3.1, `paddle/phi/kernels/cpu/rnn_functor.h`).

    Raises:
        MissingKernelError: with the layer and what may be done.
    """
    for path, layer in model.named_sublayers(include_self=True):
        if not isinstance(layer, internals.RECURRENT.RNNBase):
            continue
        cells = layer.num_layers * layer.num_directions
        held = layer.parameters(include_sublayers=False)
        if len(held) == (WEIGHTS + 1) * cells:
            kind = type(layer).__name__
            raise MissingKernelError(
                f"paddle.nn.{kind} at {path or 'the model itself'} has one of bias_ih and bias_hh"
                " alone, and ends the process in Paddle's own kernel: give it both, with zeros in"
                " the one (bias_hh_attr=paddle.ParamAttr(initializer=paddle.nn.initializer"
                ".Constant(0.0), trainable=False))"
            )
