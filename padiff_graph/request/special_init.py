"""Special initialisations: a user's own way to align the weights of a pair of classes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from padiff_graph.errors import UsageTypeError

__all__ = ["SPECIAL", "SpecialInit", "add_special_init", "special_inits"]

SpecialInit = Callable[[Any, Any], Any]
"""fn(layer, module): copies the torch module's weights into the Paddle layer."""
SPECIAL: dict[tuple[str, str], SpecialInit] = {}
"""By class names, first the Paddle layer's, then the torch module's."""


def add_special_init(paddle: type | str, torch: type | str, fn: SpecialInit | None = None) -> Any:
    """Registers how the weights of a pair of classes are aligned.

    Args:
        paddle, torch: the classes, or their names.
        fn: called as fn(layer, module) for every matched pair of instances, in place of the graph's
            own map of their parameters. Without it this is a decorator.
    """
    key = _name(paddle, "paddle"), _name(torch, "torch")
    if fn is None:

        def register(function: SpecialInit) -> SpecialInit:
            add_special_init(paddle, torch, function)
            return function

        return register
    if not callable(fn):
        raise UsageTypeError(
            f"add_special_init: fn is a callable fn(layer, module), found {type(fn).__qualname__}"
        )
    SPECIAL[key] = fn
    return fn


def special_inits(pairs: Iterable[tuple[str, Any, str, Any]]) -> list[tuple[str, str, SpecialInit]]:
    """The initialisations that apply, outermost first.

    Args:
        pairs: matched modules as (first path, first module, second path, second module).

    Returns:
        (first path, second path, fn); nothing below a pair that is already there.
    """
    applying: list[tuple[str, str, SpecialInit]] = []
    if not SPECIAL:
        return applying
    outermost_first = sorted(pairs, key=lambda pair: pair[0].count("."))
    for first_path, layer, second_path, module in outermost_first:
        if any(_below(first_path, above) for above, _, _ in applying):
            continue
        fn = _registered(layer, module)
        if fn is not None:
            applying.append((first_path, second_path, fn))
    return applying


def _below(path: str, above: str) -> bool:
    return not above or path == above or path.startswith(above + ".")


def _registered(layer: Any, module: Any) -> SpecialInit | None:
    """The function for the classes of a pair, or for their nearest bases."""
    for key in itertools.product(_names(layer), _names(module)):
        if key in SPECIAL:
            return SPECIAL[key]
    return None


def _name(cls: type | str, side: str) -> str:
    if isinstance(cls, str):
        return cls
    if isinstance(cls, type):
        return cls.__name__
    raise UsageTypeError(
        f"add_special_init: {side} is a class or its name, found {type(cls).__qualname__}"
    )


def _names(module: Any) -> list[str]:
    return [cls.__name__ for cls in type(module).__mro__ if cls is not object]
