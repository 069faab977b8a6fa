"""Names on the command line: `package.module:function` and files."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.errors import UsageError

__all__ = ["load_model", "load_pair", "raised_at", "resolve"]

PAIR_KEYS = (
    "layer",
    "module",
    "example_inp",
    "auto_weights",
    "steps",
    "options",
    "layer_map",
    "loss_fn",
    "optimizer",
)


def resolve(target: str) -> Any:
    """Imports what `package.module:name` names; the working directory is searched first.

    Raises:
        UsageError: another spelling, a module that cannot be imported, a name that is not there.
    """
    name, colon, attribute = target.partition(":")
    if not colon or not name or not attribute:
        raise UsageError(
            f"expected package.module:function, found {target!r}; for example examples.resnet_port:healthy"
        )
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise UsageError(
                f"there is no module {missing!r}; it is looked for in {here} and among installed packages"
            ) from None
        raise UsageError(
            f"importing {name} failed: it imports {missing!r}, which is not installed"
        ) from None
    except (
        Exception
    ) as error:  # whatever the user's module does at import: said in one line, where it happened
        raise UsageError(
            f"importing {name} failed{raised_at(error)}: {type(error).__name__}: {error}"
        ) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            functions = (
                [
                    entry
                    for entry in vars(found)
                    if not entry.startswith("_") and callable(getattr(found, entry))
                ]
                if hasattr(found, "__dict__")
                else []
            )
            raise UsageError(
                f"{name} has no {attribute!r}"
                + (f"; it has {', '.join(functions[:12])}" if functions else "")
            )
        found = getattr(found, part)
    return found


def raised_at(error: BaseException) -> str:
    """ " at file:line" of the innermost frame that is neither this package's nor of an installed one; "" where none is."""
    ours = tuple(
        os.path.dirname(os.path.abspath(str(sys.modules[name].__file__))) + os.sep
        for name in ("padiff_graph", "padiff_graph.capture")
        if name in sys.modules
    )
    places = [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [
        (file, line)
        for file, line in places
        if not file.startswith((*ours, "<"))
        and not {"site-packages", "dist-packages"} & {*file.split(os.sep)}
    ]
    return f" at {own[-1][0]}:{own[-1][1]}" if own else ""


def _made(target: str) -> Any:
    """What the function named returns."""
    function = resolve(target)
    if not callable(function):
        raise UsageError(f"expected a function at {target}, found {type(function).__name__}")
    try:
        return function()
    except Exception as error:  # the user's code: said in one line, where it happened
        raise UsageError(
            f"{target} failed{raised_at(error)}: {type(error).__name__}: {error}"
        ) from None


def _found(made: Any) -> str:
    return (
        f"a {type(made).__name__} of {len(made)}"
        if isinstance(made, (tuple, list))
        else type(made).__name__
    )


def load_pair(target: str) -> dict[str, Any]:
    """What a pair's function returns, as `compare`'s parameters.

    Raises:
        UsageError: it returns neither (layer, module, example_inp) nor a dict of compare's parameters.
    """
    made = _made(target)
    if isinstance(made, Mapping):
        unknown = [key for key in made if key not in PAIR_KEYS]
        missing = [key for key in PAIR_KEYS[:3] if key not in made]
        if unknown or missing:
            raise UsageError(
                f"{target} returns a dict; expected compare's parameters ({', '.join(PAIR_KEYS)}); unknown: {', '.join(map(str, unknown)) or 'none'}; missing: {', '.join(missing) or 'none'}"
            )
        return dict(made)
    if isinstance(made, (tuple, list)) and len(made) == 3:
        return dict(zip(PAIR_KEYS, made, strict=False))
    raise UsageError(
        f"expected {target} to return (layer, module, example_inp) or a dict of compare's parameters; it returned {_found(made)}"
    )


def load_model(target: str) -> tuple[Any, Mapping[str, Any]]:
    """A model with its example: (model, example_kwargs) from a function, or an ONNX file with inputs of its declared shapes.

    Raises:
        UsageError: it returns something else.
    """
    if target.endswith(".onnx"):
        example_inputs = needed(backend("onnx").declared_example)
        try:
            return target, example_inputs(target)
        except CaptureError as error:  # a file that is missing or broken is wrong use
            raise UsageError(str(error)) from None
    made = _made(target)
    if isinstance(made, (tuple, list)) and len(made) == 2 and isinstance(made[1], Mapping):
        return made[0], made[1]
    raise UsageError(
        f"expected {target} to return (model, example_kwargs); it returned {_found(made)}; name a function of one model, or an .onnx file"
    )
