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


def test_the_named_file_comes_before_one_of_its_name_in_the_working_directory(
    tmp_path, monkeypatch
):
    for folder, value in ((tmp_path, 1), (tmp_path / "ports", 2)):
        _written(folder, "helper_of_c.py", f"VALUE = {value}\n")
        text = "from helper_of_c import VALUE\ndef made(): return VALUE\n"
        _written(folder, "port_of_c.py", text)
    monkeypatch.chdir(tmp_path)
    assert resolve("ports/port_of_c.py:made")() == 2


def test_a_second_file_is_not_given_the_modules_of_the_first(tmp_path):
    importing = "from helper_of_d import VALUE\ndef made(): return VALUE\n"
    files = []
    for name, value in (("port", 1), ("reference", 2)):
        _written(tmp_path / name, "helper_of_d.py", f"VALUE = {value}\n")
        files.append(_written(tmp_path / name, f"{name}_of_d.py", importing))
    same = _written(tmp_path / "port", "second_of_d.py", importing)
    alone = _written(tmp_path / "reference", "alone_of_d.py", "def made(): return 3\n")
    assert resolve(f"{files[0]}:made")() == 1
    with pytest.raises(UsageError, match="imports 'helper_of_d'.*--second-python"):
        resolve(f"{files[1]}:made")
    assert resolve(f"{same}:made")() == 1
    assert resolve(f"{alone}:made")() == 3


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
