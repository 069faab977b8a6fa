"""`padiff-graph compare-reports`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli
from tests.models.sample_reports import empty, failed, passed


def called(folder: Path, *arguments: str) -> tuple[int, Result]:
    result = CliRunner().invoke(cli, ["compare-reports", *arguments], standalone_mode=False)
    error = result.exception
    code = result.return_value if error is None else run(lambda: _raised(error))
    return code, result


def _raised(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("earlier", "later", "code"),
    [
        ("failed", "passed", 0),
        ("failed", "failed", 0),
        ("passed", "failed", 1),
        ("failed", "empty", 3),
    ],
)
def test_exit_codes(tmp_path: Path, earlier: str, later: str, code: int) -> None:
    reports = {"failed": failed, "passed": passed, "empty": empty}
    reports[earlier]().to_json(tmp_path / "earlier.json")
    reports[later]().to_json(tmp_path / "later.json")
    paths = [str(tmp_path / f"{name}.json") for name in ("earlier", "later", "diff")]
    answer, result = called(tmp_path, paths[0], paths[1], "--json", paths[2])
    assert answer == code
    assert "verdict: " in result.output
    assert json.loads(Path(paths[2]).read_text())["models"] == ["PortedResNet", "TorchResNet"]


def test_wrong_use(tmp_path: Path) -> None:
    failed().to_json(tmp_path / "report.json")
    answer, _ = called(tmp_path, str(tmp_path / "gone.json"), str(tmp_path / "report.json"))
    assert answer == 2


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"findings": [{}]}, "findings[0] has no phase"),
        ({"models": None}, "models is None, expected a list"),
        ({"compared": {"regions": "x"}}, "compared['regions'] is 'x', expected a whole number"),
        ({"passed": 1}, "passed is 1, expected true or false"),
    ],
)
def test_a_report_of_another_form_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, object], told: str
) -> None:
    whole = json.loads(failed().to_json(tmp_path / "report.json"))
    (tmp_path / "other.json").write_text(json.dumps(whole | changed))
    paths = [str(tmp_path / name) for name in ("report.json", "other.json")]
    assert called(tmp_path, *paths)[0] == 2
    assert told in capsys.readouterr().err


def test_json_that_is_too_deep_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed().to_json(tmp_path / "report.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert called(tmp_path, str(tmp_path / "deep.json"), str(tmp_path / "report.json"))[0] == 2
    assert "nested too deeply" in capsys.readouterr().err
