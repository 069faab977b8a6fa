"""The names of the inputs, held against what a model's forward takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from padiff_graph.capture.remote.whole import asked_whole
from padiff_graph.errors import UsageError

__all__ = ["check_arguments", "misfit"]

Parameter = inspect.Parameter
BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL)
"""Kinds of parameters that no name reaches; inputs are handed over by name."""
OPEN = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
"""Kinds of parameters that may stay empty."""


def check_arguments(argument: str, model: Any, example: Mapping[str, Any]) -> None:
    """Refuses inputs that forward does not take, and an example that lacks one.

    Args:
        argument: how the caller's parameter is called.
        model: the model.
        example: keyword arguments of its forward.

    Raises:
        UsageError: names the inputs and says what forward takes.
    """
    try:
        parameters = inspect.signature(model.forward).parameters
    except (TypeError, ValueError):
        return  # a compiled forward has no signature
    takes = ", ".join(map(str, parameters.values())) or "nothing"
    where = f"{argument}: forward of {type(model).__qualname__} takes ({takes})"
    by_position = [name for name, kind in parameters.items() if kind.kind in BY_POSITION]
    unknown = _unknown(example, parameters, by_position)
    if unknown:
        hint = ""
        if by_position:
            hint = "; it is called by names, so positional-only arguments need a small wrapper"
        raise UsageError(
            f"{where}; found the input {_quoted(unknown)}, which it does not take{hint}"
        )
    required = [name for name, parameter in parameters.items() if _required(parameter)]
    missing = [name for name in required if name not in example]
    if missing and not _has_pre_hooks(model):
        raise UsageError(
            f"{where}; the input {_quoted(missing)} is missing; found {_quoted(example) or 'none'}"
        )


@asked_whole
def misfit(argument: str, model: Any, example: Mapping[str, Any]) -> str:
    """What `check_arguments` says, "" for nothing; for a model elsewhere by its own process."""
    try:
        check_arguments(argument, model, example)
    except UsageError as error:
        return str(error)
    return ""


def _required(parameter: Parameter) -> bool:
    return parameter.default is Parameter.empty and parameter.kind not in OPEN


def _unknown(
    example: Mapping[str, Any], parameters: Mapping[str, Parameter], by_position: list[str]
) -> list[str]:
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    return [name for name in example if name not in parameters or name in by_position]


def _has_pre_hooks(model: Any) -> bool:
    """Whether a hook may fill in arguments before forward is called."""
    return bool(getattr(model, "_forward_pre_hooks", None))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
