"""A recording that holds the hashes of its weights: a port with the same ones is compared as with
a whole recording, whatever its layouts; of others it is said that they are others."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.remote.wire import encode
from padiff_graph.errors import UsageError
from padiff_graph.sides.recorded_model import opened_model
from padiff_graph.sides.recording_file import Recording
from padiff_graph.sides.weight_hashes import HashedWeights, hash_of
from tests.sides.recorded_models import X, changed, reference

EXAMPLE = {"x": X}, {"x": X}
OPTIONS = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def hashed(tmp_path_factory):
    path = tmp_path_factory.mktemp("hashed") / "ref.pgref"
    pg.record(*reference(), path, hash_weights=True)
    return path


def _port(**how):
    port = changed(**how)
    pg.assign_weight(port, reference()[0], example_inp=EXAMPLE)
    return port


def test_no_parameter_is_in_the_file(hashed):
    held = Recording(hashed)
    assert not held.names("weights")
    told = held.manifest["hashed"]
    weights = {name: own.detach().numpy() for name, own in reference()[0].named_parameters()}
    assert json.dumps(told).count("sha256") == len(weights)
    with zipfile.ZipFile(hashed) as file:
        members = [file.read(name) for name in file.namelist()]
    for array in weights.values():
        if np.unique(array).size > 1:
            assert not any(array.tobytes() in member for member in members)


def test_a_port_with_the_same_weights_passes_as_against_the_model(hashed):
    here = pg.compare(_port(), reference()[0], EXAMPLE, False, options=OPTIONS)
    there = pg.compare(_port(), hashed, EXAMPLE, options=OPTIONS)
    assert there.passed and there.equivalent
    assert dict(there.regions) == dict(here.regions) == {"equal": 9}
    assert there.compared == here.compared


def test_what_is_wrong_is_told_as_against_the_model(hashed):
    port = _port(epsilon=1e-3)
    report = pg.compare(port, hashed, EXAMPLE, options=OPTIONS)
    assert [own.cause_id for own in report.findings if own.fails] == ["attribute.epsilon"]


def test_a_weight_that_is_another_one_is_told_and_what_it_reaches_is_open(hashed):
    port = _port()
    port.fc1.weight.set_value(port.fc1.weight + 1.0)
    report = pg.compare(port, hashed, EXAMPLE, options=OPTIONS)
    assert not report.passed
    told = [own for own in report.findings if own.cause_id.startswith("weights.")]
    assert [(own.cause_id, own.paddle_path) for own in told] == [("weights.hash_differs", "fc1")]
    assert told[0].error == 0.0 and "hold their hashes" in told[0].advice.replace("holds", "hold")
    assert report.regions["equal"] == 8 and report.regions["not-comparable"] == 1
    assert "hash of fc1.weight alone" in str([own.cause for own in report.findings])


def test_packed_weights_are_put_together_of_the_ports(tmp_path):
    class Packed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.both = torch.nn.Linear(6, 8)

        def forward(self, x):
            first, second = self.both(x).chunk(2, -1)
            return first * torch.tanh(second)

    class Split(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.one, self.two = paddle.nn.Linear(6, 4), paddle.nn.Linear(6, 4)

        def forward(self, x):
            return self.one(x) * paddle.tanh(self.two(x))

    torch.manual_seed(0)
    packed, split, path = Packed(), Split(), tmp_path / "packed.pgref"
    pg.assign_weight(split, packed, example_inp=EXAMPLE)
    pg.record(packed, {"x": torch.from_numpy(X)}, path, hash_weights=True)
    assert pg.compare(split, path, EXAMPLE, options=OPTIONS).passed
    pg.record(split, {"x": X}, tmp_path / "split.pgref", hash_weights=True)
    for pair in ((packed, tmp_path / "split.pgref"), (tmp_path / "split.pgref", path)):
        if pair[1] == path:
            pg.record(packed, {"x": torch.from_numpy(X)}, path)
        assert pg.compare(*pair, options=OPTIONS).passed
    split.two.weight.set_value(split.two.weight * 2)
    pg.record(packed, {"x": torch.from_numpy(X)}, path, hash_weights=True)
    assert not pg.compare(split, path, EXAMPLE, options=OPTIONS).passed


def test_what_needs_the_numbers_is_refused(hashed, tmp_path):
    with pytest.raises(UsageError, match="there is none to copy"):
        pg.assign_weight(changed(), hashed, example_inp=EXAMPLE)
    with pytest.raises(UsageError, match="one has to hold its weights"):
        pg.compare(hashed, hashed)
    model, example = reference()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loss = {"loss": lambda out: out["logits"].mean(), "optimizer": optimizer}
    with pytest.raises(UsageError, match="hash_weights: recorded training steps hold the weights"):
        pg.record(model, example, tmp_path / "steps.pgref", hash_weights=True, **loss)


@pytest.mark.parametrize(
    ("name", "told", "said"),
    [
        ("nothing", hash_of(np.ones(3, "float32")), "no such weight"),
        ("fc1.bias", hash_of(np.ones((3, 1), "float32")), "the hash of fc1.bias is of"),
        ("fc1.bias", {"dtype": "object", "shape": (8,), "sha256": ""}, "the hash of fc1.bias is"),
    ],
)
def test_hashes_that_do_not_fit_are_refused(hashed, name, told, said):
    recording = Recording(hashed)
    whole = opened_model(recording).hashed.told
    recording.manifest["hashed"] = encode({**whole, name: told}, [], lambda thing: None)
    with pytest.raises(UsageError, match=said):
        opened_model(recording)


def test_numbers_are_shown_by_their_hash_alone():
    weight = np.arange(6, dtype="float32").reshape(2, 3)
    known = HashedWeights({"w": hash_of(weight)})
    assert not known.shows("w", weight + 1) and not known.shows("w", weight.astype("float64"))
    assert known.unknown == {"w"} and not np.array_equal(known.array("w"), weight)
    assert known.shows("w", weight.reshape(-1)) and not known.unknown
    assert np.array_equal(known.array("w"), weight)
