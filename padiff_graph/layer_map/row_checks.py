"""Rows of a map that cannot mean anything for two models: of modules that are not there, and two of
one thing that say different things."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from padiff_graph.alignment.correspondence import GIVEN, ModuleRow, ParameterEntry
from padiff_graph.errors import UsageError
from padiff_graph.request.module_tree import class_of, has_modules, modules_of

__all__ = ["check_rows", "once"]


def check_rows(
    rows: Sequence[ModuleRow], parameters: Sequence[ParameterEntry], layer: Any, module: Any
) -> None:
    """Holds a map's rows against each other and against the two models' modules.

    Of what the matcher once found only contradictions are looked for here: a model may have
    changed since, and `contradicted_rows` says what has no meaning any more.

    Raises:
        UsageError: for a module that its model does not have, where a person wrote the row, and for
            two rows of one module, or of one parameter, that say different things.
    """
    once(((row.paddle_path, row.torch_path) for row in rows), "module")
    once(((entry.paddle_name, entry.row.pieces) for entry in parameters), "parameter")
    given = [row for row in rows if row.reason == GIVEN]
    _there([row.paddle_path for row in given], layer)
    _there([row.torch_path for row in given], module)


def once(said: Iterable[tuple[str, object]], what: str) -> None:
    """Nothing is said twice in different ways.

    Raises:
        UsageError: naming what two rows contradict each other about.
    """
    known: dict[str, object] = {}
    for name, counterpart in said:
        if known.setdefault(name, counterpart) != counterpart:
            raise UsageError(
                f"layer_map: two rows of the {what} {name!r} contradict each other; keep one"
            )


def _there(paths: Iterable[str], model: Any) -> None:
    """Whether a model has these modules; a file of another format has none to look at."""
    if not has_modules(model):
        return
    modules = modules_of(model)
    for path in paths:
        if path not in modules and not _reached(model, path):
            raise UsageError(f"layer_map: {class_of(model)} has no module {path!r}; mend the row")


def _reached(model: Any, path: str) -> bool:
    """Whether attributes lead there: a module that stands under two names is listed under one."""
    part = model
    for name in path.split("."):
        part = getattr(part, name, None)
    return has_modules(part)
