"""Which source files a target consists of: its own and all that it imports, those of installed
packages left out. Told from the text of the files; nothing is imported."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Source",
    "closure",
    "content",
    "is_users",
    "loaded_files",
    "roots_of",
    "shadowed",
    "target_file",
]

INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders that hold installed packages."""
DYNAMIC = ("import_module", "__import__", "exec(", "spec_from_file_location")
"""Words of a file that may import what its text does not name."""


@dataclass(frozen=True)
class Source:
    """What the text of one file says.

    Attributes:
        imports: dotted names, relative ones resolved; of `from a import b` both a and a.b.
        dynamic: whether it may import what it does not name.
    """

    imports: tuple[str, ...] = ()
    dynamic: bool = False


def is_users(file: str) -> bool:
    """Whether a source file is the user's own: not of Python, an installed package or this one."""
    path = os.path.realpath(file)
    if not path.endswith(".py") or INSTALLED & {*path.split(os.sep)}:
        return False
    ours = ("padiff_graph", "padiff_graph.capture", "padiff_graph.matching")
    folders = [
        os.path.dirname(str(sys.modules[name].__file__)) for name in ours if name in sys.modules
    ]
    folders += [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    return not any(_inside(path, os.path.realpath(folder)) for folder in folders)


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder + os.sep)


def target_file(target: str) -> str | None:
    """The file of `path/to/file.py:function` or `package.module:function`; None where there is
    none."""
    name = target.rpartition(":")[0]
    if name.endswith(".py"):
        return os.path.realpath(name) if os.path.isfile(name) else None
    return _file_of(name, [os.getcwd(), *sys.path])


def roots_of(file: str) -> list[str]:
    """Folders in which the imports of a target's file are looked for: its package's own, the
    working directory, and the others of the path that hold no installed packages."""
    folder = os.path.dirname(os.path.realpath(file))
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder = os.path.dirname(folder)
    return list(dict.fromkeys([folder, os.getcwd(), *filter(os.path.isdir, sys.path)]))


def _file_of(name: str, roots: Iterable[str]) -> str | None:
    """The file of a module, without importing it; a package's is its `__init__.py`."""
    parts = name.split(".")
    for root in roots:
        path = os.path.join(root or os.getcwd(), *parts)
        for file in (os.path.join(path, "__init__.py"), f"{path}.py"):
            if os.path.isfile(file):
                return os.path.realpath(file)
    return None


def closure(files: Iterable[str], roots: Iterable[str]) -> dict[str, Source]:
    """These files and all that they import of the user's, directly or not."""
    places = list(roots)
    known: dict[str, Source] = {}
    waiting = [os.path.realpath(file) for file in files]
    while waiting:
        file = waiting.pop()
        if file in known:
            continue
        known[file] = _source(file, places)
        for name in known[file].imports:
            waiting += [found for found in _files_of_name(name, places) if is_users(found)]
    return known


def _files_of_name(name: str, roots: list[str]) -> Iterator[str]:
    """The files that importing a module runs: its packages' and its own."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        file = _file_of(".".join(parts[:end]), roots)
        if file is not None:
            yield file


def _source(file: str, roots: list[str]) -> Source:
    """What a file imports; nothing where it cannot be read as Python."""
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return Source((), True)
    package = _package_of(file, roots)
    names = [name for node in ast.walk(tree) for name in _imported(node, package)]
    return Source(tuple(dict.fromkeys(names)), any(word in text for word in DYNAMIC))


def _package_of(file: str, roots: list[str]) -> list[str]:
    """The package that a file's relative imports start from."""
    folder = os.path.dirname(file)
    for root in sorted((os.path.realpath(root) for root in roots), key=len, reverse=True):
        if _inside(file, root):
            inner = os.path.relpath(folder, root)
            return [] if inner == "." else inner.split(os.sep)
    return []


def _imported(node: ast.AST, package: list[str]) -> Iterator[str]:
    """The dotted names that a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
        if module:
            yield module
        for alias in node.names:
            yield f"{module}.{alias.name}".strip(".")


def loaded_files() -> dict[str, str]:
    """The user's modules that are imported: file by name."""
    files = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name == "__main__" or not os.path.isabs(file):
            continue  # some modules name a file that is none
        if os.path.isfile(file) and is_users(file):
            files[name] = os.path.realpath(file)
    return files


def shadowed(path: str, folder: str) -> Iterator[tuple[str, str, str]]:
    """Modules that a file imports from its own folder while others of their names, of the user's,
    are imported already: Python would hand it those. As (name, file imported, own file)."""
    others = {
        name: (file, own)
        for name, file in loaded_files().items()
        if (own := _file_of(name, [folder])) not in (None, file)
    }
    if not others:
        return
    needed = closure([path], [folder])
    for name, (file, own) in sorted(others.items()):
        if own in needed and own != path:
            yield name, file, str(own)


def content(file: str) -> str:
    """A checksum of what a file holds; "" where it is not there."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return ""
