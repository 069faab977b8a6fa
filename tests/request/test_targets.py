"""What names on the command line stand for."""

from __future__ import annotations

import sys

import pytest

from padiff_graph.errors import UsageError
from padiff_graph.request.targets import resolve


@pytest.fixture(autouse=True)
def _own_imports(monkeypatch):
    """Modules and search paths that a test imports go again."""
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - known:
        del sys.modules[name]


def _written(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    "spelling", ["port_of_a.py:made", "./port_of_a.py:made", "{}/port_of_a.py:made"]
)
def test_a_file_is_named_by_its_path(tmp_path, monkeypatch, spelling):
    _written(tmp_path, "helper_of_a.py", "VALUE = 3\n")
    _written(tmp_path, "port_of_a.py", "from helper_of_a import VALUE\ndef made(): return VALUE\n")
    monkeypatch.chdir(tmp_path)
    assert resolve(spelling.format(tmp_path))() == 3


def test_a_file_of_a_package_keeps_its_relative_imports(tmp_path):
    folder = tmp_path / "with space" / "package_of_b"
    _written(folder, "__init__.py", "")
    _written(folder, "helper.py", "VALUE = 4\n")
    file = _written(folder, "port.py", "from .helper import VALUE\ndef made(): return VALUE\n")
    assert resolve(f"{file}:made")() == 4


def test_a_name_that_another_module_has_is_refused(tmp_path):
    file = _written(tmp_path, "json.py", "def made(): return 5\n")
    with pytest.raises(UsageError, match="another module is called 'json' already"):
        resolve(f"{file}:made")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none_such.py:made", "there is no file none_such.py"),
        ("made", "expected package.module:function"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        resolve(name)


def test_a_file_whose_name_is_no_modules_is_refused(tmp_path):
    file = _written(tmp_path, "my-port.py", "def made(): return 5\n")
    with pytest.raises(UsageError, match="is no name of a module; rename it"):
        resolve(f"{file}:made")
