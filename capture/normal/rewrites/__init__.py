"""Named rewrites over the drafts of a normal form, in the order they run."""

from __future__ import annotations

from collections.abc import Callable

from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.rewrites.arithmetic import clip_unscaled, nested_sum_or_product, power_of_power, product_of_equals, scale_out_of_elementwise, shift_out_of_sum, x_times_sigmoid
from padiff_graph.capture.normal.rewrites.linear import bias_into_product, convolution_of_fewer_axes, matmul_with_parameter, scale_out_of_product
from padiff_graph.capture.normal.rewrites.rule import Rule, sweep

__all__ = ["LOCAL", "REWRITES"]

LOCAL: tuple[Rule, ...] = (
    matmul_with_parameter,
    convolution_of_fewer_axes,
    bias_into_product,
    x_times_sigmoid,
    product_of_equals,
    scale_out_of_product,
    scale_out_of_elementwise,
    clip_unscaled,
    power_of_power,
)
"""Rules of one sweep."""

SUMS: tuple[Rule, ...] = (nested_sum_or_product, product_of_equals, scale_out_of_elementwise, shift_out_of_sum, power_of_power)
"""Rules that need biases to be gone from sums."""


def local(builder: Builder) -> None:
    """The sweep of `LOCAL`."""
    sweep(builder, LOCAL)


def sums(builder: Builder) -> None:
    """The sweep of `SUMS`."""
    sweep(builder, SUMS)


REWRITES: tuple[Callable[[Builder], None], ...] = (local, sums)
