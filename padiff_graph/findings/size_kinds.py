"""Kinds of causes that are sizes of layers."""

from __future__ import annotations

from padiff_graph.findings.kind import Kind, kind_of

__all__ = ["SIZES"]


def _size(name: str, meaning: str, op: str, first: object = 12, second: object = 16) -> Kind:
    return kind_of(
        f"size.{name}", meaning, op=op, name=name, first_value=first, second_value=second
    )


SIZES = (
    _size("in_features", "a Linear reads values of another width", "Linear"),
    _size("out_features", "a Linear yields values of another width: units, classes", "Linear"),
    _size("in_channels", "a convolution reads another number of channels", "Conv", 3, 1),
    _size("out_channels", "a convolution yields another number of channels", "Conv", 8, 16),
    _size("kernel_size", "the kernel of a convolution is larger or smaller", "Conv", (3,), (5,)),
    _size("num_features", "a normalization is over other channels", "BatchNormalization", 8, 16),
    _size(
        "normalized_shape",
        "a normalization is over rows of another size",
        "LayerNormalization",
        (12,),
        (16,),
    ),
    _size("num_embeddings", "a table has another number of rows", "Gather", 100, 128),
    _size("embedding_dim", "the rows of a table have another width", "Gather"),
    _size("num_heads", "a reshape splits a value into another number of heads", "MatMul", 4, 8),
    _size("input_size", "a recurrent layer reads values of another width", "LSTM"),
    _size(
        "shape", "a parameter that is read as it is has another shape", "Add", ((12,),), ((16,),)
    ),
    kind_of(
        "size.depth",
        "blocks of a run are missing, or there are too many",
        side=1,
        path="encoder.layers",
        first_count=10,
        second_count=12,
    ),
)
"""Sizes that both graphs show, by the names that layers give them."""
