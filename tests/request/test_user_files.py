"""The files that a target consists of, and modules imported anew."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from padiff_graph.request.reloading import error_files, forget, standing
from padiff_graph.request.targets import resolve
from padiff_graph.request.user_files import closure, is_users, roots_of, target_file

FILES = {
    "pair_u.py": "import os\nimport numpy\nfrom ported_u import net\nfrom helper_u import *\n",
    "ported_u/__init__.py": "",
    "ported_u/net.py": "from . import layers\nfrom .sub.deep import thing\nlayer = layers.value\n",
    "ported_u/layers.py": "value = 1\n",
    "ported_u/sub/__init__.py": "",
    "ported_u/sub/deep.py": "from ..layers import value as thing\n",
    "helper_u.py": "def make():\n    import lazy_u\n    return lazy_u\n",
    "lazy_u.py": "",
    "apart_u.py": "limit = 3\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0].endswith("_u")]:
        del sys.modules[name]


def closed(target: str) -> set[str]:
    file = target_file(target)
    assert file is not None
    here = Path.cwd().resolve()
    return {str(Path(path).relative_to(here)) for path in closure([file], roots_of(file))}


def test_all_that_is_imported_and_nothing_installed() -> None:
    assert closed("pair_u.py:build") == {*FILES} - {"apart_u.py"}
    assert closed("pair_u:build") == closed("pair_u.py:build")
    assert "ported_u/__init__.py" in closed("ported_u.sub.deep:thing")


def test_a_target_that_is_not_there() -> None:
    assert target_file("no_such_u.py:f") is None
    assert target_file("no_such_u:f") is None


def test_a_file_that_is_no_python(folder: Path) -> None:
    (folder / "helper_u.py").write_text("def (\n")
    assert "helper_u.py" in closed("pair_u.py:build")


def test_whose_files() -> None:
    import click

    assert not is_users(click.__file__)
    assert not is_users(importlib.__file__)
    assert not is_users(sys.modules["padiff_graph.errors"].__file__ or "")
    assert is_users("pair_u.py")


def test_what_depends_on_a_change_is_imported_anew(folder: Path) -> None:
    resolve("pair_u.py:net")
    before = {name: sys.modules[name] for name in ("pair_u", "ported_u.net", "helper_u")}
    file = folder / "ported_u" / "layers.py"
    file.write_text("value = 2  # another size, so that no compiled file is taken\n")
    watched = closure([str(folder / "pair_u.py")], roots_of("pair_u.py"))
    stale = forget({str(file.resolve())}, watched, roots_of("pair_u.py"))
    assert {"pair_u", "ported_u.net", "ported_u.layers", "ported_u.sub.deep"} == {*stale}
    assert resolve("pair_u.py:net").layer == 2
    assert sys.modules["helper_u"] is before["helper_u"]
    assert sys.modules["ported_u.net"] is not before["ported_u.net"]


def test_what_modules_hold_tells_of_changes_from_outside(folder: Path) -> None:
    module = importlib.import_module("apart_u")
    watched = closure([str(folder / "apart_u.py")], [str(folder)])
    before = standing(watched)
    assert standing(watched) == before
    module.limit = 4  # type: ignore[attr-defined]
    assert standing(watched) != before


def test_files_of_an_error(folder: Path) -> None:
    (folder / "lazy_u.py").write_text("1 +\n")
    with pytest.raises(ValueError, match="wrapped") as raised:
        try:
            resolve("lazy_u.py:f")
        except Exception:
            raise ValueError("wrapped") from None
    assert str(folder / "lazy_u.py") in error_files(raised.value)
