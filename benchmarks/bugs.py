"""Realistic port bugs, each planted at a random place of any Paddle model.

A bug is a function (layer, random) -> Planted | None: it alters the layer in place, by its layers'
attributes or by a patched forward of one instance, and says where it stands; None where the model
has no place for it. Only what the example really runs is chosen from.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

__all__ = ["BUGS", "Planted", "executed"]


@dataclass(frozen=True)
class Planted:
    """A planted bug.

    Attributes:
        path: dotted path of the layer where it stands.
        what: in words.
        words: lower-case fragments, one of which names the cause.
        train: whether it shows in training mode only.
        copy: whether weights are copied by the check (auto_weights).
        also: other paths that are as exact (the two layers of a swap).
        extra: further parameters of the check.
    """

    path: str
    what: str
    words: tuple[str, ...]
    train: bool = False
    copy: bool = True
    also: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


Bug = Callable[[Any, random.Random], "Planted | None"]
BUGS: dict[str, Bug] = {}


def bug(function: Bug) -> Bug:
    BUGS[function.__name__] = function
    return function


# -- places


def executed(layer: Any, inputs: Mapping[str, Any]) -> None:
    """Runs the model once and notes on each layer how often it was called, in which order, and on
    what shapes."""
    hooks = []
    order = itertools.count()

    def started(sub: Any) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            sub.__dict__.setdefault("_bench_first", next(order))

        return hook

    def noted(sub: Any) -> Callable[..., None]:
        def hook(_: Any, given: Any, result: Any) -> None:
            sub.__dict__["_bench_calls"] = sub.__dict__.get("_bench_calls", 0) + 1
            tensors = [value for value in given if isinstance(value, paddle.Tensor)]
            sub.__dict__["_bench_in"] = list(tensors[0].shape) if tensors else None
            sub.__dict__["_bench_out"] = (
                list(result.shape) if isinstance(result, paddle.Tensor) else None
            )

        return hook

    for _, sub in layer.named_sublayers(include_self=True):
        hooks.append(sub.register_forward_pre_hook(started(sub)))
        hooks.append(sub.register_forward_post_hook(noted(sub)))
    with paddle.no_grad():
        layer(**inputs)
    for hook in hooks:
        hook.remove()


def places(
    layer: Any, *classes: type, when: Callable[[Any], bool] = lambda sub: True
) -> list[tuple[str, Any]]:
    """Layers that ran exactly once, below the root."""
    return [
        (path, sub)
        for path, sub in layer.named_sublayers()
        if (not classes or isinstance(sub, classes))
        and sub.__dict__.get("_bench_calls") == 1
        and when(sub)
    ]


def pick(found: Sequence[tuple[str, Any]], chance: random.Random) -> tuple[str, Any] | None:
    return chance.choice(list(found)) if found else None


def parent(layer: Any, path: str) -> tuple[Any, str]:
    owner = layer
    *way, name = path.split(".")
    for step in way:
        owner = getattr(owner, step)
    return owner, name


# -- ways to alter


def patched(sub: Any, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Gives one instance another forward, made from its own. Past the layer's __setattr__, which
    paddlenlp makes wrap what is set as forward and hand it the layer once more."""
    sub.__dict__["forward"] = make(sub.forward)


def after(sub: Any, change: Callable[[Any], Any]) -> None:
    """Changes the first tensor of an instance's result."""

    def make(own: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*given: Any, **named: Any) -> Any:
            result = own(*given, **named)
            if isinstance(result, tuple):
                return (change(result[0]), *result[1:])
            return change(result)

        return forward

    patched(sub, make)


@contextmanager
def swapped(owners: Sequence[Any], name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    kept = [(owner, getattr(owner, name)) for owner in owners]
    for owner, own in kept:
        setattr(owner, name, make(own))
    try:
        yield
    finally:
        for owner, own in kept:
            setattr(owner, name, own)


TENSORS = (paddle.Tensor, paddle.pir.Value)


def during(
    sub: Any,
    owners: Sequence[Any],
    name: str,
    change: Callable[..., Any],
    fits: Callable[..., bool] = lambda *_, **__: True,
) -> None:
    """While an instance's own forward runs (not its sublayers'), the first fitting call of
    `owner.name` is answered by `change(own, *arguments)`."""

    def make(own_forward: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*given: Any, **named: Any) -> Any:
            state = {"depth": 0, "done": False}

            def replaced(own: Any) -> Any:
                def call(*arguments: Any, **keywords: Any) -> Any:
                    if state["depth"] == 0 and not state["done"] and fits(*arguments, **keywords):
                        state["done"] = True
                        return change(own, *arguments, **keywords)
                    return own(*arguments, **keywords)

                return call

            def deeper(own: Any) -> Any:
                def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
                    state["depth"] += 1
                    try:
                        return own(self, *arguments, **keywords)
                    finally:
                        state["depth"] -= 1

                return call

            with swapped(owners, name, replaced), swapped([nn.Layer], "__call__", deeper):
                return own_forward(*given, **named)

        return forward

    patched(sub, make)


def tensor(value: Any) -> bool:
    return isinstance(value, TENSORS)


def same_shape(*values: Any) -> bool:
    return (
        len(values) >= 2
        and tensor(values[0])
        and tensor(values[1])
        and list(values[0].shape) == list(values[1].shape)
    )


NORMS = (nn.LayerNorm,)
BATCH = (nn.BatchNorm2D, nn.BatchNorm1D, nn.BatchNorm3D, nn.BatchNorm)
CONVOLUTIONS = (nn.Conv2D,)
ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.GELU,
    nn.Hardswish,
    nn.Silu,
    nn.Swish,
    nn.Sigmoid,
    nn.Tanh,
    nn.LeakyReLU,
    nn.Hardsigmoid,
)


# -- attributes


@bug
def layernorm_epsilon(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, *NORMS), chance)
    if found is None:
        return None
    path, sub = found
    sub._epsilon = chance.choice([1e-3, 1e-6 if sub._epsilon > 5e-6 else 1e-5])
    return Planted(path, f"LayerNorm epsilon {sub._epsilon}", ("epsilon", "eps"))


@bug
def batchnorm_epsilon(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, *BATCH), chance)
    if found is None:
        return None
    path, sub = found
    sub._epsilon = 1e-3 if sub._epsilon < 5e-4 else 1e-5
    return Planted(path, f"BatchNorm epsilon {sub._epsilon}", ("epsilon", "eps"))


@bug
def groupnorm_epsilon(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.GroupNorm), chance)
    if found is None:
        return None
    path, sub = found
    sub._epsilon = 1e-3
    return Planted(path, "GroupNorm epsilon 1e-3", ("epsilon", "eps"))


@bug
def groupnorm_groups(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.GroupNorm, when=lambda sub: sub._num_groups % 2 == 0), chance)
    if found is None:
        return None
    path, sub = found
    sub._num_groups //= 2
    return Planted(path, f"GroupNorm groups {sub._num_groups}", ("groups",))


@bug
def batchnorm_momentum(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, *BATCH), chance)
    if found is None:
        return None
    path, sub = found
    sub._momentum = 1 - sub._momentum if abs(sub._momentum - 0.5) > 0.1 else 0.3
    return Planted(path, f"BatchNorm momentum {sub._momentum}", ("momentum",), train=True)


@bug
def activation_changed(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, *ACTIVATIONS), chance)
    if found is None:
        return None
    path, sub = found
    other = F.gelu if not isinstance(sub, nn.GELU) else F.silu
    sub.forward = lambda x: other(x)
    return Planted(
        path,
        f"{type(sub).__name__} became {other.__name__}",
        ("gelu", "silu", "swish", "relu", "activation"),
    )


@bug
def gelu_approximation(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.GELU), chance)
    if found is None:
        return None
    path, sub = found
    sub._approximate = not sub._approximate
    return Planted(path, f"GELU approximate={sub._approximate}", ("approximat", "tanh", "erf"))


@bug
def activation_missing(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, *ACTIVATIONS), chance)
    if found is None:
        return None
    path, sub = found
    name = type(sub).__name__
    owner, key = parent(layer, path)
    setattr(owner, key, nn.Identity())
    return Planted(path, f"missing {name}", ("missing",))


@bug
def activation_extra(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *BATCH, *NORMS), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, F.relu)
    return Planted(path, "extra Relu", ("extra", "relu"))


@bug
def norm_missing(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, *NORMS, *BATCH, nn.GroupNorm), chance)
    if found is None:
        return None
    path, sub = found
    owner, key = parent(layer, path)
    setattr(owner, key, nn.Identity())
    return Planted(path, f"missing {type(sub).__name__}", ("missing",))


@bug
def bias_missing(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, when=lambda sub: sub.bias is not None), chance)
    if found is None:
        return None
    path, sub = found
    sub.bias = None
    return Planted(path, "missing bias", ("bias",))


# -- wiring


@bug
def residual_missing(layer: Any, chance: random.Random) -> Planted | None:
    """The own forward of some layer adds two tensors of one shape; the right one is left out."""
    found = _adders(layer, chance)
    if found is None:
        return None
    path, sub = found
    during(sub, TENSORS, "__add__", lambda own, a, b: a, same_shape)
    return Planted(path, "missing residual", ("add", "residual"))


def _adders(layer: Any, chance: random.Random, name: str = "__add__") -> tuple[str, Any] | None:
    """Layers whose own forward calls an operator on two tensors of one shape."""
    seen: list[tuple[str, Any]] = []
    candidates = [(path, sub) for path, sub in places(layer) if list(sub.children())]
    inputs = layer.__dict__["_bench_inputs"]
    for path, sub in chance.sample(candidates, min(12, len(candidates))):
        hit = []
        own = sub.forward
        during(
            sub, TENSORS, name, lambda op, a, b, hit=hit: (hit.append(1), op(a, b))[1], same_shape
        )
        try:
            with paddle.no_grad():
                layer(**inputs)
        finally:
            sub.__dict__.pop("forward", None)
            if "forward" not in type(sub).__dict__ and sub.forward != own:
                sub.forward = own
        if hit:
            seen.append((path, sub))
            break
    return seen[0] if seen else None


@bug
def residual_subtracted(layer: Any, chance: random.Random) -> Planted | None:
    found = _adders(layer, chance)
    if found is None:
        return None
    path, sub = found
    during(sub, TENSORS, "__add__", lambda own, a, b: a - b, same_shape)
    return Planted(path, "residual subtracted", ("sub", "sign", "negat", "scale", "add"))


@bug
def product_operands_swapped(layer: Any, chance: random.Random) -> Planted | None:
    """a - b became b - a."""
    found = _adders(layer, chance, "__sub__")
    if found is None:
        return None
    path, sub = found
    during(sub, TENSORS, "__sub__", lambda own, a, b: own(b, a), same_shape)
    return Planted(path, "operands swapped", ("swap", "negat", "operand", "order", "scale"))


@bug
def layers_swapped(layer: Any, chance: random.Random) -> Planted | None:
    """Two layers of one shape are called in each other's place; weights are equal by name."""
    groups: dict[Any, list[tuple[str, Any]]] = {}
    for path, sub in places(layer, nn.Linear):
        groups.setdefault(
            (path.rpartition(".")[0], tuple(sub.weight.shape), sub.bias is None), []
        ).append((path, sub))
    pairs = [group for group in groups.values() if len(group) >= 2]
    if not pairs:
        return None
    (one, first), (other, second) = chance.sample(chance.choice(pairs), 2)
    owner, key = parent(layer, one)
    owner2, key2 = parent(layer, other)
    setattr(owner, key, second)
    setattr(owner2, key2, first)
    return Planted(one, f"{one} and {other} swapped", ("swap",), copy=False, also=(other,))


@bug
def weight_transposed(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(layer, nn.Linear, when=lambda sub: sub.weight.shape[0] == sub.weight.shape[1]),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    sub.weight.set_value(sub.weight.t().clone())
    return Planted(path, "square weight not transposed", ("transpose",), copy=False)


@bug
def weight_permuted(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(layer, nn.Linear, nn.Conv2D, when=lambda sub: sub.weight.shape[0] > 1), chance
    )
    if found is None:
        return None
    path, sub = found
    sub.weight.set_value(paddle.flip(sub.weight, [0]))
    return Planted(
        path,
        "weight rows in another order",
        ("order", "permut", "flip", "different values"),
        copy=False,
    )


@bug
def weights_shared(layer: Any, chance: random.Random) -> Planted | None:
    groups: dict[Any, list[tuple[str, Any]]] = {}
    for path, sub in places(layer, nn.Linear, nn.Conv2D):
        groups.setdefault((type(sub), tuple(sub.weight.shape)), []).append((path, sub))
    pairs = [group for group in groups.values() if len(group) >= 2]
    if not pairs:
        return None
    (one, first), (other, second) = chance.sample(chance.choice(pairs), 2)
    second.weight = first.weight
    return Planted(
        other,
        f"{other} shares the weight of {one}",
        ("share", "tied", "same parameter", "one parameter"),
        also=(one,),
    )


@bug
def called_twice(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(
            layer,
            nn.Linear,
            nn.Conv2D,
            *NORMS,
            *BATCH,
            when=lambda sub: sub.__dict__.get("_bench_in") == sub.__dict__.get("_bench_out"),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    patched(sub, lambda own: lambda x: own(own(x)))
    return Planted(path, "called twice", ("extra", "twice", "more"))


@bug
def concat_order(layer: Any, chance: random.Random) -> Planted | None:
    return _function(
        layer,
        chance,
        [paddle],
        "concat",
        lambda own, x, *rest, **named: own(list(reversed(x)), *rest, **named),
        "concat parts in reverse",
        ("order", "concat", "swap", "operand"),
        lambda x=None, *_, **__: isinstance(x, (list, tuple)) and len(x) > 1,
    )


def _function(
    layer: Any,
    chance: random.Random,
    owners: Sequence[Any],
    name: str,
    change: Callable[..., Any],
    what: str,
    words: tuple[str, ...],
    fits: Callable[..., bool] = lambda *_, **__: True,
) -> Planted | None:
    """Plants into a layer whose own forward calls a function of Paddle's."""
    inputs = layer.__dict__["_bench_inputs"]
    candidates = places(layer)
    for path, sub in chance.sample(candidates, min(40, len(candidates))):
        hit: list[int] = []

        def noted(own: Any, *given: Any, hit: list[int] = hit, **named: Any) -> Any:
            hit.append(1)
            return own(*given, **named)

        during(sub, owners, name, noted, fits)
        try:
            with paddle.no_grad():
                layer(**inputs)
        finally:
            sub.__dict__.pop("forward", None)
        if hit:
            during(sub, owners, name, change, fits)
            return Planted(path, what, words)
    return None


@bug
def softmax_axis(layer: Any, chance: random.Random) -> Planted | None:
    return _function(
        layer,
        chance,
        [F],
        "softmax",
        lambda own, x, *_, **__: own(x, axis=-2),
        "softmax over another axis",
        ("axis", "softmax"),
        lambda x=None, *_, **__: tensor(x) and len(x.shape) > 2,
    )


@bug
def matmul_transposed(layer: Any, chance: random.Random) -> Planted | None:
    """Square product with one operand transposed."""

    def square(x: Any = None, y: Any = None, *_: Any, **__: Any) -> bool:
        return tensor(x) and tensor(y) and len(x.shape) > 2 and x.shape[-1] == x.shape[-2]

    return _function(
        layer,
        chance,
        [paddle],
        "matmul",
        lambda own, x, y, *rest, **named: own(
            paddle.transpose(x, [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]),
            y,
            *rest,
            **named,
        ),
        "operand of a product transposed",
        ("transpos", "axes", "permut", "rewired", "operand"),
        square,
    )


@bug
def slice_bound(layer: Any, chance: random.Random) -> Planted | None:
    """x[:, 0] became x[:, 1]."""

    def first(x: Any = None, index: Any = None) -> bool:
        return (
            tensor(x)
            and isinstance(index, tuple)
            and len(index) >= 2
            and index[1] == 0
            and isinstance(index[1], int)
            and x.shape[1] > 1
        )

    def moved(own: Any, x: Any, index: Any) -> Any:
        return own(x, (index[0], 1, *index[2:]))

    return _function(
        layer,
        chance,
        TENSORS,
        "__getitem__",
        moved,
        "slice bound off by one",
        ("slice", "bound", "index", "start", "another place", "reads"),
        first,
    )


@bug
def flatten_order(layer: Any, chance: random.Random) -> Planted | None:
    """Channels last before a flatten."""

    def big(x: Any = None, *_: Any, **__: Any) -> bool:
        return tensor(x) and len(x.shape) == 4 and x.shape[2] * x.shape[3] > 1 and x.shape[1] > 1

    def moved(own: Any, x: Any, *rest: Any, **named: Any) -> Any:
        return own(paddle.transpose(x, [0, 2, 3, 1]).reshape(x.shape), *rest, **named)

    return _function(
        layer,
        chance,
        [paddle],
        "flatten",
        moved,
        "flattened in another order",
        ("order", "layout", "permut", "transpos", "axes"),
        big,
    )


# -- convolution, pooling, resizing


@bug
def conv_padding(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: (
                isinstance(sub._padding, int)
                and sub._padding == 1
                and max(sub._kernel_size) == 3
                and all(s == 1 for s in sub._stride)
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    # the same shape, padded with copies of the border
    patched(
        sub,
        lambda own: (
            lambda x: F.conv2d(
                F.pad(x, [1, 1, 1, 1], mode="replicate"),
                sub.weight,
                sub.bias,
                1,
                0,
                sub._dilation,
                sub._groups,
            )
        ),
    )
    return Planted(path, "padding mode replicate", ("pad",))


@bug
def conv_padding_side(layer: Any, chance: random.Random) -> Planted | None:
    """Padding before became padding after: what "SAME" does at stride 2."""
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: (
                sub._padding == 1
                and max(sub._kernel_size) == 3
                and all(s == 2 for s in sub._stride)
                and (sub.__dict__.get("_bench_in") or [0, 0, 1])[2] % 2 == 0
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    sub._padding = [0, 1, 0, 1]
    sub._updated_padding = [0, 1, 0, 1]
    return Planted(path, "padding on the other side", ("pad",))


@bug
def conv_stride(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: (
                all(s == 1 for s in sub._stride)
                and (sub.__dict__.get("_bench_in") or [0, 0, 1])[2] > 7
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    sub._stride = [2, 2]
    return Planted(path, "stride 2", ("stride", "shape"))


@bug
def conv_dilation(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: (
                sub._padding == 1
                and max(sub._kernel_size) == 3
                and all(s == 1 for s in sub._stride)
                and (sub.__dict__.get("_bench_in") or [0, 0, 1])[2] > 4
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    sub._dilation = [2, 2]
    sub._padding = 2
    sub._updated_padding = [2, 2]
    return Planted(path, "dilation 2", ("dilation",))


@bug
def conv_groups_order(layer: Any, chance: random.Random) -> Planted | None:
    """Channel shuffle forgotten: the input channels of a grouped convolution in another order."""
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: sub._groups > 1 and sub._groups < sub._in_channels,
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    patched(
        sub,
        lambda own: (
            lambda x: own(
                x.reshape([x.shape[0], 2, x.shape[1] // 2, *x.shape[2:]])
                .transpose([0, 2, 1, 3, 4])
                .reshape(x.shape)
            )
        ),
    )
    return Planted(path, "channels shuffled", ("order", "layout", "permut", "transpos", "axes"))


@bug
def pool_ceil_mode(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.MaxPool2D, nn.AvgPool2D), chance)
    if found is None:
        return None
    path, sub = found
    sub.ceil_mode = not sub.ceil_mode
    return Planted(path, f"ceil_mode {sub.ceil_mode}", ("ceil", "shape"))


@bug
def count_include_pad(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.AvgPool2D), chance)
    if found is None:
        return None
    path, sub = found
    sub.exclusive = not sub.exclusive
    return Planted(path, f"exclusive {sub.exclusive}", ("count_include_pad", "pad", "exclusive"))


@bug
def pool_kind(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.MaxPool2D), chance)
    if found is None:
        return None
    path, sub = found
    sub.forward = lambda x: F.avg_pool2d(
        x, sub.ksize, sub.stride, sub.padding, ceil_mode=sub.ceil_mode
    )
    return Planted(path, "average for max pooling", ("averagepool", "maxpool", "pool"))


@bug
def align_corners(layer: Any, chance: random.Random) -> Planted | None:
    def changed(own: Any, x: Any, *rest: Any, **named: Any) -> Any:
        return own(
            x,
            *rest,
            **{**named, "mode": "bilinear", "align_corners": not named.get("align_corners", False)},
        )

    found = _function(
        layer,
        chance,
        [F],
        "interpolate",
        changed,
        "interpolation changed",
        ("align_corners", "mode", "resize", "interpol", "bilinear"),
    )
    if found is not None:
        return found
    place = pick(places(layer, nn.Upsample), chance)
    if place is None:
        return None
    path, sub = place
    sub.mode, sub.align_corners = "bilinear", True
    return Planted(
        path, "interpolation changed", ("align_corners", "mode", "resize", "interpol", "bilinear")
    )


# -- attention


@bug
def attention_scale(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        [
            (path, sub)
            for path, sub in places(layer)
            if isinstance(getattr(sub, "scale", None), float)
            or isinstance(getattr(sub, "scaling", None), float)
        ],
        chance,
    )
    if found is not None:
        path, sub = found
        name = "scale" if isinstance(getattr(sub, "scale", None), float) else "scaling"
        setattr(sub, name, getattr(sub, name) ** 2)
        return Planted(path, f"{name} squared", ("scale", "times", "factor"))
    return _function(
        layer,
        chance,
        TENSORS,
        "__mul__",
        lambda own, x, y: own(x, y * y),
        "attention scale squared",
        ("scale", "times", "factor"),
        lambda x=None, y=None: (
            tensor(x) and isinstance(y, float) and 0 < y < 1 and len(x.shape) > 2
        ),
    )


@bug
def mask_sign(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(_masked(layer), chance)
    if found is None:
        return None
    path, sub = found
    _with_mask(
        sub,
        lambda mask: (
            -mask
            if mask.dtype in (paddle.float32, paddle.float64)
            else paddle.logical_not(mask)
            if mask.dtype == paddle.bool
            else 1 - mask
        ),
    )
    return Planted(path, "mask negated", ("mask", "negat", "times -1", "scale", "not"))


def _masked(layer: Any) -> list[tuple[str, Any]]:
    inputs = layer.__dict__["_bench_inputs"]
    seen: list[tuple[str, Any]] = []
    hooks = []
    for path, sub in places(layer):

        def hook(_: Any, given: Any, named: Any = None, path: str = path, sub: Any = sub) -> None:
            if any(
                tensor(value) and ("mask" in name)
                for name, value in _bound(sub, given, named or {}).items()
            ):
                seen.append((path, sub))

        hooks.append(
            sub.register_forward_pre_hook(hook, with_kwargs=True)
            if "with_kwargs" in sub.register_forward_pre_hook.__code__.co_varnames
            else sub.register_forward_pre_hook(hook)
        )
    with paddle.no_grad():
        layer(**inputs)
    for hook in hooks:
        hook.remove()
    # innermost: a layer none of whose sublayers also gets a mask
    return [
        (path, sub)
        for path, sub in seen
        if not any(other.startswith(path + ".") for other, _ in seen)
    ]


def _bound(sub: Any, given: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    code = type(sub).forward.__code__
    names = code.co_varnames[1 : code.co_argcount]
    return {**dict(zip(names, given, strict=False)), **named}


def _with_mask(sub: Any, change: Callable[[Any], Any]) -> None:
    code = type(sub).forward.__code__
    names = code.co_varnames[1 : code.co_argcount]

    def make(own: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*given: Any, **named: Any) -> Any:
            values = [
                change(value) if tensor(value) and "mask" in name else value
                for name, value in zip(names, given, strict=False)
            ]
            return own(
                *values,
                **{
                    name: change(value) if tensor(value) and "mask" in name else value
                    for name, value in named.items()
                },
            )

        return forward

    patched(sub, make)


@bug
def mask_missing(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(_masked(layer), chance)
    if found is None:
        return None
    path, sub = found
    _with_mask(
        sub,
        lambda mask: (
            mask * 0 if mask.dtype in (paddle.float32, paddle.float64) else paddle.ones_like(mask)
        ),
    )
    return Planted(
        path,
        "mask without effect",
        ("mask", "scale", "times 0", "zero", "constant", "missing", "extra"),
    )


@bug
def position_offset(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Embedding, when=lambda sub: sub.weight.shape[0] > 4), chance)
    if found is None:
        return None
    path, sub = found
    last = sub.weight.shape[0] - 1
    patched(sub, lambda own: lambda x: own(paddle.clip(x + 1, max=last)))
    return Planted(
        path,
        "indices off by one",
        ("off by 1", "shift", "plus 1", "add", "extra", "offset", "clip"),
    )


# -- gradients


@bug
def gradient_detached(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS, *BATCH), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: y.detach())
    return Planted(path, "detach", ("cut", "detach", "no_grad"))


@bug
def gradient_scaled(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS), chance)
    if found is None:
        return None
    path, sub = found

    def hooked(y: Any) -> Any:
        if not y.stop_gradient:
            y.register_hook(lambda gradient: gradient * 0.5)
        return y

    after(sub, hooked)
    return Planted(path, "gradient halved by a hook", ("hook", "0.5"))


@bug
def parameter_frozen(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D), chance)
    if found is None:
        return None
    path, sub = found
    sub.weight.stop_gradient = True
    return Planted(path, "weight frozen", ("frozen", "gradient", "trainable", "stop_gradient"))


# -- numbers


@bug
def biased_variance(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, *NORMS), chance)
    if found is None:
        return None
    path, sub = found

    def forward(x: Any) -> Any:
        mean = x.mean(axis=-1, keepdim=True)
        variance = x.var(axis=-1, keepdim=True)
        y = (x - mean) / paddle.sqrt(variance + sub._epsilon)
        return y * sub.weight + sub.bias

    if sub.weight is None or sub.bias is None:
        return None
    sub.forward = forward
    return Planted(
        path,
        "unbiased variance in a layer norm",
        ("varianc", "times", "unbiased", "correction", "var"),
    )


@bug
def dtype_cast(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS, *BATCH), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: y.cast("bfloat16").cast("float32"))
    return Planted(path, "bfloat16 round trip", ("bfloat16", "cast", "precision", "dtype"))


@bug
def layout_flip(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(
            layer,
            nn.Conv2D,
            *BATCH,
            when=lambda sub: (
                (shape := sub.__dict__.get("_bench_out")) is not None
                and len(shape) == 4
                and shape[2] == shape[3] > 1
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: y.transpose([0, 1, 3, 2]))
    return Planted(path, "height and width swapped", ("transpos", "axes", "permut"))


@bug
def rows_flipped(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: paddle.flip(y, [-1]))
    return Planted(path, "flipped", ("flip", "order", "reverse"), copy=False)


@bug
def scaled_output(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS, *BATCH), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: y * 1.01)
    return Planted(path, "times 1.01", ("scale", "1.01", "times", "factor"))


# -- dropout


@bug
def dropout_rate(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Dropout, when=lambda sub: sub.p and 0 < sub.p < 1), chance)
    if found is None:
        return None
    path, sub = found
    sub.p = 0.5 if sub.p != 0.5 else 0.1
    return Planted(path, f"dropout rate {sub.p}", ("dropout", "ratio", "rate", "p "), train=True)


@bug
def dropout_missing(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Dropout, when=lambda sub: sub.p and 0 < sub.p < 1), chance)
    if found is None:
        return None
    path, _ = found
    owner, key = parent(layer, path)
    setattr(owner, key, nn.Identity())
    return Planted(path, "missing dropout", ("missing", "dropout"), train=True)


@bug
def dropout_extra(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: F.dropout(y, 0.2, training=True))
    return Planted(path, "extra dropout", ("extra", "dropout"), train=True)


@bug
def dropout_mode(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Dropout, when=lambda sub: sub.p and 0 < sub.p < 1), chance)
    if found is None:
        return None
    path, sub = found
    sub.mode = "downscale_in_infer"
    return Planted(
        path, "dropout mode downscale_in_infer", ("scale", "dropout", "times", "mode", "factor")
    )


# -- training


@bug
def loss_default(layer: Any, chance: random.Random) -> Planted | None:
    """Mean of squares with the sum on one side's last axis: a loss off by a factor."""
    import torch

    def leaf(output: Any, kinds: tuple[type, ...]) -> Any:
        while not isinstance(output, kinds):
            output = next(iter(output.values())) if isinstance(output, Mapping) else output[0]
        return output

    losses = [
        lambda output: F.smooth_l1_loss(
            leaf(output, (paddle.Tensor,)),
            paddle.zeros_like(leaf(output, (paddle.Tensor,))),
            delta=0.5,
        ),
        lambda output: torch.nn.functional.smooth_l1_loss(
            leaf(output, (torch.Tensor,)), torch.zeros_like(leaf(output, (torch.Tensor,))), beta=1.0
        ),
    ]
    return Planted("", "another default of a loss", ("loss",), extra={"loss_fn": losses})


@bug
def optimizer_decay(layer: Any, chance: random.Random) -> Planted | None:
    # an optimizer's setting has no place of its own in the model; it first shows at the first
    # trained parameter
    trained = {
        path: sub.__dict__["_bench_first"]
        for path, sub in layer.named_sublayers()
        if "_bench_first" in sub.__dict__
        and not list(sub.children())
        and any(not own.stop_gradient for own in sub.parameters())
    }
    return (
        Planted(
            min(trained, key=lambda path: trained[path]),
            "AdamW weight decay 0.01 against 0.05",
            ("decay", "optimizer"),
            extra={"optimizer": "decay"},
        )
        if trained
        else None
    )
