"""-v, -q and --log-file: how much a command says, and where."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli

pytest.importorskip("torch")
pytest.importorskip("paddle")

HERE = Path(__file__).parents[1] / "models"
TOLERANT = ("--rtol", "1e-4", "--atol", "1e-6")


@pytest.fixture(autouse=True)
def beside_the_pairs(monkeypatch):
    monkeypatch.chdir(HERE)
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def call(capsys):
    def called(*arguments):
        code = run(lambda: cli.main([*map(str, arguments)], standalone_mode=False))
        said = capsys.readouterr()
        return code, said.out, said.err

    return called


def test_quiet_prints_the_headline_alone(call, tmp_path):
    page = tmp_path / "r.html"
    code, out, err = call("align", "cli_pairs:buggy", *TOLERANT, "-q", "--html", page)
    assert (code, err) == (1, "")
    assert out.startswith("NOT ALIGNED") and out.count("\n") == 1
    assert page.exists()


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (("diff", "cli_pairs:healthy"), "BUILT "),
        (("suggest", "cli_pairs:healthy"), "4 modules and "),
        (("capture", "cli_pairs:one_model"), "TorchNet"),
    ],
)
def test_every_command_has_a_headline(call, arguments, begins):
    code, out, err = call(*arguments, "-q")
    assert (code, err) == (0, "")
    assert out.startswith(begins) and out.count("\n") == 1


def test_verbose_says_what_is_done_on_standard_error(call):
    code, out, err = call("align", "cli_pairs:healthy", *TOLERANT, "-v")
    assert code == 0
    assert out.startswith("ALIGNED")
    assert "padiff_graph.check: regions" in err
    assert "region " not in call("align", "cli_pairs:healthy", *TOLERANT, "-v")[2]
    assert (
        "padiff_graph.check.region_check: region "
        in call("align", "cli_pairs:healthy", *TOLERANT, "-vv")[2]
    )


def test_a_log_is_added_to_and_nothing_listens_afterwards(call, tmp_path):
    log = tmp_path / "check.log"
    for _ in range(2):
        code, out, err = call("align", "cli_pairs:healthy", *TOLERANT, "--log-file", log)
        assert (code, err) == (0, "")
        assert out.startswith("ALIGNED")
    text = log.read_text()
    assert text.count("exit code 0") == 2
    assert "DEBUG padiff_graph.check.region_check" in text
    assert not logging.getLogger("padiff_graph").handlers
    assert logging.getLogger("padiff_graph").propagate


def test_wrong_use(call, tmp_path):
    code, _, err = call("align", "cli_pairs:healthy", "-v", "-q")
    assert code == 2 and "-v and -q" in err
    code, _, err = call("align", "cli_pairs:healthy", "--log-file", tmp_path / "none" / "a.log")
    assert code == 2 and "cannot be written" in err


def test_a_mistake_in_the_pair_has_its_traceback_in_the_log(call, tmp_path):
    log = tmp_path / "check.log"
    code, _, err = call("align", "cli_pairs:raising", "-q", "--log-file", log)
    assert code == 3
    assert "Traceback" not in err and err.startswith("nothing was compared: RuntimeError")
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize("pair", ["cli_pairs:raising", "cli_pairs:none_such"])
def test_verbose_shows_no_traceback_of_a_mistake(call, tmp_path, pair):
    log = tmp_path / "check.log"
    _, _, err = call("align", pair, "-vv", "--log-file", log)
    assert "it ended by" in err and "Traceback" not in err
    assert "Traceback" in log.read_text()


SLEEPS = """
import time


def pair():
    print('begun', flush=True)
    time.sleep(60)
"""
TURNS = """
import time


def pair():
    print('begun', flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        raise ImportError('initialization failed') from None
"""
"""As Paddle's import does."""


@pytest.mark.parametrize("text", [SLEEPS, TURNS], ids=["through", "turned"])
def test_ctrl_c_says_so(tmp_path, text):
    (tmp_path / "slow.py").write_text(text)
    command = [sys.executable, "-m", "padiff_graph", "align", "slow.py:pair"]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in its background hands an ignored SIGINT on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == ("", "stopped by Ctrl-C, before it was done\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell):
    asked = {"_PADIFF_GRAPH_COMPLETE": f"{shell}_source", "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, "-m", "padiff_graph"]
    said = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
    assert "padiff" in said.stdout


def test_options_complete():
    asked = {
        "_PADIFF_GRAPH_COMPLETE": "bash_complete",
        "COMP_WORDS": "padiff-graph align --ato",
        "COMP_CWORD": "2",
        "PYTHONPATH": str(HERE.parents[1]),
    }
    command = [sys.executable, "-m", "padiff_graph"]
    said = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True)
    assert (said.returncode, said.stdout.strip(), said.stderr) == (0, "plain,--atol", "")


def test_a_talkative_root_logger_hears_nothing_unasked(caplog):
    import padiff_graph as pg
    from tests.models.cli_pairs import healthy

    with caplog.at_level(logging.INFO):
        assert pg.compare(*healthy(), options={"rtol": 1e-4, "atol": 1e-6})
    assert not [record for record in caplog.records if record.name.startswith("padiff_graph")]
