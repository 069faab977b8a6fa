"""Maps from elsewhere: what they may not hold is refused with its row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml

from padiff_graph import LayerMap, UsageError, convert_state_dict
from padiff_graph.checkpoint.converter_script import script_text


def row(**changes: Any) -> str:
    parameter = {
        "paddle": "p",
        "torch": "t",
        "shapes": {"paddle": [4], "torch": [4]},
        "transform": "identity",
        **changes,
    }
    return yaml.safe_dump({"parameters": [parameter]})


def pieces(*views: dict[str, Any], into: Any = None) -> str:
    held = [{"of": "t", "into": into or {"shape": [4]}, "from": view} for view in views]
    return row(transform="as said", pieces=held)


def steps(shape: Any, strides: Any, start: Any = 0) -> dict[str, Any]:
    return {"shape": [4], "steps": [{"shape": shape, "strides": strides, "start": start}]}


def test_turned_by_a_stride_or_a_table() -> None:
    source = {"t": np.arange(4.0)}
    for turned in (steps([4], [-1], 3), steps([4], [[3, 2, 1, 0]])):
        made = convert_state_dict(source, LayerMap.from_yaml(pieces(turned)))
        assert made["p"].tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (pieces(steps([4], [2])), "elements 0 to 6 of 4"),
        (pieces(steps([4], [1], 1)), "elements 1 to 4 of 4"),
        (pieces(steps([4], [-1])), "elements -3 to 0 of 4"),
        (pieces(steps([4], [2**40])), "of 4"),
        (pieces(steps([4], [2**60])), "a stride is a whole number"),
        (pieces(steps([4], [[0, 1, 2, 9]])), "elements 0 to 9 of 4"),
        (pieces(steps([4], [[0, 1]])), "a table of 4 places, found 2"),
        (pieces(steps([4], ["1"])), "a stride is a whole number"),
        (pieces(steps([4], [1, 1])), "a stride for each axis"),
        (pieces(steps([-4], [1])), "a shape is a list of numbers"),
        (pieces(steps([3], [1])), "cannot have shape"),
        (
            pieces({"shape": [4], "steps": [{"shape": [4], "strides": [1]},
                                            {"shape": [4], "strides": [3]}]}),
            "elements 0 to 9 of 4",
        ),
        (row(paddle=1.5), "expected a name"),
        (row(shapes={"paddle": [2.0, 2], "torch": [4]}), "a shape is a list"),
        (row(shapes={"paddle": [True, 4], "torch": [4]}), "a shape is a list"),
        (row(shapes={"paddle": [2**40, 2**40], "torch": [4]}), "a shape is a list"),
        (row(shapes=[4]), "shapes is"),
        (row(torch=["t", "t"], shapes={"paddle": [4], "torch": [[4], [4]]}), "for each of"),
        (row(torch=None), "torch is missing"),
        (row(**{"\n::error::x": 1}), r"unknown entries \\n::error::x; known"),
        (row(reason=["x"]), "reason is a text"),
        (row(pieces={"of": "t"}), "pieces is a list"),
        (row(pieces=["t"]), "expected a mapping"),
        (row(confidence=float("nan")), "from 0 to 1"),
        ("parameters: {a: 1}", "parameters is a list"),
        ("ignore: [1]", "expected a mapping"),
        ("ignore: {classes: [Dropout]}", "expected a mapping"),
        ("a: &a [1]\nmodules: *a", "an alias"),
        ("[" * 5000, "levels deep"),
        ("modules: !!python/name:os.system", "no YAML"),
        ("models: {paddle: 2020-01-01}", "quotes"),
        ("modules: []\nmodules: []", "stands twice"),
        ("format: " + "9" * 5000, "no YAML"),
        ("\x00", "no YAML"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        LayerMap.from_yaml(text)


def half(start: int) -> dict[str, Any]:
    return {"shape": [2], "steps": [{"shape": [2], "strides": [1], "start": start}]}


@pytest.mark.parametrize(
    ("starts", "says"),
    [((0, 2), ""), ((0, 1), "overlap and leave 1"), ((0,), "leave gaps"), ((0, 1, 2), "overlap")],
)
def test_pieces_fill_a_parameter_once(starts: tuple[int, ...], says: str) -> None:
    held = [{"of": "t", "into": half(start), "from": half(0)} for start in starts]
    layer_map = LayerMap.from_yaml(row(transform="halves", pieces=held))
    if not says:
        made = convert_state_dict({"t": np.arange(4.0)}, layer_map)
        assert made["p"].tolist() == [0, 1, 0, 1]
        return
    with pytest.raises(UsageError, match=says):
        convert_state_dict({"t": np.arange(4.0)}, layer_map)
    with pytest.raises(UsageError, match=says):
        script_text(layer_map)


def test_a_parameter_of_two_rows() -> None:
    twice = yaml.safe_load(row())
    twice["parameters"] *= 2
    text = yaml.dump(twice, Dumper=Unshared)
    with pytest.raises(UsageError, match="row 2: p has a row already"):
        LayerMap.from_yaml(text)


class Unshared(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def test_nothing_of_a_map_becomes_code() -> None:
    evil = "x\nimport os\n\"\"\"\nimport sys\n'''\\"
    turned = steps([4], [-1], 3)
    text = yaml.safe_dump(
        {
            "models": {"paddle": evil, "torch": evil},
            "parameters": [
                {
                    "paddle": evil,
                    "torch": evil,
                    "shapes": {"paddle": [4], "torch": [4]},
                    "transform": evil,
                    "pieces": [{"of": evil, "into": {"shape": [4]}, "from": turned}],
                },
                {"paddle": "q" + evil, "shapes": {"paddle": [1]}, "status": "neutral",
                 "reason": evil},
            ],
            "unused": {"torch": ["u" + evil]},
        }
    )  # fmt: skip
    script = script_text(LayerMap.from_yaml(text), evil)
    inside: dict[str, Any] = {"__name__": "converter"}
    exec(compile(script, "converter", "exec"), inside)
    assert script.count("import ") - script.count("\\nimport ") == 6 and "sys" in inside
    made = inside["convert"]({evil: np.arange(4.0)})
    assert made[evil].tolist() == [3, 2, 1, 0]
