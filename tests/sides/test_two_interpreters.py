"""Each model in an interpreter of its own: the same answers, and an end to everything that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import padiff_graph as pg
from padiff_graph.capture.remote.errors import ElsewhereError, SideEndedError
from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.export.repro_script import write_repro
from padiff_graph.findings.stopped_model import stopped_model
from padiff_graph.sides import process
from padiff_graph.sides.process import WorkerProcess

MODELS = Path(__file__).parent / "side_models.py"
OPTIONS = {"rtol": 1e-4, "atol": 1e-5}


def _side(name):
    return pg.Side(f"{MODELS}:{name}", python=sys.executable)


@pytest.fixture(autouse=True)
def _no_process_is_left(monkeypatch):
    started = []
    begin = subprocess.Popen

    def noted(*given, **named):
        started.append(begin(*given, **named))
        return started[-1]

    monkeypatch.setattr(process.subprocess, "Popen", noted)
    yield
    assert all(held.poll() is not None for held in started)


def test_a_right_port_passes_with_all_that_is_compared():
    report = pg.compare(_side("paddle_side"), _side("torch_side"), options=OPTIONS)
    assert report.passed and report.equivalent
    assert report.compared.outputs == 2 and report.compared.parameters == 6
    assert report.compared.gradients > 10
    assert all(shown.status != "not shown" for shown in report.obligations)


def test_a_wrong_port_is_told_at_its_place():
    report = pg.compare(_side("paddle_epsilon"), _side("torch_side"), options=OPTIONS)
    (finding,) = [found for found in report.findings if found.fails]
    assert finding.cause_id == "attribute.epsilon"
    assert (finding.paddle_path, finding.torch_path) == ("norm", "norm")
    assert "side_models.py" in finding.torch_source


def test_the_judge_needs_neither_framework(tmp_path):
    script = tmp_path / "judge.py"
    script.write_text(
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import side_models\n"
        "side_models._without('torch')\n"
        "side_models._without('paddle')\n"
        "import padiff_graph as pg\n"
        "sides = [pg.Side(f'{side_models.__file__}:{name}', python=sys.executable)\n"
        "         for name in ('paddle_epsilon', 'torch_side')]\n"
        "report = pg.compare(*sides, options={'rtol': 1e-4, 'atol': 1e-5})\n"
        "print([found.cause_id for found in report.findings])\n"
    )
    ran = subprocess.run(
        [sys.executable, str(script), str(MODELS.parent)], capture_output=True, text=True
    )
    assert "['attribute.epsilon']" in ran.stdout, ran.stderr


def test_inputs_of_one_side_are_for_both():
    report = pg.compare(_side("paddle_without_inputs"), _side("torch_side"), options=OPTIONS)
    assert report.passed and report.compared.outputs == 2


def test_inputs_of_the_call_go_before_those_of_a_side():
    example = {"x": np.zeros((2, 6), np.float32)}
    report = pg.compare(
        _side("paddle_side"), _side("torch_side"), (example, example), options=OPTIONS
    )
    assert report.passed
    assert any("[2, 6]" in note for note in report.notes)


def test_inputs_that_differ_are_refused():
    with pytest.raises(UsageError, match="the same"):
        pg.compare(_side("paddle_other_inputs"), _side("torch_side"), options=OPTIONS)


def test_training_steps_are_taken_on_both_sides():
    sides = _side("paddle_more_decay"), _side("torch_training")
    report = pg.compare(*sides, steps=2, options=OPTIONS)
    told = [found for found in report.findings if found.phase == "optimizer" and found.fails]
    assert "weight decay is 0.3" in told[0].cause and "AdamW" in told[0].cause


def test_right_training_is_right():
    sides = _side("paddle_training"), _side("torch_training")
    report = pg.compare(*sides, steps=2, options={**OPTIONS, "allow_rounding": True})
    assert not any(found.fails for found in report.findings)


def test_structure_and_maps_take_sides():
    sides = _side("paddle_epsilon"), _side("torch_side")
    difference = pg.structural_diff(*sides)
    assert [found.cause_id for found in difference.findings] == ["attribute.epsilon"]
    assert not pg.structural_diff(*sides, layer_map={"norm": "norm"}).findings
    with pytest.raises(UsageError, match="'typo' is not in"):
        pg.structural_diff(*sides, layer_map={"typo": "norm"})
    (candidate,) = pg.suggest_layer_map(*sides)
    assert {row.paddle_name for row in candidate.parameters} >= {"fc1.weight", "norm.bias"}


def test_a_side_beside_a_model_of_this_process():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    report = pg.compare(
        _side("paddle_epsilon"),
        _Local(torch),
        ({"x": _inputs()}, {"x": torch.from_numpy(_inputs())}),
        options=OPTIONS,
    )
    assert [found.cause_id for found in report.findings if found.fails] == ["attribute.epsilon"]


def _inputs():
    return np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def _Local(torch):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)
            self.norm = torch.nn.LayerNorm(8)

        def forward(self, x):
            hidden = torch.nn.functional.gelu(self.fc1(x))
            return {"logits": self.fc2(self.norm(hidden)), "hidden": (hidden, 3)}

    return Net()


def test_both_interpreters_start_before_either_is_waited_for(monkeypatch):
    begin, greet = subprocess.Popen, WorkerProcess._greet
    started, seen = [], []
    monkeypatch.setattr(
        process.subprocess,
        "Popen",
        lambda *given, **named: started.append(begin(*given, **named)) or started[-1],
    )
    monkeypatch.setattr(
        WorkerProcess, "_greet", lambda self: seen.append(len(started)) or greet(self)
    )
    pg.structural_diff(_side("paddle_epsilon"), _side("torch_side"))
    assert seen == [2, 2]


def test_a_side_that_dies_is_one_sentence():
    with pytest.raises(SideEndedError, match=r"the first side .* stopped: .*exit code 9"):
        pg.compare(_side("paddle_dies"), _side("torch_side"), options=OPTIONS)


def test_a_model_that_closes_the_connection_is_one_sentence(capfd):
    stopped = pytest.raises(SideEndedError, match="the first side stopped")
    with WorkerProcess(sys.executable, "the first side") as worker, stopped:
        worker.open(f"{MODELS}:closes_everything")
    assert "Traceback" not in capfd.readouterr().err


def test_a_process_that_a_model_forks_answers_nothing(capfd):
    with WorkerProcess(sys.executable, "the first side") as worker:
        made = worker.open(f"{MODELS}:forks")
        assert made["model"].class_name == "Net"
        assert made["model"].modules()[""].classes[0] == "Net"
    assert "Traceback" not in capfd.readouterr().err


def test_a_side_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(process, "PARTING", 0.5)
    with WorkerProcess(sys.executable, "the first side") as worker:
        worker.connection.socket.settimeout(0.05)
        with pytest.raises(SideEndedError, match="it did not answer for 0.05 seconds"):
            worker.ask("open", f"{MODELS}:paddle_side")
        with pytest.raises(SideEndedError, match="is not there any more"):
            worker.ask("open", f"{MODELS}:paddle_side")


def test_a_side_that_wants_memory_is_one_sentence():
    with pytest.raises(ElsewhereError, match=r"^MemoryError at .*side_models.py:\d+$") as caught:
        pg.compare(_side("paddle_wants_memory"), _side("torch_side"), options=OPTIONS)
    assert stopped_model(caught.value) is None  # another run would want as much


def test_nothing_is_left_where_the_process_that_asks_is_killed(tmp_path):
    left = tmp_path / "left"
    script = (
        "import sys, padiff_graph as pg\n"
        "side = pg.Side(sys.argv[1], python=sys.executable)\n"
        "pg.compare(side, side)\n"
    )
    judge = subprocess.Popen(
        [sys.executable, "-c", script, f"{MODELS}:hangs"],
        env={**os.environ, "SIDE_LEFT": str(left)},
    )
    _within(60, left.exists)
    judge.kill()
    judge.wait()
    for number in left.read_text().split():
        _within(10, lambda number=number: not _runs(int(number)))


def test_a_side_ends_what_its_model_started_when_nobody_asks(tmp_path, monkeypatch):
    left = tmp_path / "left"
    monkeypatch.setenv("SIDE_LEFT", str(left))
    worker = WorkerProcess(sys.executable, "the first side")
    with pytest.raises(UsageError, match="expected .* to return"):
        worker.open(f"{MODELS}:starts_a_process")
    worker.close()  # as the kernel does where the one that asks is killed
    for number in left.read_text().split():
        _within(10, lambda number=number: not _runs(int(number)))
    worker.end()


def _within(seconds, done):
    last = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < last
        time.sleep(0.1)


def test_a_script_of_both_frameworks_is_refused_before_anything_is_run():
    where = ["--first-python", "no-such-python", "--repro", "region.py"]
    code = run(lambda: cli.main(["align", "a:b", "c:d", *where], standalone_mode=False))
    assert code == 2
    report = pg.compare(_side("paddle_epsilon"), _side("torch_side"), options=OPTIONS)
    with pytest.raises(UsageError, match="one of the models is in another process"):
        write_repro(report, "region.py")


def test_a_test_of_two_sides_needs_no_inputs():
    pg.assert_ported(_side("paddle_side"), _side("torch_side"))
    with pytest.raises(AssertionError, match="epsilon"):
        pg.assert_ported(_side("paddle_epsilon"), _side("torch_side"))


def test_what_a_model_raises_is_told_with_its_line():
    said = r"ValueError at .*side_models.py:\d+: no such thing"
    with pytest.raises(ElsewhereError, match=said) as caught:
        pg.compare(_side("paddle_raises"), _side("torch_side"), options=OPTIONS)
    stopped = stopped_model(caught.value)
    assert (stopped.number, stopped.frameworks) == (0, ("paddle", "torch"))
    assert "side_models.py" in stopped.source


def test_a_diff_of_a_model_that_raises_says_where():
    with pytest.raises(pg.CaptureError) as caught:
        pg.structural_diff(_side("paddle_raises"), _side("torch_side"))
    stopped = stopped_model(caught.value)
    assert stopped.number == 0 and "no such thing" in stopped.error


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nothing", "expected .* to return"),
        ("none_such", "has no 'none_such'"),
        ("no_model", "no_model: .*int"),
    ],
)
def test_a_wrong_target_is_wrong_use(target, said):
    with pytest.raises(UsageError, match=said):
        pg.compare(_side(target), _side("torch_side"), options=OPTIONS)


def test_an_input_that_a_forward_does_not_take_is_wrong_use():
    with pytest.raises(UsageError, match=r"takes \(x\); found the input 'y'"):
        pg.compare(_side("other_name"), _side("torch_side"), options=OPTIONS)


def test_wrong_sides_are_refused_when_they_are_named():
    with pytest.raises(UsageError, match="there is no interpreter"):
        pg.Side("a:b", python="no-such-python")
    with pytest.raises(UsageTypeError, match="found int"):
        pg.Side(3)
    with pytest.raises(UsageTypeError, match="ray is True or a dict"):
        pg.Side("a:b", ray="auto")
    with pytest.raises(UsageError, match="exclude each other"):
        pg.Side("a:b", python=sys.executable, ray=True)


def test_an_interpreter_without_this_package_says_so(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho No module named padiff_graph >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(UsageError, match="install padiff-graph there"):
        WorkerProcess(str(python), "the first side")


def test_an_interpreter_that_does_not_answer_is_given_up_when_the_user_says(tmp_path):
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\n"
        "import socket, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from padiff_graph.capture.remote.channel import Channel\n"
        "from padiff_graph.version import __version__\n"
        "with socket.socket(fileno=int(sys.argv[-1])) as connection:\n"
        "    channel = Channel(connection)\n"
        "    channel.send(__version__, [])\n"
        "    channel.receive()\n"
        "    connection.recv(1)\n"
    )
    python.chmod(0o755)
    side = pg.Side("a:b", python=str(python), timeout=0.01)
    with pytest.raises(ElsewhereError, match=r"did not answer for 0\.01 seconds"):
        pg.compare(side, side)
    with pytest.raises(UsageError, match="above 0"):
        pg.Side("a:b", timeout=0)
    with pytest.raises(UsageTypeError, match="number of seconds"):
        pg.Side("a:b", timeout="1")


def test_what_a_model_started_ends_with_its_interpreter(tmp_path):
    python, left = tmp_path / "python", tmp_path / "left"
    python.write_text(
        f"#!{sys.executable}\n"
        "import socket, subprocess, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from padiff_graph.capture.remote.channel import Channel\n"
        "from padiff_graph.version import __version__\n"
        "started = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(left)!r}, 'w').write(str(started.pid))\n"
        "with socket.socket(fileno=int(sys.argv[-1])) as connection:\n"
        "    channel = Channel(connection)\n"
        "    channel.send(__version__, [])\n"
        "    channel.receive()\n"
    )
    python.chmod(0o755)
    with WorkerProcess(str(python), "the first side"):
        number = int(left.read_text())
    for _ in range(100):  # the kernel ends it when it can
        if not _runs(number):
            break
        time.sleep(0.1)
    assert not _runs(number)


def _runs(number):
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(process, "__version__", "0.0.0")
    with pytest.raises(UsageError, match="install the same version in both"):
        WorkerProcess(sys.executable, "the first side")


def test_what_may_not_be_asked_is_not_answered():
    with WorkerProcess(sys.executable, "the first side") as worker:
        worker.open(f"{MODELS}:paddle_side")
        for name in ("os:system", "padiff_graph.file_writing:write_text", "padiff_graph.sides:no"):
            with pytest.raises(ValueError, match="is not answered here"):
                worker.ask("whole", name, ["x"], {})
        for question in ("engine.__init__", "optimizers.__class__", "system", "state.kept"):
            with pytest.raises(ValueError, match="is not answered here"):
                worker.ask(question)


def test_losses_that_differ_are_told_by_name_and_operation():
    report = pg.compare(_side("paddle_other_loss"), _side("torch_training"), options=OPTIONS)
    (told,) = [finding for finding in report.findings if finding.phase == "loss"]
    assert "_summed and _loss return" in told.cause and "ReduceSum against ReduceMean" in told.cause
    assert "side_models.py" in told.paddle_source and "side_models.py" in told.torch_source


def test_losses_are_laid_open_where_one_of_them_is_here(tmp_path):
    (tmp_path / "reference.py").write_text(
        "import numpy as np\n"
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc1, self.fc2 = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)\n"
        "        self.norm = torch.nn.LayerNorm(8)\n"
        "    def forward(self, x):\n"
        "        hidden = torch.nn.functional.gelu(self.fc1(x))\n"
        "        return {'logits': self.fc2(self.norm(hidden)), 'hidden': (hidden, 3)}\n"
        "def squared(output):\n"
        "    return (output['logits'] ** 2).mean()\n"
        "def build():\n"
        "    model = Net()\n"
        "    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.01)\n"
        "    return {'model': model, 'loss': squared, 'optimizer': optimizer}\n"
    )
    reference = pg.Side(f"{tmp_path / 'reference.py'}:build")
    report = pg.compare(_side("paddle_other_loss"), reference, options=OPTIONS)
    (told,) = [finding for finding in report.findings if finding.phase == "loss"]
    assert "_summed and squared return" in told.cause
    assert "ReduceSum against ReduceMean" in told.cause
