"""Modules of the user's imported anew after their files changed, and what stays as it was."""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

from padiff_graph.request.user_files import Source, closure, loaded_files

__all__ = ["error_files", "forget", "fresh_code", "standing"]

PLAIN = (bool, int, float, complex, str, bytes, type(None))
"""Values that are compared by what they are; others by which they are."""


@contextmanager
def fresh_code() -> Iterator[None]:
    """Python writes no compiled files meanwhile: they are told from newer ones by whole seconds."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def forget(changed: Collection[str], watched: Mapping[str, Source], roots: list[str]) -> list[str]:
    """Lets go of every watched module that depends on a changed file, so that it is imported anew.

    Returns:
        The names of the modules.
    """
    files = {name: file for name, file in loaded_files().items() if file in watched}
    stale = [name for name, file in files.items() if _depends(file, changed, roots)]
    for name in stale:
        parent, _, own = name.rpartition(".")
        if parent in files:
            vars(sys.modules[parent]).pop(own, None)
    for name in stale:
        del sys.modules[name]
    importlib.invalidate_caches()
    linecache.checkcache()
    return stale


def _depends(file: str, changed: Collection[str], roots: list[str]) -> bool:
    """Whether what a file's module holds may come from a changed one."""
    needed = closure([file], roots)
    if not needed.keys().isdisjoint(changed):
        return True
    return any(source.dynamic for source in needed.values())


def standing(watched: Mapping[str, Source]) -> dict[str, object]:
    """What the watched modules hold by name, to tell whether running others changed it: plain
    values as they are, all else by identity."""
    held: dict[str, object] = {}
    for name, file in loaded_files().items():
        if file in watched:
            held.update(_held(name, sys.modules[name]))
    return held


def _held(name: str, module: ModuleType) -> Iterator[tuple[str, object]]:
    yield name, id(module)
    for own, value in vars(module).items():
        if own.startswith("__"):
            continue
        yield f"{name}:{own}", _told(value)
        if isinstance(value, type) and value.__module__ == name:
            for inner, member in vars(value).items():
                yield f"{name}:{own}.{inner}", _told(member)


def _told(value: object) -> object:
    if isinstance(value, PLAIN):
        return type(value), repr(value)
    return id(value)


def error_files(error: BaseException | None) -> set[str]:
    """The files that an exception, or one behind it, was raised in or is about."""
    files: set[str] = set()
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        trace = error.__traceback__
        while trace is not None:
            files.add(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.filename:
            files.add(error.filename)
        error = error.__cause__ or error.__context__
    return files
