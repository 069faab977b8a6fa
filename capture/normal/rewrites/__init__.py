"""Named rewrites over the drafts of a normal form, in the order they run."""

from __future__ import annotations

from collections.abc import Callable

from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.rewrites.batch_statistics import (
    norm_over_batch,
    statistics_into_norm,
)
from padiff_graph.capture.normal.rewrites.composed_gelu import composed_gelu
from padiff_graph.capture.normal.rewrites.composed_norms import (
    composed_layer_norm,
    composed_rms_norm,
)
from padiff_graph.capture.normal.rewrites.composed_softmax import composed_softmax
from padiff_graph.capture.normal.rewrites.concatenation import (
    concat_of_concat,
    concat_of_one_source,
    part_of_concat,
)
from padiff_graph.capture.normal.rewrites.convolution_axes import convolution_of_fewer_axes
from padiff_graph.capture.normal.rewrites.factors import (
    scale_out_of_elementwise,
    scale_out_of_matmul,
    scale_out_of_product,
)
from padiff_graph.capture.normal.rewrites.folded_batch_norm import composed_batch_norm
from padiff_graph.capture.normal.rewrites.gated_activations import (
    clip_unscaled,
    composed_hard_sigmoid,
    x_times_hard_sigmoid,
    x_times_sigmoid,
)
from padiff_graph.capture.normal.rewrites.group_norm import channel_parameter_into_norm
from padiff_graph.capture.normal.rewrites.linear import (
    convolution_of_one_element,
    matmul_with_parameter,
)
from padiff_graph.capture.normal.rewrites.masks import mask_into_softmax, shift_of_softmax
from padiff_graph.capture.normal.rewrites.nested_sums import (
    least_operands,
    nested_sum_or_product,
    shift_out_of_sum,
)
from padiff_graph.capture.normal.rewrites.norm_parameters import scale_and_bias_into_norm
from padiff_graph.capture.normal.rewrites.padding import (
    zero_padding_into_view,
    zero_padding_into_window,
)
from padiff_graph.capture.normal.rewrites.powers import power_of_power, product_of_equals
from padiff_graph.capture.normal.rewrites.product_bias import bias_into_product
from padiff_graph.capture.normal.rewrites.product_order import cheaper_product, product_read_turned
from padiff_graph.capture.normal.rewrites.random_draws import (
    bernoulli_from_uniform,
    coin_as_truth,
    coin_compared,
    coin_taken_from_one,
    coin_turned_over,
    dropout_by_coin,
    dropout_of_constant,
    filled_by_coin,
)
from padiff_graph.capture.normal.rewrites.rule import Rule, sweep
from padiff_graph.capture.normal.rewrites.split_linear import split_linear
from padiff_graph.capture.normal.rewrites.trivial_operations import (
    reduction_of_one,
    where_of_constant,
)

__all__ = ["FIRST", "REWRITES", "SECOND"]

FIRST: tuple[Rule, ...] = (
    where_of_constant,
    bernoulli_from_uniform,
    coin_as_truth,
    coin_compared,
    coin_taken_from_one,
    coin_turned_over,
    filled_by_coin,
    dropout_by_coin,
    dropout_of_constant,
    part_of_concat,
    reduction_of_one,
    matmul_with_parameter,
    convolution_of_one_element,
    convolution_of_fewer_axes,
    zero_padding_into_window,
    bias_into_product,
    x_times_sigmoid,
    x_times_hard_sigmoid,
    product_of_equals,
    scale_out_of_matmul,
    scale_out_of_elementwise,
    clip_unscaled,
    composed_hard_sigmoid,
    power_of_power,
    composed_gelu,
    composed_layer_norm,
    norm_over_batch,
    composed_rms_norm,
    composed_softmax,
    scale_and_bias_into_norm,
    channel_parameter_into_norm,
    composed_batch_norm,
    concat_of_one_source,
)
"""Rules of the first sweep: what is folded into one operator."""

SECOND: tuple[Rule, ...] = (
    zero_padding_into_view,
    nested_sum_or_product,
    product_of_equals,
    composed_gelu,
    x_times_hard_sigmoid,
    scale_out_of_elementwise,
    shift_out_of_sum,
    power_of_power,
    scale_out_of_product,
    product_read_turned,
    cheaper_product,
    concat_of_concat,
    shift_of_softmax,
    mask_into_softmax,
    least_operands,
)
"""Rules that need the first sweep to be done: sums without biases, padding that no window takes."""


def fold(builder: Builder) -> None:
    """The sweep of `FIRST`."""
    sweep(builder, FIRST)


def flatten(builder: Builder) -> None:
    """The sweep of `SECOND`."""
    sweep(builder, SECOND)


REWRITES: tuple[Callable[[Builder], None], ...] = (
    fold,
    flatten,
    statistics_into_norm,
    split_linear,
)
