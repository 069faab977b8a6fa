"""Files are whole or not there, and what stood in their place stays."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from padiff_graph.errors import NotWrittenError
from padiff_graph.file_writing import new_file, write_text
from padiff_graph.printable import code_comment, docstring_line, printable


def test_the_old_file_stands_until_the_new_one_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")
    with new_file(target) as beside:
        beside.write_text("new")
        assert target.read_text() == "old"
        assert beside.parent == tmp_path and beside.suffix == ".json"
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["r.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_an_exception_leaves_everything_as_it_was(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")
    with pytest.raises(error), new_file(target) as beside:
        beside.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["r.json"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    told = pytest.raises(NotWrittenError, match=r"^.*r.json cannot be written: no space left")
    with told, new_file(tmp_path / "r.json") as beside:
        beside.write_text("half")
        Path("/dev/full").write_text("more")
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("", "gone/x", "file/x", "x" * 300):
        place = tmp_path / name
        with pytest.raises(NotWrittenError, match="cannot be written: "):
            write_text(place, "text")
    assert os.listdir(tmp_path) == ["file"]


def test_two_files_stand_together_or_not_at_all(tmp_path: Path) -> None:
    places = tmp_path / "a", tmp_path / "gone" / "b"
    told = pytest.raises(NotWrittenError, match="^.*gone/b cannot")
    with told, new_file(places[0]) as first, new_file(places[1]):
        first.write_text("a")
    assert os.listdir(tmp_path) == []


def test_modes_links_and_devices(tmp_path: Path) -> None:
    target, link = tmp_path / "r", tmp_path / "link"
    write_text(target, "one")
    target.chmod(0o640)
    link.symlink_to(target)
    write_text(link, "two")
    assert link.is_symlink() and target.read_text() == "two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    write_text("/dev/null", "three")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_lone_surrogate_is_written_as_its_escape(tmp_path: Path) -> None:
    write_text(tmp_path / "r", "a\ud800b")
    assert (tmp_path / "r").read_text() == "a\\ud800b"


def test_control_characters_are_escaped() -> None:
    assert printable("fc.weight, größe 3 → 4\n\ttab") == "fc.weight, größe 3 → 4\n\ttab"
    assert printable("\x1b]0;t\x07") == "\\x1b]0;t\\x07"
    assert printable("a\u202eb\ud800\u2028") == "a\\u202eb\\ud800\\u2028"
    assert code_comment("a\nimport os\r\tb") == "a\\nimport os\\r\\tb"
    text = docstring_line('"""\nimport os\\')
    assert eval(f'"""{text}"""') == "'''\\nimport os\\"
