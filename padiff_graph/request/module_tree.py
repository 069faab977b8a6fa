"""The modules of a model by dotted path, for any framework; no framework is imported here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from padiff_graph.capture.remote.handles import AbsentModel
from padiff_graph.errors import UsageError

__all__ = ["class_of", "empty_parameters", "find_path", "has_modules", "modules_of"]


SHOWN = 5
"""So many modules are named in a message; chosen so that it stays one line or two."""


def has_modules(model: Any) -> bool:
    """Whether it is a torch Module or a Paddle Layer, an instance."""
    return not isinstance(model, (type, str, os.PathLike)) and (
        hasattr(model, "named_sublayers") or hasattr(model, "named_modules")
    )


def modules_of(model: Any) -> dict[str, Any]:
    """Every module by its first dotted path, the root as ""; of an ONNX model only the root, of a
    model elsewhere what stands for each."""
    if isinstance(model, AbsentModel):
        return {**model.modules(), "": model}
    modules: dict[str, Any] = {"": model}
    if has_modules(model):
        list_modules = getattr(model, "named_sublayers", None) or model.named_modules
        modules.update((path, module) for path, module in list_modules() if path)
    return modules


def empty_parameters(model: Any, filled: Callable[[Any], bool]) -> list[str]:
    """Dotted names of the parameters that hold no numbers though their shape is known.

    Args:
        filled: whether a tensor holds numbers.
    """
    if not has_modules(model):
        return []
    return [
        name
        for name, tensor in model.named_parameters()
        if not type(tensor).__name__.startswith("Uninitialized") and not filled(tensor)
    ]


def class_of(module: Any) -> str:
    """A module's class name."""
    return module.class_name if isinstance(module, AbsentModel) else type(module).__name__


def find_path(model: Any, reference: Any) -> str | None:
    """The dotted path of a module in a model; None where it is not there.

    Args:
        reference: the module itself, its dotted path, the end of a dotted path that only one module
            has, or the framework's own unique name of it ("linear_0").

    Raises:
        UsageError: for a name that several modules have.
    """
    modules = modules_of(model)
    if isinstance(reference, str):
        return _path_by_name(model, modules, reference)
    return next((path for path, module in modules.items() if module is reference), None)


def _path_by_name(model: Any, modules: Mapping[str, Any], reference: str) -> str | None:
    if reference in modules:
        return reference
    by_end = [path for path in modules if path.endswith("." + reference)]
    by_own_name = [path for path, module in modules.items() if _own_name(module) == reference]
    matches = by_end or by_own_name
    if len(matches) > 1:
        raise UsageError(
            f"{reference!r} names several modules of {class_of(model)}: "
            f"{', '.join(matches[:SHOWN])}; give the whole dotted path"
        )
    return matches[0] if matches else None


def _own_name(module: Any) -> str:
    full = getattr(module, "full_name", None)
    if not callable(full) or not hasattr(module, "named_sublayers"):
        return ""
    return str(full())
