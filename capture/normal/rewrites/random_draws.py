"""Random draws that frameworks make in different ways."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import expand, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import INVERTED, Edge
from padiff_graph.capture.normal.rewrites.rule import EXACT, Sweep, applies_to

__all__ = [
    "bernoulli_from_uniform",
    "coin_as_truth",
    "coin_compared",
    "coin_taken_from_one",
    "coin_turned_over",
    "dropout_by_coin",
    "dropout_of_constant",
    "filled_by_coin",
]

BELOW = frozenset({"Less", "LessOrEqual"})
"""Comparisons that hold where their first operand is the smaller one; of draws equal ones never
matter."""
ABOVE = frozenset({"Greater", "GreaterOrEqual"})
"""Comparisons that hold where their second operand is the smaller one."""
COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    "Equal": operator.eq,
    "Less": operator.lt,
    "LessOrEqual": operator.le,
    "Greater": operator.gt,
    "GreaterOrEqual": operator.ge,
}
"""Comparisons of two numbers."""


@applies_to("Floor", "Ceil", *BELOW, *ABOVE)
def bernoulli_from_uniform(sweep: Sweep, draft: Draft) -> bool:
    """Floor(u + p), Ceil(u - 1 + p), u < p, and u > 1 - p with u uniform in [0, 1) are ones with
    probability p: stochastic depth.

    Refuses draws that are read elsewhere too or reversed, bounds that are not known, and
    probabilities outside (0, 1].
    """
    place = _drawn_operand(sweep, draft)
    uniform = draft.inputs[place]
    source = sweep.behind(uniform, "RandomUniform")
    if uniform is None or source is None or not sweep.alone(source):
        return False
    if uniform.scale <= 0.0 or not view_of(uniform).identity:
        return False
    probability = _probability(sweep, draft, uniform, place)
    if probability is None or not 0.0 < probability <= 1.0:
        return False
    sweep.replace(draft, sweep.made_of(draft, "Bernoulli", [], {"p": probability}, source))
    return True


def _drawn_operand(sweep: Sweep, draft: Draft) -> int:
    """The position of the operand that is drawn."""
    drawn = sweep.behind(draft.inputs[-1], "RandomUniform") is not None
    return len(draft.inputs) - 1 if drawn else 0


def _probability(sweep: Sweep, draft: Draft, uniform: Edge, place: int) -> float | None:
    """How likely a draw gives one."""
    if draft.op in ("Floor", "Ceil"):
        up = float(draft.op == "Ceil")
        return up + uniform.shift if uniform.scale == 1.0 else None
    bound = sweep.builder.scalar(draft.inputs[1 - place])
    if bound is None:
        return None
    below = (float(bound) - uniform.shift) / uniform.scale
    return below if (draft.op in BELOW) == (place == 0) else 1.0 - below


@applies_to("Cast")
def coin_as_truth(sweep: Sweep, draft: Draft) -> bool:
    """Cast(coin, bool) = coin: a truth value is the same as zero or one.

    Refuses scaled coins and other types. Leaves movement.
    """
    edge = draft.inputs[0]
    if edge is None or sweep.behind(edge, "Bernoulli") is None:
        return False
    if draft.attrs.get("to") != "bool" or edge.scale != 1.0 or edge.shift != 0.0:
        return False
    sweep.builder.replace(draft, expand(edge, draft.shape, *draft.native))
    return True


@applies_to("Not")
def coin_turned_over(sweep: Sweep, draft: Draft) -> bool:
    """Not(coin) = a coin of the other probability that falls where the first does not.

    Refuses coins that are read elsewhere too, moved, or have a scale.
    """
    edge = draft.inputs[0]
    thrown = sweep.behind(edge, "Bernoulli")
    if edge is None or thrown is None or not sweep.alone(thrown):
        return False
    if not unscaled(edge) or not view_of(edge).identity:
        return False
    turned = _turned_over(sweep, draft, thrown)
    if turned is None:
        return False
    sweep.replace(draft, turned)
    return True


@applies_to("Equal", *BELOW, *ABOVE)
def coin_compared(sweep: Sweep, draft: Draft) -> bool:
    """coin == 1 and coin > c are the coin, coin == 0 and coin < c the coin turned over, with c
    between zero and one.

    Refuses coins that are read elsewhere too or moved, and what holds of both sides or of neither.
    """
    place = int(sweep.behind(draft.inputs[0], "Bernoulli") is None)
    coin = draft.inputs[place]
    thrown, bound = sweep.behind(coin, "Bernoulli"), sweep.builder.scalar(draft.inputs[1 - place])
    if coin is None or thrown is None or bound is None or not sweep.alone(thrown):
        return False
    none, one = (_holds(draft.op, value, float(bound), place) for value in _sides(coin))
    if none == one or not view_of(coin).identity:
        return False
    if one:
        plain = coin._replace(scale=1.0, shift=0.0)
        sweep.builder.replace(draft, expand(plain, draft.shape, *draft.native))
        return True
    turned = _turned_over(sweep, draft, thrown)
    if turned is None:
        return False
    sweep.replace(draft, turned)
    return True


def _sides(coin: Edge) -> tuple[float, float]:
    """What an edge makes of a coin's zero and one."""
    return coin.shift, coin.scale + coin.shift


def _holds(op: str, value: float, bound: float, place: int) -> bool:
    """Whether a comparison holds of a value, which is its operand in that place."""
    first, second = (value, bound) if place == 0 else (bound, value)
    return COMPARED[op](first, second)


@applies_to("Mul")
def coin_taken_from_one(sweep: Sweep, draft: Draft) -> bool:
    """x * (s - s * coin) = x * s * turned coin: a mask of what is dropped.

    Refuses coins that are read elsewhere too, and other numbers at the coin's one than zero.
    """
    for place, edge in enumerate(draft.inputs):
        thrown = sweep.behind(edge, "Bernoulli")
        if edge is None or thrown is None or not sweep.alone(thrown):
            continue
        none, one = _sides(edge)
        if not none or abs(one) > EXACT * abs(none):
            continue
        turned = _turned_over(sweep, thrown, thrown)
        if turned is None:
            continue
        turned.locations, turned.aliases = [None], []  # no native tensor is this one's
        inputs = list(draft.inputs)
        inputs[place] = edge._replace(source=turned.id, scale=none, shift=0.0)
        sweep.replace(draft, sweep.made_of(draft, draft.op, inputs, dict(draft.attrs)))
        return True
    return False


@applies_to("Where")
def filled_by_coin(sweep: Sweep, draft: Draft) -> bool:
    """Where(coin, 0, x) = Where(turned coin, x, 0): what a coin fills with zeros.

    Refuses coins that are read elsewhere too or have a scale, and other numbers than zero.
    """
    if len(draft.inputs) != 3 or sweep.builder.scalar(draft.inputs[1]) != 0.0:
        return False
    coin, zero, value = draft.inputs
    thrown = sweep.behind(coin, "Bernoulli")
    if coin is None or thrown is None or not sweep.alone(thrown) or not unscaled(coin):
        return False
    turned = _turned_over(sweep, thrown, thrown)
    if turned is None:
        return False
    turned.locations, turned.aliases = [None], []  # no native tensor is this one's
    kept = coin._replace(source=turned.id)
    sweep.replace(draft, sweep.made_of(draft, "Where", [kept, value, zero], {}))
    return True


def _turned_over(sweep: Sweep, draft: Draft, thrown: Draft) -> Draft | None:
    """A coin in place of a draft that falls where another one does not; None where that one's
    probability is no number between zero and one."""
    probability = thrown.attrs.get("p")
    if not isinstance(probability, (int, float)) or not 0.0 < probability < 1.0:
        return None
    parts = () if draft is thrown else (thrown,)
    turned = sweep.made_of(draft, "Bernoulli", [], {"p": 1.0 - probability}, *parts)
    turned.marks ^= {INVERTED}
    return turned


@applies_to("Mul", "Where")
def dropout_by_coin(sweep: Sweep, draft: Draft) -> bool:
    """x * coin = Where(coin, x, 0) = p Dropout(x, 1 - p), with a coin of probability p for each
    element: a dropout that is written out.

    Refuses coins that are read elsewhere too (alpha dropout), that stand for several elements
    (stochastic depth, dropout of channels) or have a shift, and those that always fall alike.
    """
    for coin, value in _dropped(sweep, draft):
        thrown = sweep.behind(coin, "Bernoulli")
        if coin is None or value is None or thrown is None or not sweep.alone(thrown):
            continue
        if coin.shift != 0.0 or not view_of(coin).identity:
            continue
        probability = float(thrown.attrs["p"])
        if not shape_of(value) == thrown.shape == draft.shape or not 0.0 < probability < 1.0:
            continue
        dropout = sweep.made_of(draft, "Dropout", [value], {"ratio": 1.0 - probability}, thrown)
        sweep.replace(draft, dropout, scale=coin.scale * probability)
        return True
    return False


def _dropped(sweep: Sweep, draft: Draft) -> list[tuple[Edge | None, Edge | None]]:
    """(what may be the coin, what it keeps) of a product or a choice."""
    if draft.op == "Mul":
        inputs = draft.inputs
        return list(zip(inputs, reversed(inputs), strict=True)) if len(inputs) == 2 else []
    if len(draft.inputs) != 3 or sweep.builder.scalar(draft.inputs[2]) != 0.0:
        return []
    return [(draft.inputs[0], draft.inputs[1])]


@applies_to("Dropout")
def dropout_of_constant(sweep: Sweep, draft: Draft) -> bool:
    """Dropout(c) = c / (1 - ratio) times ones with probability 1 - ratio: stochastic depth as a
    dropout of ones.

    Refuses constants that are not one number throughout.
    """
    number = sweep.builder.scalar(draft.inputs[0])
    ratio = float(draft.attrs["ratio"])
    if number is None or not number or ratio >= 1.0:
        return False
    coin = sweep.made_of(draft, "Bernoulli", [], {"p": 1.0 - ratio})
    sweep.replace(draft, coin, scale=float(number) / (1.0 - ratio))
    return True
