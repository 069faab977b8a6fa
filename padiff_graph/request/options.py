"""The options of a check: names, meaning, allowed values."""

from __future__ import annotations

import difflib
import math
import numbers
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from padiff_graph.capture.autocast import MIXED
from padiff_graph.errors import UsageError, UsageTypeError

__all__ = ["CHECKS", "Options", "parse_options", "rounding_allowed"]

PHASES = ("both", "forward", "backward")
MODES = ("mean", "strict")
NAMED = frozenset({"atol", "rtol", "tolerances", "allow_rounding"})
"""Options that name a tolerance, which is meant then."""
HALVES = ("bfloat16", "float16")
PRECISIONS = (*HALVES, *(MIXED + name for name in HALVES))


@dataclass(frozen=True, slots=True)
class Options:
    """What a check shall do, with the defaults.

    Attributes:
        atol: absolute tolerance.
        rtol: relative tolerance, against the second model's value.
        diff_phase: "both"; "forward" (no backward pass is computed); "backward" (with single_step
            only).
        compare_mode: "mean": the difference of two tensors' means is held against the tolerance;
            "strict": every element is. Whole numbers and truth values are held exactly in both.
        single_step: whether every matched unit gets the same inputs on both sides, so that errors
            do not add up, instead of comparing the whole run.
        allow_rounding: whether a difference beyond the tolerance that is proved to be rounding
            passes.
        fail_fast: whether the check stops at the first difference: regions behind it are not run,
            and no training step is taken.
        check_nan: whether the report says where NaN and infinity first come up on each side.
        precision: "bfloat16" or "float16": look at both models in half precision too, on any
            machine; "" for not.
        tolerances: tolerances of outputs by name or pattern ("logits*"), each (atol, rtol); the
            first pattern that fits an output is its own, the others have the general one.
        observed: with `precision`, what was seen between two runs in it, to be called drift or
            more: the largest absolute difference of an output, or two files with the outputs
            (`.npy`, `.npz`), the first model's first; None where nothing was.
    """

    atol: float = 0.0
    rtol: float = 1e-7
    diff_phase: Literal["both", "forward", "backward"] = "both"
    compare_mode: Literal["mean", "strict"] = "mean"
    single_step: bool = False
    allow_rounding: bool = False
    fail_fast: bool = False
    check_nan: bool = False
    precision: str = ""
    observed: float | tuple[str, str] | None = None
    tolerances: tuple[tuple[str, float, float], ...] = ()

    @property
    def forward(self) -> bool:
        """Whether forward values are part of the verdict."""
        return self.diff_phase != "backward"

    @property
    def backward(self) -> bool:
        """Whether a backward pass is computed."""
        return self.diff_phase != "forward"

    def as_dict(self) -> dict[str, Any]:
        """The options as a user writes them."""
        named = {pattern: (atol, rtol) for pattern, atol, rtol in self.tolerances}
        return {**asdict(self), "tolerances": named}


def parse_options(
    options: Mapping[str, Any] | None, steps: int = 1, optimizer: Any = None
) -> Options:
    """Checks the options of a call, alone and together with `steps` and `optimizer`.

    The mapping is not kept: nothing leaks from one call to the next.

    Raises:
        UsageTypeError, UsageError: naming the key, what it may be and what was found.
    """
    if options is None:
        options = {}
    if not isinstance(options, Mapping):
        raise UsageTypeError(
            f"options: expected a dict such as {{'atol': 1e-5}}, found {_kind(options)}"
        )
    for key in options:
        if key not in CHECKS:
            close = difflib.get_close_matches(str(key), CHECKS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"options: unknown key {key!r}; known are {', '.join(CHECKS)}{hint}")
    parsed = Options(**{key: CHECKS[key](key, value) for key, value in options.items()})
    _check_together(parsed, _steps(steps), optimizer is not None)
    return parsed


def rounding_allowed(options: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The options of a call that names no tolerance, with proved rounding allowed; others as they
    are, wrong ones too."""
    if options is None:
        return {"allow_rounding": True}
    if not isinstance(options, Mapping) or NAMED & set(options):
        return options
    return {**options, "allow_rounding": True}


def _check_together(options: Options, steps: int, trains: bool) -> None:
    """Refuses combinations that contradict each other."""
    if options.diff_phase == "backward" and not options.single_step:
        raise UsageError(
            "options: diff_phase='backward' compares backward passes unit by unit and so needs "
            "single_step=True; add 'single_step': True, or use diff_phase='both'"
        )
    if options.tolerances and options.single_step:
        raise UsageError(
            "options: tolerances are of outputs of the whole run, and single_step=True holds "
            "single units instead; leave one of them out"
        )
    if options.observed is not None and not options.precision:
        raise UsageError(
            "options: observed is a difference between two runs in half precision and so needs "
            "'precision': 'bfloat16' or 'float16'"
        )
    if steps > 1 and options.diff_phase != "both":
        raise UsageError(
            f"steps={steps} trains the models and so needs diff_phase='both'; "
            f"found {options.diff_phase!r}"
        )
    if steps > 1 and not trains:
        raise UsageError(
            f"steps={steps} trains the models and so needs "
            "optimizer=[paddle_optimizer, torch_optimizer]; found None"
        )
    if trains and options.diff_phase != "both":
        raise UsageError(
            "an optimizer needs gradients and so diff_phase='both'; "
            f"found {options.diff_phase!r}; leave the optimizer out"
        )


def _steps(steps: object) -> int:
    if isinstance(steps, bool) or not isinstance(steps, numbers.Integral):
        raise UsageTypeError(
            f"steps: expected a whole number of training steps, found {_kind(steps)}"
        )
    if steps < 1:
        raise UsageError(f"steps: expected 1 or more, found {steps}")
    return int(steps)


def _tolerance(key: str, value: object) -> float:
    if isinstance(value, (bool, str)) or not (
        isinstance(value, numbers.Real) or _is_numpy_number(value)
    ):
        raise UsageTypeError(f"options: {key} is a number, 0 or greater; found {_kind(value)}")
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number) or number < 0:
        raise UsageError(f"options: {key} is a finite number, 0 or greater; found {number}")
    return number


def _choice(allowed: tuple[str, ...]) -> Callable[[str, object], str]:
    def check(key: str, value: object) -> str:
        if not isinstance(value, str):
            raise UsageTypeError(
                f"options: {key} is one of {', '.join(map(repr, allowed))}; found {_kind(value)}"
            )
        if value not in allowed:
            raise UsageError(
                f"options: {key} is one of {', '.join(map(repr, allowed))}; found {value!r}"
            )
        return value

    return check


def _precision(key: str, value: object) -> str:
    return "" if value is None else _choice(PRECISIONS)(key, value)


def _observed(key: str, value: object) -> float | tuple[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike, list, tuple)):
        return _tolerance(key, value)
    files = value if isinstance(value, (list, tuple)) else [value]
    if len(files) != 2 or not all(isinstance(file, (str, os.PathLike)) for file in files):
        raise UsageTypeError(
            f"options: {key} is a number, or two files with the saved outputs, the first model's "
            f"first; found {value!r}"
        )
    return os.fspath(files[0]), os.fspath(files[1])


def _tolerances(key: str, value: object) -> tuple[tuple[str, float, float], ...]:
    """Pattern -> (atol, rtol), as rows."""
    if not isinstance(value, Mapping):
        raise UsageTypeError(
            f"options: {key} is a dict such as {{'logits*': (1e-5, 1e-4)}}, each (atol, rtol); "
            f"found {_kind(value)}"
        )
    rows: list[tuple[str, float, float]] = []
    for pattern, pair in value.items():
        if not isinstance(pattern, str) or not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise UsageTypeError(
                f"options: {key} holds (atol, rtol) by an output's name or pattern; "
                f"found {pattern!r}: {pair!r}"
            )
        atol, rtol = (_tolerance(f"{key}[{pattern!r}]", entry) for entry in pair)
        rows.append((pattern, atol, rtol))
    return tuple(rows)


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageTypeError(f"options: {key} is True or False; found {_kind(value)}")
    return value


def _is_numpy_number(value: object) -> bool:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind in "fiu" and kind != "" and getattr(value, "ndim", None) == 0


def _kind(value: object) -> str:
    return f"{value!r} ({type(value).__name__})"


CHECKS: dict[str, Callable[[str, object], Any]] = {
    "atol": _tolerance,
    "rtol": _tolerance,
    "diff_phase": _choice(PHASES),
    "compare_mode": _choice(MODES),
    "single_step": _flag,
    "allow_rounding": _flag,
    "fail_fast": _flag,
    "check_nan": _flag,
    "precision": _precision,
    "observed": _observed,
    "tolerances": _tolerances,
}
"""Every option with the check of its value."""
