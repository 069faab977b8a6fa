"""Bugs in the settings, the weights and the order of layers."""

from __future__ import annotations

import random
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from bugs.planting import (
    TENSORS,
    Planted,
    after,
    bug,
    during,
    parent,
    patched,
    pick,
    places,
    same_shape,
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
