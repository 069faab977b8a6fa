"""Two optimizers held against each other by their settings, parameter by parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["SettingDifference", "Settings", "setting_differences"]

Settings = Mapping[str, Mapping[str, object]]
"""Parameter name -> name of a setting -> its value."""

Pair = tuple[str, str]

NEUTRAL: Mapping[str, object] = {
    "momentum": 0.0,
    "dampening": 0.0,
    "nesterov": False,
    "maximize": False,
    "amsgrad": False,
    "centered": False,
    "weight decay": 0.0,
    "learning rate decay": 0.0,
    "kind of weight decay": "none",
    "coupled weight decay": 0.0,
    "gradient clipping": "none",
    "gradient scale": 1.0,
    "initial accumulator": 0.0,
}
"""What a setting is where an optimizer does not have it."""
INERT = {"nesterov": "momentum", "dampening": "momentum", "kind of weight decay": "weight decay"}
"""Settings without effect while another one is at its neutral value on both sides."""
NEAR = 1.2e-7
"""Relative difference below which two settings are one number spelled twice: a rate may be held in
a tensor of float32, and this is the unit in its last place."""


@dataclass(frozen=True)
class SettingDifference:
    """One setting with two values.

    Attributes:
        setting: its name.
        values: first, second.
        parameters: (first, second) names of the parameters that it concerns.
        everywhere: whether it concerns all trained parameters.
    """

    setting: str
    values: tuple[object, object]
    parameters: tuple[tuple[str, str], ...]
    everywhere: bool


def setting_differences(
    settings: tuple[Settings, Settings], trains: tuple[set[str], set[str]], pairs: Sequence[Pair]
) -> list[SettingDifference]:
    """Every setting that is not the same for corresponding parameters, one entry for each pair of
    values.

    Args:
        settings: of both sides; empty where they are not known.
        trains: names of the parameters whose gradient is asked for.
        pairs: names of corresponding parameters.
    """
    ours, theirs = settings
    if not ours or not theirs:
        return []
    found: dict[tuple[str, object, object], list[Pair]] = {}
    pairs = [pair for pair in pairs if pair[0] in trains[0] and pair[1] in trains[1]]
    for one, other in pairs:
        for key in _differing(ours.get(one), theirs.get(other)):
            found.setdefault(key, []).append((one, other))
    return [
        SettingDifference(setting, (left, right), tuple(where), len(where) == len(pairs))
        for (setting, left, right), where in found.items()
    ]


def _is_known(algorithm: object) -> bool:
    """Whether an update rule is a framework's own; another one goes by its place, with dots."""
    return "." not in str(algorithm)


def _differing(
    one: Mapping[str, object] | None, other: Mapping[str, object] | None
) -> list[tuple[str, object, object]]:
    if one is None and other is None:
        return []
    if one is None or other is None:
        return [
            (
                "owner",
                "trained" if one is not None else "left alone",
                "trained" if other is not None else "left alone",
            )
        ]
    rules = one["algorithm"], other["algorithm"]
    if rules[0] != rules[1] and all(map(_is_known, rules)):
        return [("algorithm", *rules)]
    found = []
    for setting in _compared(one, other):
        left, right = (side.get(setting, NEUTRAL.get(setting)) for side in (one, other))
        if left is None or right is None or _alike(left, right):
            continue
        ruling = INERT.get(setting)
        if ruling is not None and any(
            _alike(side.get(ruling, NEUTRAL[ruling]), NEUTRAL[ruling]) for side in (one, other)
        ):
            continue
        found.append((setting, left, right))
    return found


def _compared(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Names of the settings to hold against each other: what a rule of the user's own does not
    name may be built into it, so that only what both name is held against each other there."""
    names = [*one, *(name for name in other if name not in one)]
    if all(_is_known(side["algorithm"]) for side in (one, other)):
        return names
    return [name for name in names if name in one and name in other and name != "algorithm"]


def _alike(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return abs(left - right) <= NEAR * max(abs(left), abs(right))
    return left == right
