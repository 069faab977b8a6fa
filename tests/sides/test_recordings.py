"""A recording in the place of a model: the verdict, the findings and their places are those of the
check in one process; what it cannot tell is not passed."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import padiff_graph as pg
from padiff_graph.cli.targets import load_model
from padiff_graph.cli.two_targets import example_of
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.export.card import write_card
from padiff_graph.export.repro_script import write_repro
from padiff_graph.sides.recorded_model import opened_model
from padiff_graph.sides.recording_file import Recording
from tests.sides.recorded_models import X, attention, changed, keeping, reference, training

HERE = Path(__file__).parent
MODELS = HERE / "recorded_models.py"
OPTIONS = {"rtol": 1e-4, "atol": 1e-5}
WHOLE = 9
"""Regions of the reference, each with a counterpart in a right port."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "ref.pgref"
    pg.record(*reference(), path)
    return path


def _findings(report):
    return [
        (own.cause_id, own.verdict, own.phase, own.paddle_path, own.torch_path)
        for own in report.findings
    ]


def _said(report):
    return report.passed, report.equivalent, _findings(report), dict(report.regions)


def test_a_right_port_passes_with_all_obligations(recording):
    report = pg.compare(changed(), recording, ({"x": X}, {"x": X}), options=OPTIONS)
    assert report.passed and report.equivalent
    assert report.compared.outputs == 2 and report.compared.parameters == 8
    assert report.compared.gradients > 10
    assert all(shown.status != "not shown" for shown in report.obligations)


@pytest.mark.parametrize(
    "how",
    [
        {"epsilon": 1e-3},
        {"residual": False},
        {"squash": "tanh"},
        {"exchanged": True},
        {"detached": True},
    ],
    ids=lambda how: next(iter(how)),
)
def test_what_is_wrong_is_told_as_in_one_process(recording, how):
    module, example = reference()
    here = pg.compare(changed(**how), module, ({"x": X}, example), options=OPTIONS)
    there = pg.compare(changed(**how), recording, ({"x": X}, {"x": X}), options=OPTIONS)
    assert not there.passed
    assert _said(there) == _said(here)


def test_what_the_port_computes_in_other_steps_is_compared_as_one(recording, tmp_path):
    for squash, passed in (("spelled", True), ("misspelled", False), ("nearly", False)):
        here, there = (
            pg.compare(changed(squash=squash), other, ({"x": X}, {"x": X}), options=OPTIONS)
            for other in (reference()[0], recording)
        )
        assert there.passed is passed
        assert _said(there) == _said(here)
        # the gradients of two recorded regions, put together
        assert sum(there.regions.values()) < WHOLE
    small = tmp_path / "small.pgref"
    pg.record(*reference(), small, precisions=("float32",))
    report = pg.compare(changed(squash="spelled"), small, ({"x": X}, {"x": X}), options=OPTIONS)
    # the numbers agree in float32; float64, which would decide it, is not there
    assert not report.passed and report.regions["not-comparable"] == 1
    assert all(own.phase == "structure" for own in report.findings)
    assert pg.compare(changed(), small, ({"x": X}, {"x": X}), options=OPTIONS).passed


def test_what_the_port_alone_keeps_is_told_and_both_are_called_twice(recording):
    here, there = (
        pg.compare(changed(noting=True), other, ({"x": X}, {"x": X}), options=OPTIONS)
        for other in (reference()[0], recording)
    )
    assert _said(there) == _said(here)
    assert there.passed and [own.cause_id for own in there.findings] == ["state.attribute"]


def test_rounding_is_proved_where_no_tolerance_is_named(recording):
    options = {"allow_rounding": True}
    here = pg.compare(changed(), reference()[0], ({"x": X}, {"x": X}), options=options)
    there = pg.compare(changed(), recording, ({"x": X}, {"x": X}), options=options)
    assert there.passed and _said(there) == _said(here)
    assert there.noise == pytest.approx(here.noise, rel=1e-3, abs=1e-12)


def test_weights_are_copied_into_the_live_model_or_compared(recording):
    live = changed()
    assert pg.compare(live, recording, ({"x": X}, {"x": X}), options=OPTIONS).passed
    held = reference()[0].state_dict()
    assert (live.fc1.weight.numpy() == held["fc1.weight"].numpy().T).all()
    assert pg.compare(live, recording, ({"x": X}, {"x": X}), False, options=OPTIONS).passed
    live.fc1.weight.set_value(live.fc1.weight + 1.0)
    report = pg.compare(live, recording, ({"x": X}, {"x": X}), False, options=OPTIONS)
    assert not report.passed
    found = [own for own in report.findings if own.fails]
    assert (found[0].cause_id, found[0].paddle_path) == ("weights.differ", "fc1")


def test_recorded_weights_are_assigned(recording):
    live = changed()
    pg.assign_weight(live, recording, example_inp=({"x": X}, {"x": X}))
    held = reference()[0].state_dict()
    assert (live.gate.weight.numpy() == held["gate.weight"].numpy().T).all()
    with pytest.raises(UsageError, match="the first model is written to"):
        pg.assign_weight(recording, live)


def test_it_may_be_given_first_and_stands_second_then(recording):
    report = pg.compare(recording, changed(epsilon=1e-3), ({"x": X}, {"x": X}), options=OPTIONS)
    assert report.findings[0].cause_id == "attribute.epsilon"
    assert "pd_op" in report.matching.first.graph.of_kind("operation")[0].op
    with pytest.raises(UsageError, match="loss_fn: the recording was given first"):
        pg.compare(recording, changed(), ({"x": X}, {"x": X}), loss_fn=[len, len])


def test_losses_that_were_not_recorded_and_optimizers_are_refused(recording):
    example = {"x": X}, {"x": X}
    for given, said in (
        ([len, len], r"give \[first_loss, None\]"),
        ([len, None], "made without a loss"),
    ):
        with pytest.raises(UsageError, match=f"loss_fn: .*{said}"):
            pg.compare(changed(), recording, example, loss_fn=given)
    with pytest.raises(UsageError, match="optimizer: a recording has the one"):
        pg.compare(changed(), recording, example, optimizer=[len, len])
    side = pg.Side(f"{MODELS}:port_with_loss")
    assert pg.compare(side, recording, options=OPTIONS).passed


def test_a_recorded_loss_is_held_against_the_ports(tmp_path):
    path = tmp_path / "ref.pgref"
    model, example = reference()
    pg.record(model, example, path, loss=lambda out: (out["logits"] ** 2).mean())
    given = {"x": X}, {"x": X}
    for factor, told in ((1.0, []), (1.5, ["loss.differs"])):

        def loss(out, factor=factor):
            return (out["logits"] ** 2).mean() * factor

        reports = [
            pg.compare(changed(), second, given, loss_fn=[loss, their], options=OPTIONS)
            for second, their in ((path, None), (model, lambda out: (out["logits"] ** 2).mean()))
        ]
        failing = [[own.cause_id for own in one.findings if own.fails] for one in reports]
        assert failing[0] == failing[1] == told
        assert [one.passed for one in reports] == [not told] * 2
        shown = {own.name: own.status for own in reports[0].obligations}
        assert shown["loss"] == ("not shown" if told else "shown")
        assert shown["gradients"] == "shown"
    with pytest.raises(UsageTypeError, match="must return a scalar"):
        pg.record(model, example, path, loss=lambda out: out["logits"])


def test_other_inputs_are_refused(recording):
    with pytest.raises(UsageError, match="recorded with other inputs: x differs"):
        pg.compare(changed(), recording, ({"x": X + 1}, {"x": X + 1}))
    side = pg.Side(f"{MODELS}:port_of_other_inputs")
    with pytest.raises(UsageError, match="the same inputs"):
        pg.compare(side, recording)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"x": X, "scale": 2.0}, "scale is 2.0, it was 1.0"),
        ({"x": X}, "found x, recorded scale, x"),
        ({"y": X, "scale": 1.0}, "found scale, y, recorded scale, x"),
        ({"x": X.astype("float64"), "scale": 1.0}, "x differs"),
        ([X], "a pair of dicts"),
    ],
)
def test_all_of_the_inputs_are_those_of_the_recording(scaled, given, said):
    with pytest.raises(UsageError, match=said):
        pg.compare(changed(), scaled, ({"x": X}, given))


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    class Scaled(torch.nn.Linear):
        def forward(self, x, scale):
            return super().forward(x) * scale

    path = tmp_path_factory.mktemp("scaled") / "scaled.pgref"
    pg.record(Scaled(6, 3), {"x": torch.from_numpy(X), "scale": 1.0}, path, precisions=())
    return path


def test_the_port_is_recorded_on_the_inputs_of_a_recording(scaled):
    recorded = example_of(str(scaled))
    _, inputs = load_model(f"{MODELS}:port_without_inputs", recorded)
    assert inputs["scale"] == 1.0 and (inputs["x"] == X).all()
    with pytest.raises(UsageError, match="there are no inputs"):
        load_model(f"{MODELS}:port_without_inputs")


def _without(manifest, kind):
    return {name: own for name, own in manifest["arrays"].items() if name != kind}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda own: {"framework": "x"}, "framework is 'x'"),
        (lambda own: {"nodes": []}, "it holds no operation"),
        (lambda own: {"whole": None}, "whole is None, expected an object"),
        (lambda own: {"regions": [{"k": "dict", "v": []}]}, "has no nodes"),
        (lambda own: {"arrays": _without(own, "weights")}, "it holds no weights of"),
        (lambda own: {"arrays": _without(own, "outputs")}, "it holds no outputs of"),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(scaled, tmp_path, change, said):
    path = tmp_path / "changed.pgref"
    with zipfile.ZipFile(scaled) as held:
        members = {name: held.read(name) for name in held.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    manifest |= change(manifest)
    named = {member for own in manifest["arrays"].values() for member in own.values()}
    with zipfile.ZipFile(path, "w") as held:
        for name in named:
            held.writestr(name, members[name])
        held.writestr("manifest.json", json.dumps(manifest))
    with pytest.raises(UsageError, match=said):
        opened_model(Recording(path))


def test_an_array_of_another_shape_is_refused(scaled, tmp_path):
    recording = Recording(scaled)
    wrong = dict(recording.manifest["arrays"]["weights"])
    wrong["weight"], wrong["bias"] = wrong["bias"], wrong["weight"]
    recording.manifest["arrays"]["weights"] = wrong
    with pytest.raises(UsageError, match="its graph says"):
        opened_model(recording)


def test_a_recording_without_values_passes_nothing(tmp_path):
    path = tmp_path / "small.pgref"
    pg.record(*reference(), path, precisions=())
    report = pg.compare(changed(), path, ({"x": X}, {"x": X}), options=OPTIONS)
    assert not report.passed
    assert {own.name: own.status for own in report.obligations}["regions"] == "not shown"
    assert {own.name: own.status for own in report.obligations}["outputs"] == "shown"
    told = [own.cause for own in report.findings if own.cause_id == "region.not_compared"]
    assert "without the values on the way" in told[0]


def test_the_judge_needs_no_torch(recording, tmp_path):
    script = tmp_path / "judge.py"
    script.write_text(
        "import sys\n"
        "class Refused:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Refused())\n"
        "from padiff_graph.cli.commands import main\n"
        "main(sys.argv[1:])\n"
    )
    for target, code in (("port", 0), ("port_epsilon", 1)):
        page = tmp_path / "report.json"
        ran = subprocess.run(
            [sys.executable, script, "align", f"{MODELS}:{target}", recording, "--json", page],
            capture_output=True,
            text=True,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        causes = [own["cause_id"] for own in json.loads(page.read_text())["findings"]]
        assert causes == [["rounding.accumulated"], ["attribute.epsilon"]][code]


def test_structure_alone_is_compared_and_matched(recording):
    side = pg.Side(f"{MODELS}:port_epsilon")
    difference = pg.structural_diff(side, recording)
    assert [own.cause_id for own in difference.findings] == ["attribute.epsilon"]
    (candidate,) = pg.suggest_layer_map(side, recording)
    assert {row.paddle_path: row.torch_path for row in candidate.rows}["norm"] == "norm"


def test_a_map_names_modules_of_a_recording_by_path(recording):
    example = {"x": X}, {"x": X}
    wrong = changed(epsilon=1e-3)
    given = pg.LayerMap()
    given.map = {wrong.norm: "norm"}
    report = pg.compare(wrong, recording, example, layer_map=given, options=OPTIONS)
    assert "attribute.epsilon" not in [own.cause_id for own in report.findings]
    given = pg.LayerMap()
    given.ignore_class("", "LayerNorm")
    given.resolve(changed(), opened_model(Recording(recording)))
    with pytest.raises(UsageError, match=r"'typo' is not in Net"):
        pg.compare(changed(), recording, example, layer_map={"norm": "typo"})


def test_other_weights_in_two_recordings_are_to_be_recorded_anew(recording, tmp_path):
    model, inputs = reference()
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    pg.record(model, inputs, tmp_path / "other.pgref")
    report = pg.compare(tmp_path / "other.pgref", recording, options=OPTIONS)
    advice = [own.advice for own in report.findings if own.cause_id == "weights.differ"]
    assert advice and all("record both models" in own and "auto" not in own for own in advice)


def test_a_damaged_file_is_one_sentence(recording, tmp_path):
    whole = recording.read_bytes()
    for number, data in enumerate((whole[:-40], whole[:1000] + b"x" * 8 + whole[1008:], b"")):
        path = tmp_path / f"{number}.pgref"
        path.write_bytes(data)
        ran = subprocess.run(
            [sys.executable, "-m", "padiff_graph", "align", f"{MODELS}:port", path],
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 2, ran.stderr
        assert ran.stderr.count("\n") == 1
        assert ran.stderr.startswith(f"error: {path}: expected a recording")


def test_torch_stands_against_torch_and_before_paddle(tmp_path):
    path = tmp_path / "paddle.pgref"
    pg.record(changed(), {"x": X}, path)
    report = pg.compare(
        reference()[0], path, ({"x": torch.from_numpy(X)}, {"x": X}), options=OPTIONS
    )
    assert report.passed
    assert dict(report.regions) == {"equal": WHOLE}


def _both(first, second, name, folder):
    """The same check in one process and against a recording."""
    path = folder / "second.pgref"
    pg.record(second(), {name: torch.from_numpy(X)}, path)
    example = {name if name == "x" else "input": X}
    return [
        pg.compare(first(), other, (example, {name: X}), options=OPTIONS)
        for other in (second(), path)
    ]


@pytest.mark.parametrize("step", [1, 2])
def test_what_a_model_keeps_between_calls_was_recorded(tmp_path, step):
    reports = _both(lambda: keeping("paddle", step), lambda: keeping("torch"), "x", tmp_path)
    assert _said(reports[0]) == _said(reports[1])
    assert reports[1].passed is (step == 1)
    state = {own.name: own for own in reports[1].obligations}["state"]
    assert state.status == ("shown" if step == 1 else "not shown")


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_a_training_mode_with_draws_is_recorded(tmp_path, rate):
    reports = _both(lambda: training("paddle", rate), lambda: training("torch"), "input", tmp_path)
    assert _said(reports[0]) == _said(reports[1])
    assert reports[1].passed is (rate == 0.25)


def test_two_recordings_of_the_same_numbers_are_compared_with_neither_framework(tmp_path):
    first, second, other = (tmp_path / f"{name}.pgref" for name in ("first", "second", "other"))
    model, example = reference()
    pg.record(model, example, first)
    pg.record(model, example, second)
    model.norm.eps = 1e-3
    pg.record(model, example, other)
    script = tmp_path / "judge.py"
    script.write_text(
        "import sys\n"
        "import padiff_graph as pg\n"
        "report = pg.compare(*sys.argv[1:], options={'rtol': 1e-4, 'atol': 1e-5})\n"
        "print(report.passed, [own.cause_id for own in report.findings if own.fails])\n"
        "print([name for name in ('torch', 'paddle') if name in sys.modules])\n"
    )
    for path, told in ((second, "True []"), (other, "False ['attribute.epsilon']")):
        ran = subprocess.run(
            [sys.executable, script, first, path], capture_output=True, text=True, check=True
        )
        assert ran.stdout.splitlines() == [told, "[]"]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({}, []),
        ({"epsilon": 1e-3}, ["attribute.epsilon"]),
        ({"squash": "misspelled"}, ["operation.replaced"]),
        ({"detached": True}, ["tensor.not_comparable"]),
    ],
    ids=["right", "epsilon", "misspelled", "detached"],
)
def test_recordings_of_two_frameworks_are_compared_as_each_computed(recording, tmp_path, how, told):
    path = tmp_path / "port.pgref"
    model = changed(**how)
    pg.assign_weight(model, reference()[0])
    pg.record(model, {"x": X}, path)
    report = pg.compare(path, recording, options=OPTIONS)
    assert report.passed is (not told)
    assert [own.cause_id for own in report.findings if own.fails][: len(told)] == told
    if how:
        shown = {own.name: own.status for own in report.obligations}
        assert shown["regions"] == "not shown"
    else:
        assert dict(report.regions) == {"equal": WHOLE}


def test_gradients_that_cancel_in_two_recordings_are_no_difference(tmp_path):
    """The bias of a key has none behind a softmax: what is left is rounding of float64."""
    paths = [tmp_path / f"{name}.pgref" for name in ("port", "reference")]
    port, reference = attention("paddle"), attention("torch")
    given = {"x": X[None]}, {"x": torch.from_numpy(X[None])}
    pg.assign_weight(port, reference, example_inp=given)
    for model, inputs, path in zip((port, reference), given, paths, strict=True):
        pg.record(model, inputs, path)
    report = pg.compare(*paths, options=OPTIONS)
    assert report.passed and set(report.regions) == {"equal"}


def test_draws_of_two_recordings_are_not_held_against_each_other(tmp_path):
    paths = [tmp_path / f"{name}.pgref" for name in ("port", "reference")]
    port, reference = training("paddle"), training("torch")
    pg.assign_weight(port, reference)
    pg.record(port, {"input": X}, paths[0])
    pg.record(reference, {"input": torch.from_numpy(X)}, paths[1])
    report = pg.compare(*paths, options=OPTIONS)
    assert not report.passed
    assert any("draws random numbers" in own.cause for own in report.findings)


def test_what_a_forward_puts_into_a_list_was_recorded(tmp_path):
    path = tmp_path / "second.pgref"
    pg.record(keeping("torch"), {"x": torch.from_numpy(X), "seen": []}, path)
    for noting in (True, False):
        example = {"x": X, "seen": []}, {"x": X, "seen": []}
        report = pg.compare(keeping("paddle", noting=noting), path, example, options=OPTIONS)
        assert report.passed is noting
        told = [own.cause_id for own in report.findings if own.fails]
        assert told == ([] if noting else ["state.container"])


def test_views_of_the_report_need_no_second_framework(recording, tmp_path):
    report = pg.compare(changed(epsilon=1e-3), recording, ({"x": X}, {"x": X}), options=OPTIONS)
    card = tmp_path / "card.json"
    write_card(report, card)
    held = json.loads(card.read_text())
    assert "a recording" in json.dumps(held["planted"])
    report.to_html(tmp_path / "report.html")
    with pytest.raises(UsageError, match="one of the models is a recording"):
        write_repro(report, tmp_path / "repro.py")


def test_the_port_may_live_in_another_interpreter(recording, tmp_path):
    script = tmp_path / "judge.py"
    script.write_text(
        "import sys\n"
        "import padiff_graph as pg\n"
        "side = pg.Side(sys.argv[1], python=sys.executable)\n"
        "report = pg.compare(side, sys.argv[2], options={'rtol': 1e-4, 'atol': 1e-5})\n"
        "print(report.passed, [own.cause_id for own in report.findings if own.fails])\n"
        "print([name for name in ('torch', 'paddle') if name in sys.modules])\n"
    )
    for target, told in (("port", "True []"), ("port_epsilon", "False ['attribute.epsilon']")):
        command = [sys.executable, script, f"{MODELS}:{target}", recording]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines() == [told, "[]"]
