"""Sides in Ray actors: the report is that of two interpreters, and a lost actor is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

import padiff_graph as pg
from padiff_graph.capture.remote.errors import SideEndedError
from padiff_graph.errors import UsageError

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
