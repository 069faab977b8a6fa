"""Recordings: what they hold, opened with numpy and json alone; damaged files."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch

import padiff_graph as pg
from padiff_graph.errors import UsageError
from padiff_graph.export.recording import expected_size, record
from padiff_graph.sides.recorded_model import opened_model
from padiff_graph.sides.recording_file import Recording


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    x = torch.randn(4, 6)
    path = tmp_path_factory.mktemp("recording") / "ref.pgref"
    graph = record(model, {"input": x}, path)
    return model, x, path, graph


def test_it_opens_with_numpy_and_json_alone(recorded):
    model, x, path, _ = recorded
    with zipfile.ZipFile(path) as held:
        manifest = json.loads(held.read("manifest.json"))
        member = manifest["arrays"]["outputs"]["output"]
        output = np.load(io.BytesIO(held.read(member)), allow_pickle=False)
    assert (manifest["format"], manifest["version"]) == ("padiff-graph recording", 5)
    np.testing.assert_array_equal(output, model(x).detach().numpy())


def test_values_stand_in_both_precisions_and_gradients_are_those_of_the_cotangents(recorded):
    model, x, path, graph = recorded
    held = Recording(path)
    last = graph.of_kind("output")[0].inputs[0]
    name = f"{last.node}.{last.output}"
    with torch.no_grad():
        relu = torch.relu(model[0](x))
        wide = torch.nn.functional.linear(
            relu.double(), model[2].weight.double(), model[2].bias.double()
        )
    np.testing.assert_array_equal(held.array("values.float32", name), model(x).detach())
    ways = [way for way in held.names("regions.float64") if way.endswith(f".output.{name}")]
    fine = held.array("regions.float64", ways[0])
    assert fine.dtype == np.float64
    np.testing.assert_allclose(fine, wide.numpy(), rtol=1e-12)
    for kind in ("", ".mean"):
        cotangent = torch.from_numpy(held.array(f"cotangents{kind}", "output"))
        (gradient,) = torch.autograd.grad((model(x) * cotangent).sum(), [model[0].weight])
        np.testing.assert_allclose(
            held.array(f"gradients{kind}", "parameter:0.weight"), gradient, rtol=1e-5, atol=1e-6
        )


def test_values_can_be_left_out(recorded, tmp_path):
    model, x, path, graph = recorded
    small = tmp_path / "small.pgref"
    record(model, {"input": x}, small, precisions=())
    assert Recording(small).names("values.float32") == []
    middle = tmp_path / "middle.pgref"
    record(model, {"input": x}, middle, precisions=("float32",))
    assert Recording(middle).names("values.float32")
    assert not Recording(middle).names("regions.float64")
    assert small.stat().st_size < path.stat().st_size
    assert expected_size(graph, ()) < expected_size(graph)


def test_the_size_said_beforehand_is_near_what_is_written(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(300, 400), torch.nn.ReLU())
    path, told = tmp_path / "ref.pgref", []
    record(
        model, {"input": torch.randn(200, 300)}, path, expect=lambda size, less: told.append(size)
    )
    # inputs, outputs and cotangents are written besides, and the graph
    assert 0.4 * path.stat().st_size < told[0] < 1.2 * path.stat().st_size


@pytest.mark.parametrize("keep", [0, 10, 200, -40])
def test_a_file_that_is_cut_off_is_one_clear_error(recorded, tmp_path, keep):
    cut = tmp_path / "cut.pgref"
    cut.write_bytes(recorded[2].read_bytes()[:keep])
    with pytest.raises(UsageError, match="cut.pgref: expected a recording"):
        Recording(cut)


def test_a_changed_number_is_found(recorded, tmp_path):
    held = Recording(recorded[2])
    data = bytearray(recorded[2].read_bytes())
    weight = held.array("weights", "0.weight").tobytes()
    data[data.find(weight)] ^= 1
    changed = tmp_path / "changed.pgref"
    changed.write_bytes(data)
    with pytest.raises(UsageError, match="weights 0.weight cannot be read"):
        Recording(changed).array("weights", "0.weight")


@pytest.mark.parametrize(
    ("manifest", "found"),
    [
        ({"format": "other"}, "of another format"),
        ([], "of another format"),
        ({"format": "padiff-graph recording", "version": 99}, "version 99"),
        (
            {
                "format": "padiff-graph recording",
                "version": 5,
                "framework": "torch",
                "nodes": [],
                "arrays": {"weights": {"w": "../../etc/passwd"}},
            },
            "do not fit together",
        ),
        ({"format": "padiff-graph recording", "version": 5, "arrays": 3}, "it has no framework"),
    ],
)
def test_another_manifest_is_refused(tmp_path, manifest, found):
    path = tmp_path / "made.pgref"
    with zipfile.ZipFile(path, "w") as held:
        held.writestr("manifest.json", json.dumps(manifest))
    with pytest.raises(UsageError, match=found):
        Recording(path)


def spoiled(path, target, change, kind=zipfile.ZIP_STORED):
    """A recording whose manifest was changed by somebody who keeps checksums right."""
    with zipfile.ZipFile(path) as held, zipfile.ZipFile(target, "w", kind) as made:
        for name in held.namelist():
            data = held.read(name)
            if name == "manifest.json":
                manifest = json.loads(data)
                change(manifest)
                data = json.dumps(manifest).encode()
            made.writestr(name, data)
    return target


def at(*way):
    """Puts the last of the way in the place that the others name."""

    def change(manifest):
        *above, last, value = way
        for key in above:
            manifest = manifest[key]
        manifest[last] = value

    return change


SPOILED = (
    (at("framework", "os"), "framework is 'os'"),
    (at("certificate", {"k": "padiff_graph.__main__:Main", "v": {}}), "unknown kind"),
    (at("nodes", 0, "v", "outputs", 5), "nodes.0..outputs is 5"),
    (at("nodes", -1, "v", "inputs", "v", 0, "v", "output", 7), "names output 7 of node"),
    (at("whole", "v", []), "whole has no structure"),
    (at("whole", "v", 0, 1, {"k": "ref", "v": [-1, {"k": "list", "v": [[]]}]}), "and a dtype"),
    (at("regions", "v", 0, "v", 0, 1, "v", [999]), "names node 999"),
    (at("nodes", -2, "v", "inputs", "v", []), "its graph cannot be understood"),
    (at("nodes", 1, "v", "outputs", "v", 0, "v", "shape", "v", [7]), "node 1 is .7., its weight"),
    (at("arrays", "weights", "other", "arrays/000000.npy"), "do not fit together"),
    (at("whole", {"k": "list", "v": [{"k": "range", "v": [10**30]}]}), "expected an object"),
)


@pytest.mark.parametrize(("change", "told"), SPOILED)
def test_a_manifest_that_names_something_else_is_refused(recorded, tmp_path, change, told):
    path = spoiled(recorded[2], tmp_path / "s.pgref", change)
    with pytest.raises(UsageError, match=told):
        opened_model(Recording(path))


def test_packed_members_which_may_hold_anything_are_refused(recorded, tmp_path):
    path = spoiled(recorded[2], tmp_path / "p.pgref", lambda _: None, zipfile.ZIP_DEFLATED)
    with pytest.raises(UsageError, match="members are packed"):
        Recording(path)


def test_an_unknown_precision_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="precisions: expected one of .*float16"):
        record(
            torch.nn.Linear(2, 2),
            {"input": torch.ones(1, 2)},
            tmp_path / "a",
            precisions=["float16"],
        )
    assert not list(tmp_path.iterdir())
    assert pg.UsageError is UsageError


def test_what_no_file_holds_is_told(tmp_path):
    packed = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(2, 2)))
    with pytest.raises(UsageError, match="cannot be recorded: torch.ScriptObject"):
        record(packed, {"input": torch.ones(1, 2)}, tmp_path / "q.pgref")
    assert not list(tmp_path.iterdir())
