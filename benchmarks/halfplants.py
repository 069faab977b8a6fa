"""Bugs of precision, each planted at a random place of any Paddle model.

A plant gives one layer a class of its own, with another forward, so that a copy of the model has
the plant too. In float32 every cast of a plant is no operation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paddle
import paddle.nn.functional as F
from bugs import TENSORS, pick, places, swapped
from paddle import nn

__all__ = ["PLANTS", "Plant", "Planted"]


@dataclass(frozen=True)
class Planted:
    """A planted bug.

    Attributes:
        path: dotted path of the layer where it stands.
        what: in words.
        causes: kinds of causes, one of which names it.
        also: other paths that are as exact.
        precision: in which it shows.
    """

    path: str
    what: str
    causes: tuple[str, ...] = ("precision.computed",)
    also: tuple[str, ...] = ()
    precision: str = "bfloat16"


Plant = Callable[[Any, random.Random], "Planted | None"]
PLANTS: dict[str, Plant] = {}


def plant(function: Plant) -> Plant:
    """Adds a plant to the table."""
    PLANTS[function.__name__] = function
    return function


def given_forward(sub: Any, forward: Callable[..., Any]) -> None:
    """Gives one layer a class of its own: `forward(self, own, *given, **named)`."""
    kind = type(sub)

    def own(self: Any, *given: Any, **named: Any) -> Any:
        return kind.forward(self, *given, **named)

    def planted(self: Any, *given: Any, **named: Any) -> Any:
        return forward(self, own, *given, **named)

    sub.__class__ = type(
        kind.__name__, (kind,), {"forward": planted, "__module__": kind.__module__}
    )


def answered(sub: Any, owners: Sequence[Any], name: str, change: Callable[..., Any]) -> None:
    """While a layer's own forward runs, calls of `owner.name` are answered by
    `change(layer, own, *arguments)`."""

    def forward(self: Any, own_forward: Any, *given: Any, **named: Any) -> Any:
        def replaced(own: Any) -> Any:
            def call(*arguments: Any, **keywords: Any) -> Any:
                return change(self, own, *arguments, **keywords)

            return call

        with swapped(owners, name, replaced):
            return own_forward(self, *given, **named)

    given_forward(sub, forward)


def calls(layer: Any, owners: Sequence[Any], name: str, fits: Callable[..., bool]) -> list[str]:
    """Paths of the innermost layers whose own forward calls `owner.name` with fitting arguments."""
    found: list[str] = []
    stack: list[str] = []
    hooks = []

    def entered(path: str) -> Callable[..., None]:
        return lambda *_: stack.append(path)

    def left(*_: Any) -> None:
        stack.pop()

    for path, sub in layer.named_sublayers(include_self=True):
        hooks += [
            sub.register_forward_pre_hook(entered(path)),
            sub.register_forward_post_hook(left),
        ]

    def noting(own: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if stack and fits(*arguments, **keywords):
                found.append(stack[-1])
            return own(*arguments, **keywords)

        return call

    with swapped(owners, name, noting), paddle.no_grad():
        layer(**layer.__dict__["_bench_inputs"])
    for hook in hooks:
        hook.remove()
    innermost = [path for path in found if not any(_below(deeper, path) for deeper in found)]
    return list(dict.fromkeys(path for path in innermost if _once(layer, path)))


def _below(deeper: str, path: str) -> bool:
    """Whether a layer lies in another, whose forward then runs its calls too."""
    return deeper != path and (not path or deeper.startswith(f"{path}."))


def _once(layer: Any, path: str) -> bool:
    return at(layer, path).__dict__.get("_bench_calls") == 1


def at(layer: Any, path: str) -> Any:
    """The layer at a path."""
    sub = layer
    for name in path.split(".") if path else ():
        sub = getattr(sub, name)
    return sub


def epsilon(norm: Any) -> float:
    """Of a normalization, whatever its author calls it."""
    for name in ("variance_epsilon", "_epsilon", "epsilon", "eps", "norm_eps"):
        if name in vars(norm):
            return float(vars(norm)[name])
    raise ValueError(f"no epsilon in {type(norm).__name__}")


def named(*words: str) -> Callable[[Any], bool]:
    """Whether a layer's class is called so."""
    return lambda sub: any(word in type(sub).__name__ for word in words)


RMS = named("RMSNorm", "T5LayerNorm")


# -- normalizations


@plant
def rms_norm_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """The upcast is left out of RMSNorm."""
    place = pick(places(layer, when=RMS), chance)
    if place is None:
        return None

    def forward(self: Any, own: Any, x: Any) -> Any:
        scaled = paddle.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon(self)) * x
        return scaled * self.weight

    given_forward(place[1], forward)
    return Planted(place[0], "RMSNorm without its upcast")


@plant
def rms_variance_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """The mean of squares alone is summed in the low precision."""
    place = pick(places(layer, when=RMS), chance)
    if place is None:
        return None

    def forward(self: Any, own: Any, x: Any) -> Any:
        variance = x.pow(2).mean(-1, keepdim=True).astype("float32")
        scaled = paddle.rsqrt(variance + epsilon(self)) * x.astype("float32")
        return scaled.astype(self.weight.dtype) * self.weight

    given_forward(place[1], forward)
    return Planted(place[0], "the variance of RMSNorm before the upcast")


@plant
def rms_weight_before_cast(layer: Any, chance: random.Random) -> Planted | None:
    """The weight of RMSNorm is multiplied in float32."""
    place = pick(places(layer, when=RMS), chance)
    if place is None:
        return None

    def forward(self: Any, own: Any, x: Any) -> Any:
        wide = x.astype("float32")
        scaled = paddle.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon(self)) * wide
        return (scaled * self.weight.astype("float32")).astype(self.weight.dtype)

    given_forward(place[1], forward)
    return Planted(place[0], "the weight of RMSNorm before the cast", ("precision.weight",))


def _normalised(x: Any, axes: list[int], small: float) -> Any:
    centred = x - x.mean(axes, keepdim=True)
    variance = (centred * centred).mean(axes, keepdim=True)
    return centred * paddle.rsqrt(variance + small)


@plant
def layer_norm_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """LayerNorm is spelled out without an upcast."""
    place = pick(places(layer, nn.LayerNorm, when=lambda sub: sub.weight is not None), chance)
    if place is None:
        return None

    def forward(self: Any, own: Any, x: Any) -> Any:
        axes = list(range(-len(self._normalized_shape), 0))
        scaled = _normalised(x, axes, self._epsilon) * self.weight
        return scaled if self.bias is None else scaled + self.bias

    given_forward(place[1], forward)
    return Planted(place[0], "LayerNorm without an upcast")


@plant
def layer_norm_weight_behind_cast(layer: Any, chance: random.Random) -> Planted | None:
    """LayerNorm's weight and bias are applied behind the cast."""
    place = pick(places(layer, nn.LayerNorm, when=lambda sub: sub.weight is not None), chance)
    if place is None:
        return None

    def forward(self: Any, own: Any, x: Any) -> Any:
        axes = list(range(-len(self._normalized_shape), 0))
        scaled = _normalised(x.astype("float32"), axes, self._epsilon).astype(x.dtype) * self.weight
        return scaled if self.bias is None else scaled + self.bias

    given_forward(place[1], forward)
    return Planted(place[0], "the weight of LayerNorm behind the cast", ("precision.weight",))


@plant
def group_norm_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """GroupNorm is spelled out without an upcast."""
    place = pick(places(layer, nn.GroupNorm, when=lambda sub: sub.weight is not None), chance)
    if place is None:
        return None

    def forward(self: Any, own: Any, x: Any) -> Any:
        shape = list(x.shape)
        grouped = x.reshape([shape[0], self._num_groups, -1])
        flat = _normalised(grouped, [-1], self._epsilon).reshape(shape)
        wide = [1, -1] + [1] * (len(shape) - 2)
        return flat * self.weight.reshape(wide) + self.bias.reshape(wide)

    given_forward(place[1], forward)
    return Planted(place[0], "GroupNorm without an upcast")


# -- attention


def _float_call(x: Any, *_: Any, **__: Any) -> bool:
    return isinstance(x, TENSORS)


def low_of(sub: Any) -> Any:
    """The dtype of a layer's weights: of its own, or those below."""
    return sub.parameters()[0].dtype


def _weighted(path: str, layer: Any) -> bool:
    return bool(at(layer, path).parameters())


def _softmax_place(layer: Any, chance: random.Random) -> str | None:
    """A layer with weights that calls softmax."""
    found = [path for path in calls(layer, [F], "softmax", _any) if _weighted(path, layer)]
    return chance.choice(found) if found else None


def _any(*_: Any, **__: Any) -> bool:
    return True


@plant
def softmax_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """Softmax is spelled out in the low precision."""
    path = _softmax_place(layer, chance)
    if path is None:
        return None

    def spelled(self: Any, own: Any, x: Any, axis: int = -1, *_: Any, **__: Any) -> Any:
        x = x.astype(low_of(self))
        powers = paddle.exp(x - x.max(axis, keepdim=True))
        return powers / powers.sum(axis, keepdim=True)

    answered(at(layer, path), [F], "softmax", spelled)
    return Planted(path, "softmax in the low precision")


@plant
def softmax_sum_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """The sum in a softmax alone is accumulated in the low precision."""
    path = _softmax_place(layer, chance)
    if path is None:
        return None

    def spelled(self: Any, own: Any, x: Any, axis: int = -1, *_: Any, **__: Any) -> Any:
        wide = x.astype("float32")
        powers = paddle.exp(wide - wide.max(axis, keepdim=True))
        total = powers.astype(low_of(self)).sum(axis, keepdim=True).astype("float32")
        return (powers / total).astype(low_of(self))

    answered(at(layer, path), [F], "softmax", spelled)
    return Planted(path, "the sum of a softmax in the low precision")


@plant
def rotary_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """The angles of a rotary table are computed in the low precision."""

    def computes(sub: Any) -> bool:
        return "Rotary" in type(sub).__name__ and hasattr(sub, "attention_scaling")

    place = pick(places(layer, when=computes), chance)
    if place is None:
        return None

    def forward(self: Any, own: Any, x: Any, position_ids: Any) -> Any:
        frequencies = self.inv_freq[None, :, None].astype(x.dtype)
        frequencies = frequencies.expand([position_ids.shape[0], -1, 1])
        angles = (frequencies @ position_ids[:, None, :].astype(x.dtype)).transpose([0, 2, 1])
        both = paddle.concat([angles, angles], -1)
        return both.cos() * self.attention_scaling, both.sin() * self.attention_scaling

    given_forward(place[1], forward)
    return Planted(place[0], "rotary angles in the low precision")


@plant
def timestep_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """The sinusoids of a time step are computed in the low precision."""
    place = pick(places(layer, when=named("Timesteps")), chance)
    if place is None:
        return None
    low = layer.parameters()[0]

    def forward(self: Any, own: Any, timesteps: Any) -> Any:
        half = self.num_channels // 2
        held = self.bench_low[0].dtype
        steps = paddle.arange(half, dtype="float32") / (half - self.downscale_freq_shift)
        angles = timesteps.astype(held)[:, None] * paddle.exp(-9.210340371976184 * steps).astype(
            held
        )
        sin, cos = angles.sin(), angles.cos()
        pair = [cos, sin] if self.flip_sin_to_cos else [sin, cos]
        return paddle.concat(pair, -1)

    # past the layer's own list of weights: a copy of the model copies it too
    place[1].__dict__["bench_low"] = [low]
    given_forward(place[1], forward)
    return Planted(place[0], "the sinusoids of the time step in the low precision")


@plant
def router_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """The shares of experts are computed in the low precision."""
    found = [path for path in calls(layer, [F], "softmax", _experts) if _weighted(path, layer)]
    if not found:
        return None
    path = chance.choice(found)

    def spelled(self: Any, own: Any, x: Any, axis: int = -1, *_: Any, **__: Any) -> Any:
        x = x.astype(low_of(self))
        powers = paddle.exp(x - x.max(axis, keepdim=True))
        return powers / powers.sum(axis, keepdim=True)

    answered(at(layer, path), [F], "softmax", spelled)
    return Planted(path, "the router in the low precision")


def _experts(x: Any, *_: Any, **__: Any) -> bool:
    return len(x.shape) == 2


# -- what lies between


def _blocks(layer: Any) -> list[tuple[str, Any]]:
    """Layers of a list that take the residual stream and hand it on."""
    found = []
    for path, sub in layer.named_sublayers():
        if not isinstance(sub, nn.LayerList):
            continue
        for name, member in sub.named_children():
            shapes = member.__dict__.get("_bench_in"), member.__dict__.get("_bench_out")
            once = member.__dict__.get("_bench_calls") == 1
            norms = [child for child in member.children() if _norm(child)]
            if once and shapes[0] and len(shapes[0]) == 3 and len(norms) >= 2:
                found.append((f"{path}.{name}", member))
    return found


def _norm(sub: Any) -> bool:
    return isinstance(sub, nn.LayerNorm) or RMS(sub)


def _first(result: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(result, tuple):
        return (change(result[0]), *result[1:])
    return change(result)


@plant
def residual_in_float32(layer: Any, chance: random.Random) -> Planted | None:
    """The residual stream of one block is kept in float32."""
    place = pick([block for block in _blocks(layer) if _before(layer, block)], chance)
    if place is None:
        return None

    def narrowed(self: Any, own: Any, x: Any) -> Any:
        return own(self, x.astype(self.weight.dtype))

    def forward(self: Any, own: Any, x: Any, *given: Any, **named: Any) -> Any:
        result = own(self, x.astype("float32"), *given, **named)
        return _first(result, lambda made: made.astype(x.dtype))

    for child in place[1].children():
        if _norm(child):
            given_forward(child, narrowed)
    given_forward(place[1], forward)
    return Planted(place[0], "the residual stream of a block in float32")


def _before(layer: Any, block: tuple[str, Any]) -> bool:
    """Whether a block normalises first, so that its sums stay in the stream."""
    order = {
        name: child.__dict__.get("_bench_first", 1 << 30)
        for name, child in block[1].named_children()
        if child.__dict__.get("_bench_calls") == 1
    }
    return bool(order) and _norm(getattr(block[1], min(order, key=lambda name: order[name])))


@plant
def gate_in_float32(layer: Any, chance: random.Random) -> Planted | None:
    """The gate of a feed-forward layer, its activation and product stay in float32."""

    def gated(sub: Any) -> bool:
        names = {name for name, child in sub.named_children() if _linear(child)}
        return {"gate_proj", "up_proj", "down_proj"} <= names

    place = pick(places(layer, when=gated), chance)
    if place is None:
        return None

    def widened(self: Any, own: Any, x: Any) -> Any:
        return own(self, x).astype("float32")

    def narrowed(self: Any, own: Any, x: Any) -> Any:
        return own(self, x.astype(self.weight.dtype))

    given_forward(place[1].gate_proj, widened)
    given_forward(place[1].up_proj, widened)
    given_forward(place[1].down_proj, narrowed)
    between = [name for name, child in place[1].named_children() if not _linear(child)]
    also = tuple(f"{place[0]}.{name}" for name in between)
    return Planted(place[0], "the activation of a gate in float32", also=also)


def _linear(sub: Any) -> bool:
    known = any(word in type(sub).__name__ for word in ("Linear", "LMHead"))
    return known and getattr(sub, "weight", None) is not None


@plant
def embedding_sum_in_float32(layer: Any, chance: random.Random) -> Planted | None:
    """Three embeddings or more are added in float32."""

    def adds(sub: Any) -> bool:
        children = list(sub.children())
        tables = [child for child in children if isinstance(child, nn.Embedding)]
        ran = [table for table in tables if table.__dict__.get("_bench_calls") == 1]
        return len(ran) >= 3 and any(_norm(child) for child in children)

    place = pick(places(layer, when=adds), chance)
    if place is None:
        return None

    def widened(self: Any, own: Any, x: Any) -> Any:
        return own(self, x).astype("float32")

    def narrowed(self: Any, own: Any, x: Any) -> Any:
        return own(self, x.astype(self.weight.dtype))

    for child in place[1].children():
        if isinstance(child, nn.Embedding):
            given_forward(child, widened)
        elif _norm(child):
            given_forward(child, narrowed)
    return Planted(place[0], "the sum of embeddings in float32")


@plant
def logits_in_float32(layer: Any, chance: random.Random) -> Planted | None:
    """The last projection is computed in float32 and left there."""
    ran = [
        (path, sub)
        for path, sub in places(layer, when=_linear)
        if "_bench_first" in sub.__dict__ and sub.__dict__["_bench_out"] is not None
    ]
    place = max(ran, key=lambda pair: pair[1].__dict__["_bench_first"], default=None)
    if place is None or not _handed_out(layer, place[1]):
        return None

    def widened(self: Any, own: Any, *numbers: Any, **named: Any) -> Any:
        return own(*(wide(number) for number in numbers), **named)

    def wide(number: Any) -> Any:
        return number.astype("float32") if isinstance(number, TENSORS) else number

    answered(place[1], [F], "linear", widened)
    answered(place[1], [paddle], "matmul", widened)
    return Planted(
        place[0], "logits in float32", ("precision.output", "precision.computed"), also=("",)
    )


def _handed_out(layer: Any, sub: Any) -> bool:
    """Whether the model hands out what a layer yields."""
    kept: list[Any] = []
    hook = sub.register_forward_post_hook(lambda _, __, result: kept.append(result))
    with paddle.no_grad():
        result = layer(**layer.__dict__["_bench_inputs"])
    hook.remove()
    first = next(iter(result)) if isinstance(result, (tuple, list)) else result
    return bool(kept) and isinstance(first, paddle.Tensor) and first is kept[-1]


# -- numbers of the code


def _scales(*arguments: Any, **_: Any) -> bool:
    """A product of a tensor and a number that bfloat16 cannot hold."""
    numbers = [number for number in arguments if isinstance(number, float)]
    tensors = [value for value in arguments if isinstance(value, TENSORS)]
    return bool(numbers) and bool(tensors) and _rounded(numbers[0]) != numbers[0]


def _rounded(number: float) -> float:
    return float(paddle.to_tensor(number, dtype="float32").astype("bfloat16").astype("float32"))


PRECISIONS = ("bfloat16", "float16")
"""The least float32 is beyond both."""
PRODUCTS = ("__mul__", "__rmul__", "__truediv__")


@plant
def constant_rounded(layer: Any, chance: random.Random) -> Planted | None:
    """A normaliser of the code is held in the low precision."""
    found = [
        (path, name)
        for name in PRODUCTS
        for path in calls(layer, TENSORS, name, _scales)
        if path == "" or _weighted(path, layer)
    ]
    if not found:
        return None
    path, name = chance.choice(found)

    def held(self: Any, own: Any, x: Any, number: Any) -> Any:
        if not _scales(x, number):
            return own(x, number)
        return own(x, paddle.full([1], number, "float32").astype(x.dtype))

    answered(at(layer, path), TENSORS, name, held)
    return Planted(path, "a normaliser that is rounded", ("precision.constant",))


@plant
def mask_out_of_range(layer: Any, chance: random.Random) -> Planted | None:
    """A mask is the least float32, which bfloat16 does not hold."""
    found = calls(layer, [paddle], "finfo", _any)
    if not found:
        return None
    path = chance.choice(found)
    answered(at(layer, path), [paddle], "finfo", lambda self, own, dtype: own(paddle.float32))
    what = "a mask of the least float32"
    return Planted(path, what, ("precision.range",), precision=chance.choice(PRECISIONS))


@plant
def loss_in_low(layer: Any, chance: random.Random) -> Planted | None:
    """The loss is computed of logits that were not cast."""
    if "loss_held" not in layer.__dict__:
        return None
    layer.__dict__["loss_held"] = "low"
    return Planted("", "a loss in the low precision", ("precision.computed", "precision.output"))
