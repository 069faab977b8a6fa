"""Functions that the user names: `package.module:function` and `path/to/file.py:function`."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterable
from typing import Any

from padiff_graph.errors import UsageError
from padiff_graph.request.user_files import shadowed

__all__ = ["kind_of", "made_by", "raised_at", "raised_inside", "resolve", "users_own"]

INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders that packages are installed in."""
FRAMEWORKS = ("torch", "paddle", "onnx")
"""Folders of `capture/` in which a framework is spoken to."""
APART = (
    "rename one of them, or give each model an interpreter of its own "
    "(--first-python, --second-python, in Python Side's python)"
)
"""What helps where two targets would share a module by its name alone."""
ELSEWHERE = (
    "a function of one model may live in an interpreter that has it "
    "(--first-python, --second-python, in Python Side's python)"
)
"""What helps where a framework is not there."""
SHOWN = 12
"""Functions that an error message offers; chosen so that it stays a few lines."""


def resolve(target: str) -> Any:
    """Imports what `package.module:name` or `path/to/file.py:name` names. A module is looked for in
    the working directory first, what a file imports beside that file first, as of a script.

    Raises:
        UsageError: another spelling, a module that cannot be imported, a name that is not there, a
            file that would be given modules of another one.
    """
    name, colon, attribute = target.rpartition(":")
    if not colon or not name or not attribute:
        raise UsageError(
            f"expected package.module:function or path/to/file.py:function, found {target!r}; "
            "for example padiff_graph_examples.resnet_port:healthy"
        )
    value = _from_file(name) if name.endswith(".py") else _imported(name)
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise UsageError(f"{name} has no {attribute!r}{_functions_of(value)}")
        value = getattr(value, part)
    return value


def _imported(name: str, folder: str | None = None) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    if folder is not None:
        sys.path[:] = [folder, *(place for place in sys.path if place != folder)]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise UsageError(
                f"there is no module {missing!r}; "
                f"it is looked for in {here} and among installed packages"
            ) from None
        elsewhere = f"; {ELSEWHERE}" if missing in FRAMEWORKS else ""
        raise UsageError(
            f"importing {name} failed: it imports {missing!r}, which is not installed{elsewhere}"
        ) from None
    except (Exception, SystemExit) as error:  # whatever the user's module does at import
        raise UsageError(f"importing {name} failed{_what_happened(error)}") from None


def _from_file(name: str) -> Any:
    """The module that a file holds: of its own name where it can be imported so, as a script's
    neighbours see it; a file inside a package by its dotted name, so that its own relative imports
    work."""
    path = os.path.realpath(name)
    if not os.path.isfile(path):
        raise UsageError(f"there is no file {name}; it is looked for in {os.getcwd()}")
    folder, dotted = os.path.dirname(path), os.path.basename(path).removesuffix(".py")
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        dotted = f"{package}.{dotted}"
    if not all(part.isidentifier() for part in dotted.split(".")):
        raise UsageError(f"{name} cannot be imported: {dotted!r} is no name of a module; rename it")
    for other, loaded, own in shadowed(path, folder):
        raise UsageError(
            f"{name} imports {other!r}, which is {own}, but a module of that name is imported "
            f"already: {loaded}; {APART}"
        )
    found = _imported(dotted, folder)
    file = getattr(found, "__file__", None)
    if file is None or os.path.realpath(file) != path:
        raise UsageError(
            f"{name} cannot be imported: another module is called {dotted!r} already "
            f"({file or 'built in'}); {APART}"
        )
    return found


def _functions_of(value: Any) -> str:
    """What could have been meant: the first public functions of a module or class."""
    names = [
        name
        for name in getattr(value, "__dict__", ())
        if not name.startswith("_") and callable(getattr(value, name))
    ]
    return f"; it has {', '.join(names[:SHOWN])}" if names else ""


def _what_happened(error: BaseException) -> str:
    """The user's own exception in one line, with where it was raised."""
    return f"{raised_at(error)}: {type(error).__name__}: {error}"


def raised_at(error: BaseException) -> str:
    """`" at file:line"` of the innermost frame that is the user's own; `""` where none is.

    Frames of Python's own modules, of this package and of installed ones are not.
    """
    frames = [
        (frame.f_code.co_filename, line, "")
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    place, _ = users_own(frames)
    return f" at {place}" if place else ""


def users_own(frames: Iterable[tuple[str, int, str]]) -> tuple[str, str]:
    """`"file:line"` and text of the innermost of some frames (file, line, text) that is the user's
    own; empty where none is."""
    standard = os.path.dirname(importlib.__path__[0]) + os.sep
    place = "", ""
    for file, line, text in frames:
        if not INSTALLED & {*file.split(os.sep)} and not file.startswith((standard, *_ours(), "<")):
            place = f"{file}:{line}", text
    return place


def raised_inside(error: BaseException) -> str:
    """`"package/file.py:line"` of an installed package's innermost frame, where a framework was
    asked to run a model and raised; `""` for any other error."""
    place, ours = "", ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        parts = file.split(os.sep)
        if file.startswith(_ours()):
            place, ours = "", file
        elif INSTALLED & {*parts}:
            at = max(number for number, part in enumerate(parts) if part in INSTALLED)
            place = f"{'/'.join(parts[at + 1 :])}:{line}"
    return place if os.path.basename(os.path.dirname(ours)) in FRAMEWORKS else ""


def _ours() -> tuple[str, ...]:
    """The folders of this package, one of which may be linked into the other."""
    names = [name for name in ("padiff_graph", "padiff_graph.capture") if name in sys.modules]
    files = [os.path.abspath(str(sys.modules[name].__file__)) for name in names]
    return tuple(os.path.dirname(file) + os.sep for file in files)


def made_by(target: str) -> Any:
    """What the function named returns.

    Raises:
        UsageError: there is no such function, or it raises.
    """
    function = resolve(target)
    if not callable(function):
        raise UsageError(f"expected a function at {target}, found {type(function).__name__}")
    try:
        return function()
    except (Exception, SystemExit) as error:  # the user's code: said in one line, where it happened
        raise UsageError(f"{target} failed{_what_happened(error)}") from None


def kind_of(value: Any) -> str:
    """What a value is, in words: its type, and how many members a sequence has."""
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__
