"""A wheel, an sdist, an editable install and a start from the checkout all see every package."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import pip._vendor.tomli as tomllib

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = {
    "padiff_graph": "padiff_graph",
    "capture": "padiff_graph.capture",
    "matching": "padiff_graph.matching",
    "examples": "padiff_graph_examples",
}
LINKS = {
    "capture": "padiff_graph/capture",
    "matching": "padiff_graph/matching",
    "examples": "padiff_graph_examples",
}
NOT_SHIPPED = {".gitignore"}


def _own(folder):
    """Every file below a folder; links are not followed."""
    for place, _, files in os.walk(folder):
        yield from (Path(place) / file for file in files if not file.endswith(".pyc"))


def _tracked():
    """Every file of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [name for name in listed if name and (ROOT / name).exists()]


def _through_its_link(name):
    folder, slash, inside = name.partition("/")
    return f"{LINKS.get(folder, folder)}{slash}{inside}"


def test_the_root_folders_are_linked_into_the_package():
    for folder, link in LINKS.items():
        assert (ROOT / link).is_symlink() and (ROOT / link).resolve() == ROOT / folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and an sdist, made from a copy of the sources without any network."""
    pytest.importorskip("setuptools")
    place = tmp_path_factory.mktemp("built")
    source = place / "source"
    for name in _tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    found = []
    for kind in ("sdist", "wheel"):
        target = place / kind
        target.mkdir()
        code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=source, capture_output=True, text=True
        )
        if (
            done.returncode
            and "setuptools" in done.stderr
            and "license" in done.stderr.splitlines()[-1]
        ):
            pytest.skip(
                "NO BUILD: this environment's setuptools is too old for the project's settings:"
                f" {done.stderr.splitlines()[-1]}"
            )
        assert done.returncode == 0, done.stderr
        found.append(target / done.stdout.split()[-1])
    return found


def test_wheel_holds_everything(built):
    names = set(zipfile.ZipFile(built[1]).namelist())
    for folder, name in FOLDERS.items():
        for file in _own(ROOT / folder):
            inside = file.relative_to(ROOT / folder).as_posix()
            assert f"{name.replace('.', '/')}/{inside}" in names, file
    tops = {name.split("/")[0] for name in names}
    assert tops == {
        "padiff_graph",
        "padiff_graph_examples",
        next(top for top in tops if top.endswith(".dist-info")),
    }, "nothing named capture or matching lands beside it"
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_sdist_holds_everything(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder, name in FOLDERS.items():
        for file in _own(ROOT / folder):
            inside = file.relative_to(ROOT / folder).as_posix()
            assert f"{name.replace('.', '/')}/{inside}" in names, file
    wanted = {*_tracked()} - NOT_SHIPPED - {*LINKS.values()}
    missing = {name for name in wanted if not {name, _through_its_link(name)} & names}
    assert not missing


CODE = (
    "import padiff_graph, padiff_graph.capture.graph, padiff_graph.matching.result,"
    " padiff_graph.report.html_page as h, sys; print(padiff_graph.capture.graph.__file__, 'torch'"
    " in sys.modules, 'paddle' in sys.modules); h.render_page(h.Page('passed', 'a', 'b'))"
)


def test_wheel_imports_from_anywhere_and_from_the_checkout(built, tmp_path):
    """Python started in the checkout's root finds `padiff_graph/` there first.

    The rest must be found all the same.
    """
    zipfile.ZipFile(built[1]).extractall(tmp_path / "site-packages")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site-packages")}
    for where in (tmp_path, ROOT):
        done = subprocess.run(
            [sys.executable, "-c", CODE], cwd=where, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[1:] == [
            "False",
            "False",
        ], "neither framework is imported before it is needed"


@pytest.fixture
def installed(built, tmp_path):
    """The environment of a place that knows the wheel alone."""
    zipfile.ZipFile(built[1]).extractall(tmp_path / "site-packages")
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site-packages")}


def _ran(arguments, where, environment):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=where, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_readme_runs_from_the_wheel(installed, tmp_path):
    """Its commands (the demo, a page, a map) and its Python, with what they print."""
    pytest.importorskip("torch")
    pytest.importorskip("paddle")
    installed["COLUMNS"] = "80"
    _ran([ROOT / "tests/docs/pages.py", "--installed", "README.md"], tmp_path, installed)


def test_started_in_the_checkout():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_names_a_machine():
    """No path of a developer's machine in what is shipped."""
    for folder in (*FOLDERS, "docs", "examples", "scripts"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".md", ".sh", ".html", ".js", ".css"):
                assert f"{ROOT}/" not in file.read_text(encoding="utf-8"), file
