"""Settings of native operations, and the values that are worth a trial in their place.

A setting is an attribute of an operation, or a number that the program hands it as a constant.
Values come from the other side first, where a setting of the same meaning holds one; then what is
usual for a setting of that name, and whatever else the other side holds. A framework may end the
process over a call that makes no sense, so whole numbers are tried where they cannot be out of
bounds alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from padiff_graph.capture.graph import Node
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.diagnosis.plain_names import IDLE, plain_name
from padiff_graph.executor.region_run import Side

__all__ = ["FACTORS", "Setting", "Tried", "distinct", "other_values", "settings_of", "spelled"]

FACTORS = frozenset({"add", "mul", "pow", "rsub", "sub"})
"""Operations whose numbers are factors, shifts and exponents: the normal form tells them better."""
MAKERS = frozenset(
    {"arange", "assign_value", "full", "full_int_array", "full_like", "linspace", "scalar_tensor"}
)
"""Operations that hold numbers which others are called with."""
MOVING = frozenset({"transpose"})
"""Operations that only exchange axes: the order of the values tells it better."""
SILENT = frozenset(
    {
        "copy",
        "data_format",
        "device",
        "dtype",
        "implicit",
        "layout",
        "memory_format",
        "non_blocking",
        "pin_memory",
        "place",
        "seed",
        "shape",
        "size",
    }
)
"""Attributes that choose no result, or one of another size or dtype."""
MEANING = {
    "axes": "axis",
    "correction": "unbiased",
    "delta": "beta",
    "dim": "axis",
    "dims": "axis",
    "keepdims": "keepdim",
    "lambd": "threshold",
    "lower": "min",
    "normalization": "norm",
    "ord": "p",
    "other": "y",
    "pad": "paddings",
    "pad_value": "value",
    "porder": "p",
    "upper": "max",
}
"""What both frameworks' names of one setting mean: torch's native_functions.yaml and Paddle's
ops.yaml."""
USUAL: dict[str, tuple[Any, ...]] = {
    "approximate": ("none", "tanh"),
    "axis": (0, 1, 2, 3, -1, -2),
    "ignore_index": (-100,),
    "interpolation": ("linear", "lower", "higher", "nearest", "midpoint"),
    "label_smoothing": (0.0,),
    "mode": ("constant", "reflect", "replicate", "circular"),
    "norm": (None, "backward", "ortho", "forward"),
    "p": (1, 2, 3),
    "reduce": ("add", "multiply", "mean", "amax", "amin"),
    "reduction": (1, 2, 0),
    "rounding_mode": (None, "floor", "trunc"),
    "unbiased": (0, 1),
}
"""Values that a setting of a meaning usually has."""
WHOLE = frozenset({"diagonal", "ignore_index", "k", "p", "reduction", "shifts", "unbiased"})
"""Settings of whole numbers that no value puts out of bounds, or that are checked before they are
used."""
DRAWN = {("dropout", "mode"): ("upscale_in_train", "downgrade_in_infer")}
"""Settings of a draw that say what becomes of it, not what is drawn, and their values."""
SPELLED_OUT = frozenset({"unbiased"})
"""Meanings of settings that one framework makes of several operations: no operation of its side
holds them, and an operation too many says less."""
REDUCTIONS = ("none", "mean", "sum")
"""What torch's numbers of a reduction are called (its torch/nn/_reduction.py)."""
COMPARED = frozenset({"greater_equal", "greater_than", "less_equal", "less_than"})
"""Operations that compare with a number, which may be any."""
SIZING = ("interp", "upsample")
"""Fragments of names of operations whose numbers say how large the result is."""
UNLIKELY = 4
"""Rank of values that nothing suggests."""
SWITCHED_OFF = (0.0, 1.0)
"""Numbers that leave a setting without effect."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of an operation.

    Attributes:
        op: the operation that is called with it.
        name: of its attribute or operand.
        held: the operation that holds it: the same, or one that makes a constant.
        attribute: of that.
        value: as captured.
        rank: of the operation's first operand.
    """

    op: Node
    name: str
    held: Node
    attribute: str
    value: Any
    rank: int

    @property
    def meaning(self) -> str:
        """The name in words of both frameworks."""
        return MEANING.get(self.name, self.name)


@dataclass(frozen=True, slots=True)
class Tried:
    """A value to try.

    Attributes:
        value: the value.
        rank: how likely it is, the smaller the more.
        of: the operation of the other side that holds it; None where it is merely usual.
    """

    value: Any
    rank: int
    of: Node | None = None


def settings_of(side: Side, numbers: Sequence[int], *, made: bool = False) -> Iterator[Setting]:
    """The settings of operations of one side, in the order of the program.

    Args:
        side, numbers: the operations.
        made: those of factors and constants too, of which nothing is told by itself.
    """
    inside = frozenset(numbers)
    for node in map(side.graph.record, numbers):
        name = plain_name(node.op)
        if name in IDLE or (not made and not _tellable(node)):
            continue
        first = next((value for value in node.inputs if value is not None), None)
        rank = 0 if first is None else len(side.shape(first))
        for attribute, value in node.attrs.items():
            if attribute not in SILENT and (made or _chosen(node, attribute)):
                yield Setting(node, attribute, node, attribute, value, rank)
        for operand, role in zip(node.inputs, node.roles, strict=True):
            maker = None if operand is None else side.graph.record(operand.node)
            if maker is None or maker.inputs or plain_name(maker.op) not in MAKERS:
                continue
            there = made or (maker.id in inside and "random" not in node.marks)
            if role not in SILENT and there and "value" in maker.attrs:
                yield Setting(node, role, maker, "value", maker.attrs["value"], rank)


def _tellable(node: Node) -> bool:
    """Whether the settings of an operation are tried: not those of a draw, which has its own
    numbers, nor of what makes larger results of larger numbers."""
    name = plain_name(node.op)
    if name in FACTORS | MAKERS | MOVING:
        return False
    return not any(fragment in name for fragment in SIZING)


def _chosen(node: Node, attribute: str) -> bool:
    """Whether an attribute is a setting that is tried: of a draw few are."""
    return "random" not in node.marks or (plain_name(node.op), attribute) in DRAWN


def distinct(settings: Iterable[Setting]) -> list[Setting]:
    """Settings without those that say what an earlier one does: the same value, of one meaning, of
    operations of one name. A region of a hundred layers would try each value a hundred times."""
    known: dict[tuple[str, str, str], Setting] = {}
    for setting in settings:
        value = f"{type(setting.value).__name__} {setting.value!r}"
        known.setdefault((plain_name(setting.op.op), setting.meaning, value), setting)
    return list(known.values())


def other_values(setting: Setting, others: Sequence[Setting]) -> Iterator[Tried]:
    """Values to try in the place of a setting's own.

    Args:
        setting: of one side.
        others: the settings of the other side.
    """
    if isinstance(setting.value, bool):
        alike = [other for other in others if _alike(setting, other)]
        differing = [other for other in alike if other.value == (not setting.value)]
        like = next((other.op for other in (*differing, *alike)), None)
        first = differing or setting.meaning in SPELLED_OUT
        yield Tried(not setting.value, 0 if first else 2, like)
        return
    # whole numbers and truth values come out alike for many values: there only its own is tried
    most = UNLIKELY if differentiable(setting.op.dtype()) else 0
    for tried in _candidates(setting, others):
        if tried.rank <= most and _sensible(setting, tried.value):
            yield replace(tried, value=_counted(setting, tried.value))


def spelled(setting: Setting, value: Any) -> Any:
    """A value as a person calls it."""
    if setting.name == "reduction" and type(value) is int and 0 <= value < len(REDUCTIONS):
        return REDUCTIONS[value]
    value, own = _single(value), _single(setting.value)
    if setting.meaning == "axis" and type(value) is int and type(own) is int and own < 0 <= value:
        # counted from the end as its own; a stack's axis is one of its result
        return value if "stack" in setting.op.op else value - setting.rank
    return value


def _single(value: Any) -> Any:
    """The only member of a tuple in its place."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _candidates(setting: Setting, others: Sequence[Setting]) -> Iterator[Tried]:
    for other in others:
        rank = _rank(setting, other)
        for value in _fitting(setting, other):
            yield Tried(value, rank, other.op)
    drawn = DRAWN.get((plain_name(setting.op.op), setting.name), ())
    yield from (Tried(value, 0) for value in drawn)
    for usual in USUAL.get(setting.meaning, ()):
        for value in _as_own(setting.value, usual, usual=True):
            yield Tried(value, 0 if setting.meaning in SPELLED_OUT else 2)
    if isinstance(setting.value, float):
        yield from (Tried(value, UNLIKELY) for value in SWITCHED_OFF)
    if setting.value and _numbers(setting.value):
        yield Tried(tuple(reversed(setting.value)), UNLIKELY)
        yield Tried(tuple(-number for number in setting.value), UNLIKELY)


def _sensible(setting: Setting, value: Any) -> bool:
    """Whether a call with this value can at worst be refused."""
    members = value if isinstance(value, tuple) else (value,)
    if not all(type(member) is int for member in members):
        return True
    if setting.meaning == "axis":
        within = all(-setting.rank <= member < setting.rank for member in members)
        return within and len({member % setting.rank for member in members}) == len(members)
    if setting.meaning == "paddings":
        return plain_name(setting.op.op) == "pad" and all(member >= 0 for member in members)
    if setting.name == "perm":
        return sorted(members) == list(range(setting.rank))
    if setting.meaning in WHOLE or type(setting.value) is float:
        return True
    return setting.meaning == "y" and plain_name(setting.op.op) in COMPARED


def _counted(setting: Setting, value: Any) -> Any:
    """An axis counted from the start where the setting's own is: Paddle's Fourier transforms end
    the process over one counted from the end."""
    own = setting.value if isinstance(setting.value, tuple) else (setting.value,)
    if setting.meaning != "axis" or not _numbers(own) or min(own, default=-1) < 0:
        return value
    if isinstance(value, tuple):
        return tuple(member % setting.rank for member in value)
    return value % setting.rank


def _alike(setting: Setting, other: Setting) -> bool:
    """Whether two settings have one meaning, of operations of one name."""
    same = plain_name(setting.op.op) == plain_name(other.op.op)
    return same and setting.meaning == other.meaning


def _rank(setting: Setting, other: Setting) -> int:
    if _alike(setting, other):
        return 0
    return 1 if setting.meaning == other.meaning else 3


def _fitting(setting: Setting, other: Setting) -> Iterator[Any]:
    """The other side's value in the type of a setting; words only of a setting of one meaning."""
    words = isinstance(setting.value, str) or isinstance(other.value, str)
    worded = words or None in (setting.value, other.value)
    if isinstance(other.value, bool) or (worded and setting.meaning != other.meaning):
        return
    values: tuple[Any, ...] = (other.value,)
    if isinstance(other.value, tuple) and not isinstance(setting.value, tuple):
        values = other.value if len(other.value) == 1 else ()
    for value in values:
        yield from _as_own(setting.value, value, usual=False)


def _as_own(own: Any, value: Any, *, usual: bool) -> Iterator[Any]:
    """A value in the type of a setting's own."""
    if isinstance(own, tuple):
        if _numbers(own):
            yield from _as_tuple(own, value)
    elif isinstance(own, float):
        if isinstance(value, (int, float)):
            yield float(value)
    elif isinstance(own, int):
        if isinstance(value, (int, float)):
            yield int(value) if float(value).is_integer() else value
    elif isinstance(own, str):
        if isinstance(value, str):
            yield value
    elif usual:
        yield value


def _as_tuple(own: tuple[Any, ...], value: Any) -> Iterator[tuple[Any, ...]]:
    """Numbers in a tuple of the length of a setting's own: cut, or with zeros behind."""
    if isinstance(value, (int, float)):
        if len(own) == 1:
            yield (value,)
    elif _numbers(value) and value:
        more = len(own) - len(value)
        yield (*value, *(0,) * more) if more >= 0 else value[: len(own)]


def _numbers(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(number, (int, float)) and not isinstance(number, bool) for number in value
    )
