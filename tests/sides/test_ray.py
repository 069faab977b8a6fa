"""Sides in Ray actors: the report is that of two interpreters, and a lost actor is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

import padiff_graph as pg
from padiff_graph.capture.remote.errors import SideEndedError
from padiff_graph.errors import UsageError
from padiff_graph.sides.ray_client import RayClient

ray = pytest.importorskip("ray", reason="ray is not installed")

MODELS = Path(__file__).parent / "side_models.py"
OPTIONS = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=3, include_dashboard=False, logging_level="error")
    yield
    ray.shutdown()


def _side(name, **options):
    return pg.Side(f"{MODELS}:{name}", ray={"num_cpus": 1, **options})


def test_each_side_is_an_actor_with_an_environment_of_its_own(cluster):
    environment = {"runtime_env": {"env_vars": {"ONE_SIDE": "1"}}}
    report = pg.compare(
        _side("paddle_epsilon", **environment), _side("torch_side"), options=OPTIONS
    )
    assert [finding.cause_id for finding in report.findings if finding.fails] == [
        "attribute.epsilon"
    ]
    assert ray.is_initialized()


def test_an_actor_that_is_lost_is_one_sentence(cluster):
    with pytest.raises(SideEndedError, match=r"the first side .* stopped: ") as caught:
        pg.compare(_side("paddle_dies"), _side("torch_side"), options=OPTIONS)
    assert "\n" not in str(caught.value)


def test_wrong_options_are_wrong_use(cluster):
    with pytest.raises(UsageError, match="no Ray actor could be placed"):
        pg.compare(_side("paddle_side", nonsense=1), _side("torch_side"))


def test_regions_are_spread_over_actors_each_of_which_has_what_it_needs(cluster, caplog):
    with caplog.at_level("INFO", "padiff_graph.capture.remote.client"):
        report = pg.compare(
            _side("paddle_epsilon", num_cpus=0.5, actors=2),
            _side("torch_side", num_cpus=0.5, actors=2),
            options=OPTIONS,
        )
    alone = pg.compare(_side("paddle_epsilon"), _side("torch_side"), options=OPTIONS)
    assert dict(report.regions) == dict(alone.regions)
    assert [finding.cause_id for finding in report.findings if finding.fails] == [
        "attribute.epsilon"
    ]
    helping = [own for own in caplog.messages if "actor 2" in own]
    assert len(helping) == 2 and all(int(own.split(": ")[1].split()[0]) > 5 for own in helping)


def test_regions_of_a_lost_actor_run_on_another(cluster, monkeypatch):
    lost = []
    exchanged = RayClient._exchanged

    def interrupted(client, message, buffers):
        if "actor 2" in client.name and "_ran" in str(message) and not lost:
            lost.append(client.name)
            ray.kill(client.actor)
        return exchanged(client, message, buffers)

    monkeypatch.setattr(RayClient, "_exchanged", interrupted)
    report = pg.compare(
        _side("paddle_side", num_cpus=0.5, actors=2), _side("torch_side"), options=OPTIONS
    )
    assert lost and report.passed
    assert any("its regions ran elsewhere" in own for own in report.notes)


def test_a_number_of_actors_is_a_number(cluster):
    with pytest.raises(UsageError, match="'actors' in ray is a whole number from 1 on; found 0"):
        pg.compare(_side("paddle_side", actors=0), _side("torch_side"))
