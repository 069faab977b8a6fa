"""Names on the command line: `package.module:function` and files."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from padiff_graph.errors import UsageError

__all__ = ["load_model", "load_pair", "resolve"]

PAIR_KEYS = ("layer", "module", "example_inp", "auto_weights", "steps", "options", "layer_map", "loss_fn", "optimizer")


def resolve(target: str) -> Any:
    """Imports what `package.module:name` names; the working directory is searched first.

    Raises:
        UsageError: another spelling, a module that cannot be imported, a name that is not there.
    """
    name, colon, attribute = target.partition(":")
    if not colon or not name or not attribute:
        raise UsageError(f"expected package.module:function, found {target!r}; for example examples.resnet_port:healthy")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise UsageError(f"there is no module {missing!r}; it is looked for in {here} and among installed packages") from None
        raise UsageError(f"importing {name} failed: it imports {missing!r}, which is not installed") from None
    except Exception as error:
        # whatever the user's module does at import: said in one line, where it happened
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
        raise UsageError(f"importing {name} failed{where}: {type(error).__name__}: {error}") from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            functions = [entry for entry in vars(found) if not entry.startswith("_") and callable(getattr(found, entry))] if hasattr(found, "__dict__") else []
            raise UsageError(f"{name} has no {attribute!r}" + (f"; it has {', '.join(functions[:12])}" if functions else ""))
        found = getattr(found, part)
    return found


def load_pair(target: str) -> dict[str, Any]:
    """What a pair's function returns, as `compare`'s parameters.

    Raises:
        UsageError: it returns neither (layer, module, example_inp) nor a dict of compare's parameters.
    """
    function = resolve(target)
    if not callable(function):
        raise UsageError(f"expected a function at {target}, found {type(function).__name__}")
    made = function()
    if isinstance(made, Mapping):
        unknown = [key for key in made if key not in PAIR_KEYS]
        missing = [key for key in PAIR_KEYS[:3] if key not in made]
        if unknown or missing:
            raise UsageError(f"{target} returns a dict; expected compare's parameters ({', '.join(PAIR_KEYS)}); unknown: {', '.join(map(str, unknown)) or 'none'}; missing: {', '.join(missing) or 'none'}")
        return dict(made)
    if isinstance(made, (tuple, list)) and len(made) == 3:
        return dict(zip(PAIR_KEYS, made, strict=False))
    raise UsageError(f"expected {target} to return (layer, module, example_inp) or a dict of compare's parameters; it returned {type(made).__name__}")


def load_model(target: str) -> tuple[Any, Mapping[str, Any]]:
    """A model with its example: (model, example_kwargs) from a function, or an ONNX file with inputs of its declared shapes.

    Raises:
        UsageError: it returns something else.
    """
    if target.endswith(".onnx"):
        from padiff_graph.capture.onnx.inputs import example_inputs  # loads onnx

        return target, example_inputs(target)
    made = resolve(target)()
    if isinstance(made, (tuple, list)) and len(made) == 2 and isinstance(made[1], Mapping):
        return made[0], made[1]
    raise UsageError(f"expected {target} to return (model, example_kwargs); it returned {type(made).__name__}; or name an .onnx file")
