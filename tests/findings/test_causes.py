"""The list of causes is closed, every kind has a sentence and a line in the documentation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from padiff_graph.capture.normal.operator_table import OPERATORS
from padiff_graph.capture.paddle import optimizer as paddle_optimizer
from padiff_graph.capture.torch import optimizer as torch_optimizer
from padiff_graph.diagnosis.merging import merged
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.cause_kinds import KINDS, SETTINGS, cause_id, setting_kind
from padiff_graph.findings.cause_sentences import sentence
from padiff_graph.findings.finding import Finding
from padiff_graph.findings.sentences import DEEDS, MOVES, SENTENCES
from padiff_graph.report.report_json import report_schema
from tests.docs.causes_page import PAGE, page

ROOT = Path(__file__).resolve().parents[2]
ID = re.compile(r"[a-z]+(\.[a-z0-9_]+)?")
MAKERS = {"of": 0, "attribute_difference": 1, "built_differently": 1}
"""Functions that are given a cause's id -> the position of the argument."""


def literals(node: ast.expr) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def ids_in_code() -> Iterator[tuple[str, Path]]:
    """Ids that code makes causes of, as far as they are written out."""
    for folder in ("matching", "padiff_graph"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                owner = getattr(getattr(node.func, "value", None), "id", "")
                at = MAKERS.get(name, len(node.args))
                if at >= len(node.args) or (name == "of" and owner != "Cause"):
                    continue
                if not isinstance(node.args[at], ast.Constant | ast.IfExp):
                    continue
                for word in literals(node.args[at]):
                    yield word, path


def test_ids_in_code_are_in_the_list() -> None:
    used = list(ids_in_code())
    assert len(used) > 50
    assert not [(word, path.name) for word, path in used if word not in KINDS]


@pytest.mark.parametrize("name", KINDS)
def test_kind_is_named_and_rendered(name: str) -> None:
    kind = KINDS[name]
    assert ID.fullmatch(name) and kind.id == kind.example.kind == name
    for frameworks in (("paddle", "torch"), ("torch", "torch")):
        told = sentence(kind.example, frameworks)
        assert told and "{" not in told


def test_sentences_and_kinds_are_the_same_list() -> None:
    families = {name.partition(".")[0] for name in KINDS}
    assert not [name for name in SENTENCES if name not in KINDS and name not in families]
    assert KINDS.keys() >= DEEDS.keys() | MOVES.keys()


def test_every_attribute_and_setting_has_a_kind() -> None:
    attributes = {name for operator in OPERATORS.values() for name in operator.attributes}
    assert all(f"attribute.{name}" in KINDS for name in attributes)
    settings = {*torch_optimizer.SETTINGS.values(), *paddle_optimizer.SETTINGS.values()}
    assert settings <= set(SETTINGS)
    assert setting_kind("weight decay") == "optimizer.weight_decay"
    assert setting_kind("unheard of") == "optimizer.setting"


def test_page_is_the_list() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.docs.causes_page"


def test_schema_knows_every_id() -> None:
    properties = report_schema()["$defs"]["finding"]["properties"]
    assert properties["cause_id"]["enum"] == sorted(KINDS)


def test_models_are_named_by_their_frameworks() -> None:
    cause = Cause.of("values.scaled", factor=2.0)
    assert sentence(cause, ("paddle", "torch")) == "the Paddle side is torch's times 2"
    assert sentence(cause, ("onnx", "torch")) == "the ONNX side is torch's times 2"
    assert sentence(cause, ("torch", "torch")) == "the first side is the second's times 2"


def test_what_numbers_show_is_the_id_where_nothing_else_is_known() -> None:
    plain = KINDS["values.differ"].example
    seen = Cause.of("values.negated")
    assert cause_id(plain) == "values.differ"
    assert cause_id(plain.showing(seen)) == "values.negated"
    assert cause_id(KINDS["operation.missing"].example.showing(seen)) == "operation.missing"


def test_a_cause_without_its_facts_is_refused() -> None:
    with pytest.raises(KeyError, match=r"values\.scaled|factor"):
        sentence(Cause.of("values.scaled"))


def gradient(module: str, factor: float, op: str = "aten.linear", order: int = 0) -> Finding:
    names = {"first_name": f"{module}.weight", "second_name": f"{module}.weight"}
    cause = Cause.of("gradient.differs", **names).showing(
        Cause.of("gradient.scaled", factor=factor)
    )
    return Finding(
        "backward",
        "different",
        cause,
        module,
        module,
        torch_op=op,
        error=factor,
        places=((module, module),),
        order=order,
    )


def test_one_cause_at_several_places_is_one_finding_at_the_most_upstream() -> None:
    (found,) = merged(
        [gradient("blocks.1.fc", 0.5, order=2), gradient("blocks.0.fc", 0.25, order=1)]
    )
    assert (found.paddle_path, found.error) == ("blocks.0.fc", 0.5)
    assert found.places == (("blocks.0.fc", "blocks.0.fc"), ("blocks.1.fc", "blocks.1.fc"))


def test_other_operators_kinds_or_sides_are_other_causes() -> None:
    first = gradient("a", 0.5)
    other_kind = replace(first, reason=first.reason.showing(Cause.of("gradient.reversed")))
    assert len(merged([first, gradient("b", 0.5, "aten.convolution"), other_kind])) == 3
    zeros = [replace(first, reason=Cause.of("values.zero", side=side)) for side in (0, 1)]
    assert len(merged(zeros)) == 2


def test_what_is_not_explained_stays_apart() -> None:
    plain = replace(gradient("a", 0.5), reason=KINDS["values.differ"].example)
    assert len(merged([plain, replace(plain, paddle_path="b")])) == 2
    assert len(merged([replace(plain, verdict="rounding")] * 2)) == 1
