"""paddle.amp.auto_cast of a stand-in: operations are cast by Paddle's lists, wherever it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import paddle
from paddle.amp import amp_lists

from padiff_graph.capture.autocast import Autocast, Lists, replaced
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.internals import Patch

__all__ = ["lists", "patches"]

LEVEL = "O1"
FLUID: Mapping[str, str] = MappingProxyType(
    {
        "cross_entropy_with_softmax": "softmax_with_cross_entropy",
        "embedding": "lookup_table_v2",
        "matmul": "matmul_v2",
        "mean": "reduce_mean",
        "prod": "reduce_prod",
        "sum": "reduce_sum",
    }
)
"""Operations that the lists have under the name that they had before."""
INTERPOLATED = ("bicubic", "bilinear", "linear", "nearest", "trilinear")
WIDEST = (
    "addmm baddbmm batch_fc bilinear bmm concat conv1d conv2d_transpose conv3d conv3d_transpose "
    "depthwise_conv2d dot fused_rms_norm grid_sample index_put lerp mv prelu put_along_axis "
    "rms_norm scatter_nd_add stack where"
)
"""In no list: float32 where one of several operands is. Others promote by themselves."""
BACK = frozenset({"batch_norm", "batch_norm_", "instance_norm"})
"""Their statistics and weights stay float32, the result has what the data had."""


METHODS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "__matmul__": lambda x, y: paddle.matmul(x, y),
        "__rmatmul__": lambda x, y: paddle.matmul(y, x),
        "__pow__": lambda x, y: paddle.pow(x, y),
    }
)
"""Methods that call what was bound when Paddle was imported."""


def lists(precision: str) -> Lists:
    """Paddle's own lists, by the names of `paddle._C_ops`."""
    white = amp_lists.white_list()[precision][LEVEL]
    black = amp_lists.black_list()[precision][LEVEL]
    names = [name for name in dir(paddle._C_ops) if not name.startswith("_")]
    lower = frozenset(name for name in names if _listed(name) in white)
    single = frozenset(name for name in names if _listed(name) in black)
    widest = frozenset(WIDEST.split()) - lower - single
    return Lists(lower, single, widest, BACK)


def _listed(name: str) -> str:
    before = name.removesuffix("_interp")
    if before != name and before in INTERPOLATED:
        return f"{name}_v2"
    return FLUID.get(name, name)


def patches(state: Autocast) -> list[Patch]:
    """What makes blocks of auto_cast be noted, and the listed operations be cast."""
    why = "float64, which stands for the half precision, is not cast"
    named = {*state.lists.lower, *state.lists.single, *state.lists.widest, *state.lists.back}
    found = [
        Patch(paddle._C_ops, name, _casting(state, name, getattr(paddle._C_ops, name)), why)
        for name in sorted(named)
        if hasattr(paddle._C_ops, name)
    ]
    block = "a block on a CPU has no effect"
    found.append(Patch(internals.AUTOCAST, "amp_guard", _guard(state), block))
    functional = paddle.nn.functional
    linear = _casting(state, "linear_v2", functional.linear)
    own = "a build for a GPU has one operation for it, which is listed"
    found += [Patch(home, "linear", linear, own) for home in (functional, functional.common)]
    return found + [
        Patch(kind, name, function, "leads past the operations' names")
        for kind in (paddle.Tensor, paddle.pir.Value)
        for name, function in METHODS.items()
    ]


def _guard(state: Autocast) -> Callable[..., Any]:
    @contextmanager
    def guard(
        enable: bool = True,
        custom_white_list: Any = None,
        custom_black_list: Any = None,
        level: str = LEVEL,
        dtype: Any = "float16",
        use_promote: bool = True,
    ) -> Iterator[None]:
        if enable and (custom_white_list or custom_black_list or level.upper() not in ("O0", "O1")):
            raise RuntimeError(
                "paddle.amp.auto_cast with lists of its own, or of another level than O1, is not "
                "emulated in half precision"
            )
        name = dtype if isinstance(dtype, str) else dtype.name.lower()
        state.enter(enable and level.upper() == LEVEL, name)
        try:
            yield
        finally:
            state.leave()

    return guard


def _casting(state: Autocast, name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(own)
    def call(*given: Any, **named: Any) -> Any:
        floats: list[bool] = []

        def noting(member: Any) -> Any:
            if _floating(member):
                floats.append(member.dtype == paddle.float64)
            return member

        if not state.on:
            return own(*given, **named)
        replaced([*given, *named.values()], noting)
        lower = state.target(name, floats)
        if lower is None:
            return own(*given, **named)
        dtype = paddle.float64 if lower else paddle.float32

        def changed(member: Any) -> Any:
            if _floating(member) and member.dtype != dtype:
                return paddle._C_ops.cast(member, dtype)
            return member

        keywords = {key: replaced(member, changed) for key, member in named.items()}
        result = own(*(replaced(member, changed) for member in given), **keywords)
        if name in state.lists.back and floats[0]:
            return replaced(result, _lowered_data(result))
        return result

    return call


def _lowered_data(result: Any) -> Callable[[Any], Any]:
    """Casts the first result, the data, and leaves statistics as they are."""
    data = result[0] if isinstance(result, (list, tuple)) else result

    def changed(member: Any) -> Any:
        return paddle._C_ops.cast(member, paddle.float64) if member is data else member

    return changed


def _floating(member: Any) -> bool:
    tensor = isinstance(member, (paddle.Tensor, paddle.pir.Value))
    return tensor and member.dtype in (paddle.float32, paddle.float64)
