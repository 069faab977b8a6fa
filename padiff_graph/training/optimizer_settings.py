"""The two optimizers of a check: found, held against each other as settings, and tried on shared gradients."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.capture.abilities import Optimizers
from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.engine import Array
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import ParameterRow
from padiff_graph.request.inputs import SIDES

__all__ = [
    "Departure",
    "SettingDifference",
    "Stepper",
    "check_optimizers",
    "setting_differences",
    "try_steps",
]

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
    "gradient clipping": "none",
    "gradient scale": 1.0,
}
"""What a setting is where an optimizer does not have it."""
INERT = {"nesterov": "momentum", "dampening": "momentum", "kind of weight decay": "weight decay"}
"""Settings without effect while another one is at its neutral value on both sides."""
DIVERGENT = {
    "RMSProp": "Paddle adds epsilon under the square root, torch behind it",
    "ASGD": "Paddle averages the last gradients, torch averages the weights and decays the learning rate",
}
"""Update rules that the two frameworks do not compute alike, whatever the settings."""
NEAR = 1e-9
"""Relative difference below which two settings are one number spelled twice."""


@dataclass(frozen=True)
class Stepper:
    """One side's optimizer.

    Attributes:
        framework: whose it is.
        model: the model that it trains.
        given: as the user gave it.
        optimizers: the framework's optimizers: the given one, or those that a callable uses.
    """

    framework: str
    model: Any
    given: Any
    optimizers: tuple[Any, ...]

    @property
    def tools(self) -> Optimizers:
        """What its framework can do with optimizers."""
        return needed(backend(self.framework).optimizers)

    @property
    def direct(self) -> bool:
        """Whether the user gave an optimizer, not a callable."""
        return len(self.optimizers) == 1 and self.optimizers[0] is self.given

    def advance(self) -> None:
        """One step with gradients cleared, as a training loop takes it."""
        if self.direct:
            self.tools.advance(self.given)
        else:
            self.given()

    def settings(self) -> dict[str, dict[str, object]]:
        """What is done to each parameter, by its name; empty where a callable hides its optimizer."""
        found: dict[str, dict[str, object]] = {}
        for optimizer in self.optimizers:
            found.update(self.tools.settings(optimizer, self.model))
        return found

    def state(self) -> dict[str, dict[str, Array]]:
        """What is remembered of each parameter: parameter name -> name of the state -> numbers."""
        found: dict[str, dict[str, Array]] = {}
        for optimizer in self.optimizers:
            found.update(self.tools.state(optimizer, self.model))
        return found


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


@dataclass(frozen=True)
class Departure:
    """Where two optimizers part, given equal weights and gradients.

    Attributes:
        step: the first step after which weights differ beyond rounding.
        first, second: names of the parameter.
        error: largest difference of the weights; `update` is the size of the step itself.
    """

    step: int
    first: str
    second: str
    error: float
    update: float


def check_optimizers(
    optimizer: Any, models: tuple[Any, Any], frameworks: tuple[str, str]
) -> tuple[Stepper, Stepper] | None:
    """Takes `optimizer` apart, None where there is none.

    Raises:
        UsageTypeError, UsageError: where it is no pair of optimizers or callables, the two are
            swapped, or one trains no parameter of its model.
    """
    shape = "optimizer is a pair [paddle_optimizer, torch_optimizer] of optimizers, or callables that do both step and clear-grad"
    if optimizer is None:
        return None
    if not isinstance(optimizer, (list, tuple)):
        raise UsageTypeError(f"{shape}; found {type(optimizer).__qualname__}")
    if len(optimizer) != 2:
        raise UsageError(f"{shape}; found {len(optimizer)} members")
    for framework in frameworks:
        if backend(framework).optimizers is None:
            raise UsageError("an ONNX model cannot be trained; leave the optimizer out")
    first, second = (
        _stepper(shape, position, optimizer, models, frameworks) for position in (0, 1)
    )
    return first, second


def _stepper(
    shape: str,
    position: int,
    pair: Sequence[Any],
    models: tuple[Any, Any],
    frameworks: tuple[str, str],
) -> Stepper:
    given, framework, side = pair[position], frameworks[position], SIDES[position]
    tools = needed(backend(framework).optimizers)
    foreign = needed(backend(frameworks[1 - position]).optimizers)
    if foreign is not tools and foreign.is_optimizer(given):
        raise UsageTypeError(
            f"{shape}; the {side} side's is a {frameworks[1 - position]} optimizer; swap the two"
        )
    if not tools.is_optimizer(given) and (isinstance(given, type) or not callable(given)):
        raise UsageTypeError(f"{shape}; the {side} side's is {given!r}")
    found = tuple(_used(given, tools.is_optimizer))
    for one in found:
        refusal = tools.refusal(one) if one is given else ""
        if refusal:
            raise UsageError(f"optimizer: {refusal}")
    stepper = Stepper(framework, models[position], given, found)
    if found and not stepper.settings():
        raise UsageError(
            f"optimizer: the {side} side's owns no parameter of {type(models[position]).__qualname__}; build it from that model's parameters()"
        )
    return stepper


def _used(
    thing: Any, wanted: Callable[[object], bool], depth: int = 3, seen: set[int] | None = None
) -> Iterator[Any]:
    """Optimizers that a callable uses: itself, closure cells, globals that its code names, bound objects."""
    seen = set() if seen is None else seen
    if id(thing) in seen or depth < 0 or isinstance(thing, type):
        return
    seen.add(id(thing))
    if wanted(thing):
        yield thing
        return
    for member in _members(thing):
        yield from _used(member, wanted, depth - 1, seen)


def _members(thing: Any) -> list[Any]:
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, (list, tuple)):
        return list(thing)
    if isinstance(thing, dict):
        return list(thing.values())
    found: list[Any] = []
    code = getattr(thing, "__code__", None)
    if code is not None:
        for cell in getattr(thing, "__closure__", None) or ():
            try:
                found.append(cell.cell_contents)
            except ValueError:  # a cell that is not filled yet
                continue
        scope = getattr(thing, "__globals__", {})
        found += [
            scope[name]
            for name in code.co_names
            if name in scope and not isinstance(scope[name], type(np))
        ]
        found += list(getattr(thing, "__defaults__", None) or ())
        return found
    if hasattr(thing, "__self__"):
        return [thing.__self__]
    if callable(thing) and not hasattr(thing, "named_parameters"):
        return list(getattr(thing, "__dict__", {}).values())
    return []


def setting_differences(
    steppers: tuple[Stepper, Stepper], rows: Sequence[ParameterRow]
) -> list[SettingDifference]:
    """Every setting that is not the same for corresponding parameters, one entry for each pair of values."""
    ours, theirs = (stepper.settings() for stepper in steppers)
    if not ours or not theirs:
        return []
    trains = [stepper.tools.trainable(stepper.model) for stepper in steppers]
    found: dict[tuple[str, object, object], list[tuple[str, str]]] = {}
    pairs = [(row.first, piece.second) for row in rows for piece in row.pieces]
    pairs = [pair for pair in pairs if pair[0] in trains[0] and pair[1] in trains[1]]
    for one, other in pairs:
        for key in _differing(ours.get(one), theirs.get(other)):
            found.setdefault(key, []).append((one, other))
    return [
        SettingDifference(setting, (left, right), tuple(where), len(where) == len(pairs))
        for (setting, left, right), where in found.items()
    ]


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
    if one["algorithm"] != other["algorithm"]:
        return [("algorithm", one["algorithm"], other["algorithm"])]
    found = []
    for setting in dict.fromkeys((*one, *other)):
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


def _alike(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return abs(left - right) <= NEAR * max(abs(left), abs(right))
    return left == right


def try_steps(
    steppers: tuple[Stepper, Stepper],
    parameters: Callable[[int], Mapping[str, Array]],
    write: Callable[[Mapping[str, Array]], None],
    rows: Sequence[ParameterRow],
    steps: int,
) -> Departure | None:
    """Takes steps with equal weights and seeded random gradients on both sides, then puts all back.

    Args:
        steppers: both with exactly one framework optimizer.
        parameters: current values of the first (0) or second (1) model's parameters.
        write: writes values into the first model.
        rows: the parameter map.
        steps: how many steps to try.
    """
    tools = [stepper.tools for stepper in steppers]
    trains = [
        tool.trainable(stepper.model) & set(stepper.settings())
        for tool, stepper in zip(tools, steppers, strict=True)
    ]
    rows = [
        row
        for row in rows
        if row.pieces
        and row.first in trains[0]
        and all(piece.second in trains[1] for piece in row.pieces)
    ]
    if not rows:
        return None
    wanted = {piece.second for row in rows for piece in row.pieces}
    with ExitStack() as stack:
        for tool, stepper in zip(tools, steppers, strict=True):
            stack.enter_context(tool.kept(stepper.optimizers[0], stepper.model))
        before, ours = dict(parameters(1)), parameters(0)
        write({row.first: mapped(row, ours[row.first], before) for row in rows})
        for step in range(1, steps + 1):
            given = {name: _noise(name, step, before[name]) for name in wanted}
            tools[1].put_gradients(steppers[1].model, given)
            tools[0].put_gradients(
                steppers[0].model,
                {row.first: mapped(row, np.zeros_like(ours[row.first]), given) for row in rows},
            )
            for tool, stepper in zip(tools, steppers, strict=True):
                tool.advance(stepper.optimizers[0])
            ours, theirs = parameters(0), parameters(1)
            for row in rows:
                other = mapped(row, ours[row.first], theirs)
                old = mapped(row, ours[row.first], before)
                error, update = (
                    float(np.abs(ours[row.first] - other).max()),
                    float(np.abs(other - old).max()),
                )
                if error > 1e-5 * update + 8 * step * float(np.finfo(np.float32).eps) * float(
                    np.abs(other).max()
                ):
                    return Departure(
                        step,
                        row.first,
                        " + ".join(piece.second for piece in row.pieces),
                        error,
                        update,
                    )
    return None


def _noise(name: str, step: int, like: Array) -> Array:
    """Seeded gradients between 0.5 and 1.5 in size: no step is decided by an epsilon alone."""
    generator = np.random.default_rng([zlib.crc32(name.encode()), step])
    size = 0.5 + generator.random(like.shape)
    return np.asarray(size * generator.choice((-1.0, 1.0), like.shape), like.dtype)
