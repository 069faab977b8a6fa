"""Whether a capture of one check may be taken for the next."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
paddle = pytest.importorskip("paddle")

from padiff_graph.capture.backend import backend  # noqa: E402
from padiff_graph.check.kept_captures import Kept, compare_keeping  # noqa: E402
from padiff_graph.check.same_model import same_model  # noqa: E402
from tests.models.cli_pairs import PaddleNet, TorchNet, example  # noqa: E402

TOLERANT = {"rtol": 1e-4, "atol": 1e-6}


class Holder(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, **held: Any) -> None:
        super().__init__()
        for name, value in held.items():
            setattr(self, name, value)


def made(size: float) -> Any:
    return lambda x: x * size


CASES: list[tuple[Any, Any, bool]] = [
    ({}, {}, True),
    ({"eps": 1e-5}, {"eps": 1e-5}, True),
    ({"eps": 1e-5}, {"eps": 1e-6}, False),
    ({"eps": 1}, {"eps": True}, False),
    ({"sizes": [1, (2, 3)]}, {"sizes": [1, (2, 3)]}, True),
    ({"sizes": [1, (2, 3)]}, {"sizes": [1, (2, 4)]}, False),
    ({"config": SimpleNamespace(a=1)}, {"config": SimpleNamespace(a=1)}, True),
    ({"config": SimpleNamespace(a=1)}, {"config": SimpleNamespace(a=2)}, False),
    ({"f": made(2.0)}, {"f": made(2.0)}, True),
    ({"f": made(2.0)}, {"f": made(3.0)}, False),
    ({"f": torch.relu}, {"f": torch.relu}, True),
    ({"f": torch.relu}, {"f": torch.tanh}, False),
    ({"table": torch.ones(2)}, {"table": torch.ones(2)}, True),
    ({"table": torch.ones(2)}, {"table": torch.zeros(2)}, False),
    ({"array": np.ones(2)}, {"array": np.zeros(2)}, False),
    ({"kind": torch.float32}, {"kind": torch.float32}, True),
    ({"random": np.random.default_rng(0)}, {"random": np.random.default_rng(0)}, False),
    ({"p": torch.nn.Dropout(0.1)}, {"p": torch.nn.Dropout(0.2)}, False),
]


@pytest.mark.parametrize(("first", "second", "same"), CASES)
def test_same_model(first: Any, second: Any, same: bool) -> None:
    values = backend("torch").values
    assert same_model(Holder(**first), Holder(**second), values, frozenset()) is same


def test_weights_may_differ_but_not_their_ties_or_flags() -> None:
    values = backend("torch").values

    def judged(first: Any, second: Any) -> bool:
        weights = frozenset(id(p) for model in (first, second) for p in model.parameters())
        return same_model(first, second, values, weights)

    plain, tied, frozen = (
        Holder(a=torch.nn.Linear(3, 3), b=torch.nn.Linear(3, 3)) for _ in range(3)
    )
    assert judged(plain, Holder(a=torch.nn.Linear(3, 3), b=torch.nn.Linear(3, 3)))
    tied.b.weight = tied.a.weight
    assert not judged(plain, tied) and not judged(tied, plain)
    frozen.a.weight.requires_grad_(False)
    assert not judged(plain, frozen)
    assert not judged(plain, Holder(a=torch.nn.Linear(3, 3), b=torch.nn.Linear(3, 3, bias=False)))


def asked(layer: Any, module: Any, given: Any) -> dict[str, Any]:
    return {"layer": layer, "module": module, "example_inp": given, "options": TOLERANT}


def test_kept_and_let_go() -> None:
    report, kept = compare_keeping(asked(PaddleNet(), TorchNet(), example()), Kept())
    assert report.passed and kept.used == (False, False)
    report, kept = compare_keeping(asked(PaddleNet(1e-3), TorchNet(), example()), kept)
    assert kept.used == (False, True)
    assert report.findings[0].cause_id == "attribute.epsilon"
    report, kept = compare_keeping(asked(PaddleNet(1e-3), TorchNet(), example()), kept)
    assert kept.used == (True, True) and not report.passed
    other = {"x": paddle.ones([5, 4])}, {"data": torch.ones(5, 4)}
    report, kept = compare_keeping(asked(PaddleNet(), TorchNet(), other), kept)
    assert kept.used == (False, False) and report.passed


def test_weights_are_those_of_the_model_at_hand() -> None:
    arguments = asked(PaddleNet(), TorchNet(), example())
    _, kept = compare_keeping(arguments, Kept())
    layer, module = PaddleNet(), TorchNet()
    keeping = {**asked(layer, module, example()), "auto_weights": False}
    report, kept = compare_keeping(keeping, kept)
    assert kept.used[1]
    assert any(finding.cause_id == "weights.differ" for finding in report.findings), [
        finding.cause_id for finding in report.findings
    ]


def test_a_graph_that_stands_no_longer_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    _, kept = compare_keeping(asked(PaddleNet(), TorchNet(), example()), Kept())
    changed = lambda self, data: self.c(torch.relu(self.b(self.a(data))))  # noqa: E731
    monkeypatch.setattr(TorchNet, "forward", changed)
    report, kept = compare_keeping(asked(PaddleNet(), TorchNet(), example()), kept)
    assert kept.used[1] is False
    assert not report.passed
    assert any("Relu" in finding.cause for finding in report.findings)


def _trained(layer: PaddleNet, module: TorchNet) -> dict[str, object]:
    both = [
        paddle.optimizer.SGD(0.1, parameters=layer.parameters()),
        torch.optim.SGD(module.parameters(), 0.1),
    ]
    return {**asked(layer, module, example()), "optimizer": both, "steps": 2}


def test_in_training_a_capture_is_of_the_very_model_that_the_optimizer_holds() -> None:
    layer, module = PaddleNet(), TorchNet()
    report, kept = compare_keeping(_trained(layer, module), Kept())
    assert report.passed and kept.used == (False, False)
    again, kept = compare_keeping(_trained(layer, module), kept)
    assert again.passed and kept.used == (True, True)
    _, kept = compare_keeping(_trained(PaddleNet(), module), kept)
    assert kept.used == (False, True)
