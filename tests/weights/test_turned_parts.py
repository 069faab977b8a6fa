"""Query and key exchanged against a weight that holds both: copied weights take it up, and it is
told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.report.terminal import report_headline
from padiff_graph.weights.crossed_names import ROLE

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(0).standard_normal((2, 5, 8)).astype("float32")
AS_NAMED, EXCHANGED = (0, 1, 2), (1, 0, 2)

PACKED = {"qkv": 3}
QUERY_AND_KEY = {"qk": 2, "v": 1}
KEY_AND_VALUE = {"q": 1, "kv": 2}
APART = {"to_q": 1, "to_k": 1, "to_v": 1}
FLAT = {"q0": 1, "k0": 1, "v0": 1}
UNNAMED = {"one": 1, "two": 1, "three": 1}


def _attention(lib: Any, base: Any, held: dict[str, int], order: tuple[int, ...]) -> Any:
    """An attention of two heads whose layers hold so many of query, key and value each."""

    def heads(value: Any) -> Any:
        return _axes(lib, value.reshape([2, 5, 2, 4]), (0, 2, 1, 3))

    class Attention(base):
        def __init__(self) -> None:
            super().__init__()
            for name, count in held.items():
                setattr(self, name, lib.nn.Linear(8, 8 * count))

        def forward(self, x: Any) -> Any:
            results = [getattr(self, name)(x).chunk(count, -1) for name, count in held.items()]
            parts = [heads(part) for result in results for part in result]
            query, key, value = (parts[place] for place in order)
            scores = lib.matmul(query, _axes(lib, key, (0, 1, 3, 2))) * 0.5
            mixed = lib.matmul(lib.nn.functional.softmax(scores, -1), value)
            return _axes(lib, mixed, (0, 2, 1, 3)).reshape([2, 5, 8])

    return Attention().eval()


def _axes(lib: Any, value: Any, axes: tuple[int, ...]) -> Any:
    return value.permute(*axes) if lib is torch else value.transpose(list(axes))


def _compared(
    port: dict[str, int],
    reference: dict[str, int],
    order: tuple[int, ...],
    copied: Callable[..., None] | None = None,
) -> pg.Report:
    layer = _attention(paddle, paddle.nn.Layer, port, order)
    module = _attention(torch, torch.nn.Module, reference, AS_NAMED)
    if copied is not None:
        copied(layer, module)
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    return pg.compare(layer, module, inputs, auto_weights=copied is None, options=STRICT)


@pytest.mark.parametrize(
    ("port", "reference", "kind"),
    [
        (APART, PACKED, "weights.parts_turned"),
        (PACKED, APART, "weights.parts_turned"),
        (KEY_AND_VALUE, PACKED, "weights.parts_turned"),
        (QUERY_AND_KEY, PACKED, "weights.shuffled"),
        (PACKED, QUERY_AND_KEY, "weights.shuffled"),
        (APART, QUERY_AND_KEY, "weights.parts_turned"),
    ],
)
@pytest.mark.parametrize("order", [AS_NAMED, EXCHANGED])
def test_query_and_key_exchanged_are_told_where_weights_are_copied(
    port: dict[str, int], reference: dict[str, int], kind: str, order: tuple[int, ...]
) -> None:
    report = _compared(port, reference, order)
    told = [(finding.verdict, finding.cause_id) for finding in report.findings]
    assert report.passed
    assert told == ([] if order == AS_NAMED else [("suspicious", kind)])
    assert ("order of their own" in str(report_headline(report))) is (order == EXCHANGED)


@pytest.mark.parametrize("order", [AS_NAMED, EXCHANGED])
def test_roles_are_known_by_other_names(order: tuple[int, ...]) -> None:
    report = _compared(FLAT, APART, order)
    told = [(found.verdict, found.cause_id, found.places) for found in report.findings]
    places = (("q0", "to_k"), ("k0", "to_q"))
    assert report.passed
    exchanged = [("suspicious", "parameter.exchanged", places)]
    assert told == ([] if order == AS_NAMED else exchanged)


def test_the_parts_are_named_as_they_stand() -> None:
    (found,) = _compared(APART, PACKED, EXCHANGED).findings
    assert "qkv.weight of the torch model holds to_k.weight, to_q.weight" in found.cause
    assert found.places == (("to_k", "qkv"), ("to_q", "qkv"), ("to_v", "qkv"))


def test_names_that_say_no_role_are_not_told() -> None:
    report = _compared(UNNAMED, PACKED, EXCHANGED)
    assert report.passed and not report.findings


@pytest.mark.parametrize("order", [AS_NAMED, EXCHANGED])
def test_weights_of_ones_own_are_told_at_their_place(order: tuple[int, ...]) -> None:
    def copied(layer: Any, module: Any) -> None:
        theirs = dict(module.named_parameters())
        for name, own in layer.named_parameters():
            place = list(APART).index(name.split(".")[0])
            part = theirs[f"qkv.{name.split('.')[1]}"].detach().numpy()[8 * place : 8 * place + 8]
            own.set_value(np.ascontiguousarray(part.T))

    report = _compared(APART, PACKED, order, copied)
    failing = [(found.cause_id, found.paddle_path) for found in report.findings if found.fails]
    assert report.passed is (order == AS_NAMED)
    assert failing == ([] if order == AS_NAMED else [("weights.swapped", "to_q")])


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("attn.to_q.weight", "q"),
        ("attn.wk", "k"),
        ("self.query.dense.weight", "query"),
        ("kv_proj.weight", "kv"),
        ("Wqkv.weight", None),
        ("quick.weight", None),
        ("tok.weight", None),
    ],
)
def test_words_for_roles(name: str, role: str | None) -> None:
    found = ROLE.findall(name)
    assert found == ([] if role is None else [role])
