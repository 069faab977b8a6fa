"""Models whose weights are in files: the same verdicts, and nothing that stays in memory."""

import gc
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

import padiff_graph as pg
from padiff_graph.capture.api import Capture
from padiff_graph.capture.backend import backend
from padiff_graph.capture.example_tensors import with_tensors
from padiff_graph.capture.late_array import LateArray, late
from padiff_graph.checkpoint.checkpoint_files import write_checkpoint
from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli
from padiff_graph.sides.made_side import made_side, with_weights
from tests.sides.late_models import paddle_numbers, torch_numbers

MODELS = str(Path(__file__).parent / "late_models.py")
OPTIONS = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def files(tmp_path):
    """The files of both models' weights."""
    written = tmp_path / "paddle.safetensors", tmp_path / "torch.safetensors"
    for path, numbers in zip(written, (paddle_numbers(), torch_numbers()), strict=True):
        _write(path, numbers)
    return written


def _write(path, numbers):
    kinds = {"float32": "F32", "int64": "I64"}
    write_checkpoint(
        path,
        {
            name: (array.shape, kinds[array.dtype.name], lambda array=array: array)
            for name, array in numbers.items()
        },
    )


def _sides(files, first="paddle_side", second="torch_side", python=None):
    return (
        pg.Side(f"{MODELS}:{first}", python, weights=files[0]),
        pg.Side(f"{MODELS}:{second}", python, weights=files[1]),
    )


@pytest.mark.parametrize(("python", "auto"), [(None, True), (None, False), (sys.executable, True)])
def test_equal_models_pass_with_everything_shown(files, auto, python):
    report = pg.compare(*_sides(files, python=python), auto_weights=auto, options=OPTIONS)
    assert report.passed
    assert {entry.status for entry in report.obligations} == {"shown", "not asked"}
    assert report.compared.gradients > 8


def test_gradients_and_outputs_are_those_of_the_model_in_memory(files):
    made = made_side(f"{MODELS}:torch_side")
    with with_weights(made, files[1]):
        late, reader = _ran(made)
        gc.collect()
        assert not reader.live
    filled, _ = _ran(made_side(f"{MODELS}:torch_filled"))
    assert filled.gradients.keys() == late.gradients.keys()
    for name, gradient in filled.gradients.items():
        assert np.array_equal(gradient, late.gradients[name]), name
    assert np.array_equal(filled.outputs["output"].detach(), late.outputs["output"].detach())


def _ran(made):
    engine = backend("torch").engine(made["model"])
    run = engine.forward(made["inputs"], grad=True)
    generator = np.random.default_rng(0)
    engine.backward(run, {"output": generator.standard_normal((3, 5, 11)).astype("float32")})
    return run, engine.reader


@pytest.mark.parametrize("side", ["paddle", "torch"])
def test_what_is_saved_for_the_backward_holds_no_weight(files, side, monkeypatch):
    made = made_side(f"{MODELS}:{side}_side")
    packed = []
    with with_weights(made, files[side == "torch"]):
        engine = backend(side).engine(made["model"])
        plain = engine.reader._packed
        monkeypatch.setattr(
            engine.reader, "_packed", lambda tensor: _noted(packed, tensor, plain(tensor))
        )
        engine.forward(with_tensors(side, made["inputs"]), grad=True)
        weights = {tuple(array.shape) for array in engine.parameters().values() if array.ndim == 2}
    kept = {tuple(tensor.shape) for tensor, saved in packed if not isinstance(saved, tuple)}
    assert weights
    assert not kept & weights
    assert any(isinstance(saved, tuple) for _, saved in packed)


def _noted(packed, tensor, saved):
    packed.append((tensor, saved))
    return saved


@pytest.mark.parametrize("side", ["paddle", "torch"])
def test_the_model_is_as_before(files, side):
    made = made_side(f"{MODELS}:{side}_training")
    model = made["model"]
    before = _places(model)
    with with_weights(made, files[side == "torch"]):
        capture = Capture.of(model, with_tensors(side, made["inputs"]))
        assert capture.certify()
        assert capture.graph.certificate.valid
    assert _places(model) == before


def _places(model):
    """Which tensor stands where."""
    modules = model.named_modules() if hasattr(model, "named_modules") else None
    modules = modules or model.named_sublayers(include_self=True)
    return {
        (path, kind, name): id(tensor)
        for path, module in modules
        for kind in ("_parameters", "_buffers")
        for name, tensor in getattr(module, kind).items()
    }


def test_running_statistics_are_updated_and_compared(files):
    sides = _sides(files, "paddle_training", "torch_training")
    report = pg.compare(*sides, options=OPTIONS)
    updates = next(entry for entry in report.obligations if entry.name == "updates")
    assert updates.status == "shown"
    assert "2 buffers" in updates.by
    assert [finding.cause_id for finding in report.findings] == ["statistics.differ"]


def test_an_epsilon_is_found_at_its_place(files):
    report = pg.compare(*_sides(files, "paddle_epsilon"), options=OPTIONS)
    assert not report.passed
    assert report.findings[0].cause_id == "attribute.epsilon"
    assert report.findings[0].paddle_path == "bn"


def test_a_weight_that_is_wrong_in_its_file_is_found(files):
    other = torch_numbers()["fc.weight"].copy()
    other[2] *= 1.5
    _write(files[0], paddle_numbers(**{"fc.weight": other}))
    report = pg.compare(*_sides(files), auto_weights=False, options=OPTIONS)
    assert not report.passed
    assert report.findings[0].phase == "weights"
    assert report.findings[0].paddle_path == "a"


def test_one_side_may_be_in_memory(files):
    first, _ = _sides(files)
    report = pg.compare(first, pg.Side(f"{MODELS}:torch_filled"), options=OPTIONS)
    assert report.passed


def test_files_that_lack_a_weight_are_refused(files):
    numbers = torch_numbers()
    del numbers["fc.bias"]
    _write(files[1], numbers)
    with pytest.raises(pg.UsageError, match=r"no numbers for fc.bias \[12\], and the files lack"):
        pg.compare(*_sides(files), options=OPTIONS)


def test_a_weight_of_another_shape_is_refused(files):
    _write(files[1], {**torch_numbers(), "fc.bias": np.zeros(5, np.float32)})
    with pytest.raises(pg.UsageError, match=r"fc.bias has shape \[5\] there; the model's is \[12"):
        pg.compare(*_sides(files), options=OPTIONS)


def test_a_model_without_files_is_refused(files):
    with pytest.raises(pg.UsageError, match="name its files"):
        pg.compare(pg.Side(f"{MODELS}:paddle_side"), _sides(files)[1], options=OPTIONS)


def test_assign_weight_does_not_write_into_files(files):
    with pytest.raises(pg.UsageError, match="convert the checkpoint instead"):
        pg.assign_weight(*_sides(files))


def test_weights_are_read_when_they_are_asked_for(files):
    made = made_side(f"{MODELS}:torch_side")
    with with_weights(made, files[1]):
        weight = backend("torch").engine(made["model"]).parameters()["fc.weight"]
        assert isinstance(weight, LateArray)
        files[1].write_bytes(files[1].read_bytes()[:-600])
        with pytest.raises(OSError, match="was cut off"):
            np.asarray(weight)


def test_a_model_in_files_is_recorded(files, tmp_path):
    path = tmp_path / "late.pgref"
    command = ["record", f"{MODELS}:torch_side", "-o", str(path)]
    named = [*command, "--weights", str(files[1])]
    assert run(lambda: cli.main(named, standalone_mode=False)) == 0
    first, _ = _sides(files)
    report = pg.compare(first, path, options=OPTIONS)
    assert report.passed
    assert run(lambda: cli.main(command, standalone_mode=False)) == 2


@pytest.mark.parametrize("whole", [True, False])
def test_a_backward_of_paddle_leaves_no_weight_in_memory(whole):
    width, depth = 256, 6
    with paddle.LazyGuard():
        model = paddle.nn.Sequential(*(paddle.nn.Linear(width, width) for _ in range(depth)))
    weights = {
        name: late(tensor.shape, "float32", lambda shape=tensor.shape: np.ones(shape, "float32"))
        for name, tensor in model.named_parameters()
    }
    tools = backend("paddle")
    with tools.late_weights.attached(model, weights):
        engine = tools.engine(model)
        run = engine.forward({"input": paddle.ones([2, width])}, grad=True)
        before = _allocated()
        if whole:
            engine.backward(run, {"output": np.ones((2, width), "float32")})
            assert len(run.gradients) == 1 + 2 * depth
            gradient = run.gradients["input:input"]
        else:
            seed = paddle.ones([2, width])
            (found,) = engine.grad([run.outputs["output"]], [run.leaves["input"]], [seed])
            gradient = found.numpy()
            assert len(engine.arrived) == 2 * depth
        assert np.all(gradient == float(width) ** depth)
        # the graph is held by the run
        assert _allocated() - before < 4 * width * width


def _allocated():
    """Bytes of Paddle's own that stand in memory."""
    return paddle.base.core.host_memory_stat_current_value("Allocated", 0)
