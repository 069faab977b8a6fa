"""A differing region computed again with one setting of one operation changed: where both sides
then agree, that setting is the whole difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node
from padiff_graph.capture.graph import Value as Place
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.diagnosis.plain_names import IDLE, plain_name
from padiff_graph.diagnosis.region_half import Half
from padiff_graph.diagnosis.setting_values import (
    FACTORS,
    Setting,
    distinct,
    other_values,
    settings_of,
    spelled,
)
from padiff_graph.diagnosis.trial_runs import TRIALS, VANISHED, Differing, apart
from padiff_graph.executor.questions import Otherwise
from padiff_graph.findings.cause import Cause
from padiff_graph.referee.region_result import OtherSetting

__all__ = ["other_setting"]

NOTHING = 1e-9
"""Relative difference that is none in float64, where both sides could not be laid side by side
before: what it leaves of norms is 1e-10."""
OPTIONAL = {
    "binary_cross_entropy": ("weight",),
    "binary_cross_entropy_with_logits": ("weight", "pos_weight"),
    "cross_entropy_loss": ("weight",),
    "nll_loss": ("weight",),
    "nll_loss_nd": ("weight",),
    "scaled_dot_product_attention": ("attn_mask",),
}
"""Operands that a call may go without, and then computes something of the same shape."""
EITHER_WAY = frozenset({"eq", "equal", "maximum", "max", "minimum", "min", "ne", "not_equal"})
"""Operations of two operands whose order tells nothing, besides sums and products."""


Both = tuple[dict[Place, Array], dict[Place, Array]]
"""What both sides yield."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """One call made otherwise.

    Attributes:
        side: whose.
        number: the operation that is run otherwise.
        otherwise: how.
        rank: the smaller the sooner.
        cause: what is told where it makes both sides agree.
        op: the operation that the cause is about.
        like: the other side's operation that it then is called like; None where none is known.
    """

    side: int
    number: int
    otherwise: Otherwise = field(hash=False)
    rank: int
    cause: Cause
    op: Node
    like: Node | None = None


def other_setting(found: Differing, *, called_alike: bool) -> OtherSetting | None:
    """The setting with whose other value both sides agree; None where no trial makes them.

    Args:
        found: what is run.
        called_alike: whether to try the settings of which an operation of the same name on the
            other side has another value; else all others.
    """
    halves, whole = found.halves, found.whole
    allowed = NOTHING if found.before is None else VANISHED * found.before
    trials = sorted(_trials(halves), key=lambda trial: (trial.rank, trial.side, trial.number))
    for trial in trials[:TRIALS]:
        if (trial.rank == 0) is not called_alike:
            continue
        sides = _ran(halves, whole, trial)
        if sides is None:
            continue
        left = apart(found.cut, *sides)
        if left is not None and left <= allowed:
            natives = trial.op.id, -1 if trial.like is None else trial.like.id
            return OtherSetting(
                trial.cause, natives if trial.side == 0 else (natives[1], natives[0])
            )
    return None


def _ran(halves: tuple[Half, Half], whole: Both, trial: _Trial) -> Both | None:
    """Both sides with one call made otherwise; None where that does not run."""
    try:
        changed = halves[trial.side].changed(trial.number, otherwise=trial.otherwise)
    except NotRunnable:
        return None
    return (changed, whole[1]) if trial.side == 0 else (whole[0], changed)


def _trials(halves: tuple[Half, Half]) -> Iterator[_Trial]:
    held = [distinct(settings_of(half.side, half.part.nodes, made=True)) for half in halves]
    for side, half in enumerate(halves):
        for setting in settings_of(half.side, half.part.nodes):
            yield from _valued(side, setting, held[1 - side])
        for node in map(half.side.graph.record, half.part.nodes):
            yield from _operands(side, node, half)


def _valued(side: int, setting: Setting, others: list[Setting]) -> Iterator[_Trial]:
    """One setting with other values, each once."""
    tried = [setting.value]
    for other in sorted(other_values(setting, others), key=lambda value: value.rank):
        if any(type(other.value) is type(known) and other.value == known for known in tried):
            continue
        tried.append(other.value)
        own, instead = spelled(setting, setting.value), spelled(setting, other.value)
        values = (own, instead) if side == 0 else (instead, own)
        facts: dict[str, Any] = {"op": setting.op.op, "name": setting.name, "side": side}
        facts |= {"first_value": values[0], "second_value": values[1], "tried": instead}
        yield _Trial(
            side,
            setting.held.id,
            Otherwise({setting.attribute: other.value}),
            other.rank,
            Cause.of("setting.differs", **facts),
            setting.op,
            other.of,
        )


def _operands(side: int, node: Node, half: Half) -> Iterator[_Trial]:
    """An operation without an operand that it may go without, and with two operands exchanged."""
    name = plain_name(node.op)
    for place, role in enumerate(node.roles):
        given = place and node.inputs[place] is not None
        if given and role in OPTIONAL.get(name, ()):
            left = tuple(None if at == place else own for at, own in enumerate(node.inputs))
            kind = "operand.missing" if side else "operand.extra"
            cause = Cause.of(kind, op=node.op, operand=role)
            yield _Trial(side, node.id, Otherwise(inputs=left), 1, cause, node)
    first, *rest = [*node.inputs, None]
    if name in FACTORS | EITHER_WAY | IDLE or len(node.inputs) != 2 or first is None:
        return
    if rest[0] is None or half.side.graph.type_of(first) != half.side.graph.type_of(rest[0]):
        return
    if not differentiable(half.side.dtype(first)):
        return
    orders = ("2, 1", "1, 2") if side == 0 else ("1, 2", "2, 1")
    cause = Cause.of(
        "operands.exchanged", op=node.op, first_order=orders[0], second_order=orders[1]
    )
    yield _Trial(side, node.id, Otherwise(inputs=(rest[0], first)), 1, cause, node)
