"""torch.autocast of a stand-in: calls are cast by the lists of a GPU, wherever the check runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from padiff_graph.capture.autocast import Autocast, Lists, replaced

__all__ = ["LISTS", "cast", "watched"]

LISTS = Lists.of(
    lower=(
        "__matmul__ __rmatmul__ addbmm addmm addmv addr baddbmm bmm chain_matmul multi_dot conv1d "
        "conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d einsum linear "
        "matmul mm mv prelu scaled_dot_product_attention"
    ),
    single=(
        "__pow__ __rdiv__ __rpow__ __rtruediv__ acos asin binary_cross_entropy_with_logits cosh "
        "cosine_embedding_loss cdist cosine_similarity cross_entropy cumprod cumsum dist erfinv "
        "exp expm1 group_norm hinge_embedding_loss kl_div l1_loss layer_norm log log10 log_softmax "
        "log1p log2 margin_ranking_loss mse_loss multilabel_margin_loss multi_margin_loss nll_loss "
        "norm normalize pdist poisson_nll_loss pow prod reciprocal rsqrt sinh smooth_l1_loss "
        "soft_margin_loss softmax softmin softplus sum renorm tan triplet_margin_loss"
    ),
    widest=("addcdiv addcmul atan2 bilinear cross dot grid_sample index_put scatter_add tensordot"),
    refused=(
        "multi_head_attention_forward _transformer_encoder_layer_fwd lstm gru rnn_tanh rnn_relu "
        "lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"
    ),
)
"""https://docs.pytorch.org/docs/stable/amp.html, "CUDA Ops that can autocast to float16", "to
float32" and "that promote"; what those functions are called on tensors too, and `einsum`, which is
products."""


def cast(state: Autocast, function: Any, given: Any, named: Any) -> tuple[Any, Any]:
    """A call's arguments as autocast hands them on; float64 is the half precision."""
    floats: list[bool] = []

    def noting(member: Any) -> Any:
        if _floating(member):
            floats.append(member.dtype is torch.float64)
        return member

    replaced([*given, *named.values()], noting)
    lower = state.target(getattr(function, "__name__", ""), floats)
    if lower is None:
        return given, named
    dtype = torch.float64 if lower else torch.float32

    def changed(member: Any) -> Any:
        return member.to(dtype) if _floating(member) and member.dtype is not dtype else member

    keywords = {name: replaced(member, changed) for name, member in named.items()}
    return [replaced(member, changed) for member in given], keywords


def _floating(member: Any) -> bool:
    return isinstance(member, torch.Tensor) and member.dtype in (torch.float32, torch.float64)


@contextmanager
def watched(state: Autocast) -> Iterator[None]:
    """Blocks of torch.autocast inside are noted in `state` and change nothing else."""
    kind = torch.amp.autocast_mode.autocast
    own = {name: vars(kind)[name] for name in ("__init__", "__enter__", "__exit__")}

    def made(
        self: Any,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        *more: Any,
        **named: Any,
    ) -> None:
        own["__init__"](self, device_type, dtype, False, *more, **named)
        self.__dict__["_asked"] = enabled, None if dtype is None else str(dtype).partition(".")[2]

    def entered(self: Any) -> Any:
        # one that was made before this block has kept what torch makes of it
        kept = self._enabled, str(self.fast_dtype).partition(".")[2]
        state.enter(*self.__dict__.get("_asked", kept))
        return self

    def left(self: Any, *_: Any) -> None:
        state.leave()

    try:
        for name, replacement in zip(own, (made, entered, left), strict=True):
            setattr(kind, name, replacement)
        yield
    finally:
        for name, former in own.items():
            setattr(kind, name, former)
