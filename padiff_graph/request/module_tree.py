"""The modules of a model by dotted path, for any framework; no framework is imported here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from padiff_graph.errors import UsageError

__all__ = ["class_of", "find_path", "has_modules", "modules_of"]


def has_modules(model: Any) -> bool:
    """Whether it is a torch Module or a Paddle Layer, an instance."""
    return not isinstance(model, (type, str, os.PathLike)) and (
        hasattr(model, "named_sublayers") or hasattr(model, "named_modules")
    )


def modules_of(model: Any) -> dict[str, Any]:
    """Every module by its first dotted path, the root as ""; an ONNX model has none but the root."""
    found: dict[str, Any] = {"": model}
    if not has_modules(model):
        return found
    named: Iterable[tuple[str, Any]] = (
        model.named_sublayers() if hasattr(model, "named_sublayers") else model.named_modules()
    )
    for path, module in named:
        if path:
            found[path] = module
    return found


def class_of(module: Any) -> str:
    """A module's class name."""
    return type(module).__name__


def find_path(model: Any, reference: Any) -> str | None:
    """The dotted path of a module in a model; None where it is not there.

    Args:
        reference: the module itself, its dotted path, the end of a dotted path that only one module
            has, or the framework's own unique name of it ("linear_0").
    Raises:
        UsageError: for a name that several modules have.
    """
    modules = modules_of(model)
    if not isinstance(reference, str):
        return next((path for path, module in modules.items() if module is reference), None)
    if reference in modules:
        return reference
    for matches in (
        [path for path in modules if path.endswith("." + reference)],
        [path for path, module in modules.items() if _own_name(module) == reference],
    ):
        if len(matches) > 1:
            raise UsageError(
                f"{reference!r} names several modules of {class_of(model)}: {', '.join(matches[:5])}; give the whole dotted path"
            )
        if matches:
            return matches[0]
    return None


def _own_name(module: Any) -> str:
    full = getattr(module, "full_name", None)
    if not callable(full) or not hasattr(module, "named_sublayers"):
        return ""
    return str(full())
