"""The LayerMap as a YAML file that a person can read and edit.

Module rows by dotted path; parameter rows with shapes and the transform in words. Where the words
are one of "identity", "transpose" and "reshape" they are the transform; where they say more,
`pieces` holds it exactly: which elements of the second model's tensors, by shape and strides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import yaml

from padiff_graph.alignment.correspondence import GIVEN, ModuleRow, ParameterEntry
from padiff_graph.capture.normal.index_map import View
from padiff_graph.errors import UsageError
from padiff_graph.layer_map.map_fields import (
    Shape,
    check_keys,
    members,
    name_of,
    names_of,
    section,
    shape_of,
    text_of,
    told,
)
from padiff_graph.layer_map.transform_rows import (
    piece_in,
    piece_out,
    said_by_words,
    view_by_words,
)
from padiff_graph.layer_map.yaml_text import plain_yaml
from padiff_graph.matching.result import ParameterRow, Piece

__all__ = ["Stored", "dump", "parse"]

FORMAT = 1
HEAD = (
    "# PaDiff-Graph layer map. Rows may be edited, added and taken out.\n"
    "# modules: which sub-model corresponds to which; "
    "`compare: output` compares the two at their output only.\n"
    "# parameters: where each parameter of the first model comes from. "
    "`transform` is identity, transpose or\n"
    "#   reshape, or words explained by `pieces` "
    "(elements of the second model's tensors, by shape and strides).\n"
)
STATUS = ("mapped", "neutral", "unread", "open")
PARAMETER_KEYS = {
    "torch",
    "dtype",
    "status",
    "transform",
    "pieces",
    "confidence",
    "reason",
    "proved",
}
"""Entries that a parameter row may have."""


@dataclass(frozen=True)
class Stored:
    """What a file holds."""

    modules: tuple[ModuleRow, ...] = ()
    parameters: tuple[ParameterEntry, ...] = ()
    ignored_outputs: tuple[str, ...] = ()
    ignored_below: tuple[str, ...] = ()
    ignored_classes: tuple[tuple[str, str], ...] = ()
    models: tuple[str, str] = ("", "")
    unused_second: tuple[str, ...] = ()


def dump(stored: Stored) -> str:
    """The file's text."""
    content: dict[str, Any] = {"format": FORMAT}
    if any(stored.models):
        content["models"] = {"paddle": stored.models[0], "torch": stored.models[1]}
    content["modules"] = [_module_out(row) for row in stored.modules]
    content["parameters"] = [_parameter_out(entry) for entry in stored.parameters]
    if stored.unused_second:
        content["unused"] = {"torch": list(stored.unused_second)}
    ignored = {
        "outputs": list(stored.ignored_outputs),
        "recursively": list(stored.ignored_below),
        "classes": [{"below": path, "class": name} for path, name in stored.ignored_classes],
    }
    if any(ignored.values()):
        content["ignore"] = {kind: rows for kind, rows in ignored.items() if rows}
    return HEAD + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=200)


def parse(text: str, where: str = "the layer map") -> Stored:
    """Reads a file's text.

    Raises:
        UsageError: naming the row and what is wrong with it.
    """
    content = _content(text, where)
    models = section(content, "models", {"paddle", "torch"}, where)
    ignored = section(content, "ignore", {"outputs", "recursively", "classes"}, where)
    unused = section(content, "unused", {"torch"}, where)
    return Stored(
        _modules_in(members(content, "modules", where), where),
        _parameters_in(members(content, "parameters", where), where),
        names_of(ignored, "outputs", f"{where}, ignore"),
        names_of(ignored, "recursively", f"{where}, ignore"),
        tuple(
            _class_in(row, f"{where}, ignore, classes")
            for row in members(ignored, "classes", f"{where}, ignore")
        ),
        (text_of(models, "paddle", "", where), text_of(models, "torch", "", where)),
        names_of(unused, "torch", f"{where}, unused"),
    )


def _content(text: str, where: str) -> Mapping[str, Any]:
    """The file's entries, which this version must know."""
    content = plain_yaml(text, where)
    if content.get("format", FORMAT) != FORMAT:
        raise UsageError(
            f"{where}: format {told(content['format'])} is not known here; "
            f"this version reads format {FORMAT}"
        )
    unknown = set(content) - {"format", "models", "modules", "parameters", "ignore", "unused"}
    if unknown:
        raise UsageError(
            f"{where}: unknown entries {sorted(map(str, unknown))}; "
            "known are modules, parameters, ignore, models, unused"
        )
    return content


def _class_in(row: Any, where: str) -> tuple[str, str]:
    check_keys(row, {"class"}, {"below"}, where)
    return name_of(row.get("below"), where), name_of(row["class"], where)


# -- modules


def _module_out(row: ModuleRow) -> dict[str, Any]:
    out: dict[str, Any] = {"paddle": row.paddle_path, "torch": row.torch_path}
    if row.output_only:
        out["compare"] = "output"
    out["confidence"] = round(row.confidence, 4)
    out["reason"] = row.reason
    if row.alternatives:
        out["alternatives"] = list(row.alternatives)
    return out


def _modules_in(rows: list[Any], where: str) -> tuple[ModuleRow, ...]:
    places = [f"{where}, module row {number}" for number in range(1, len(rows) + 1)]
    read = tuple(_module_in(row, place) for row, place in zip(rows, places, strict=True))
    known: dict[str, str] = {}
    for row, place in zip(read, places, strict=True):
        other = known.setdefault(row.paddle_path, row.torch_path)
        if other != row.torch_path:
            raise UsageError(
                f"{place}: {told(row.paddle_path)} is paired with {told(other)} above and with "
                f"{told(row.torch_path)} here; the rows contradict each other; keep one"
            )
    return read


def _module_in(row: Any, where: str) -> ModuleRow:
    check_keys(row, {"paddle", "torch"}, {"compare", "confidence", "reason", "alternatives"}, where)
    if row.get("compare", "all") not in ("output", "all"):
        raise UsageError(f"{where}: compare is 'output' or 'all', found {told(row['compare'])}")
    return ModuleRow(
        name_of(row["paddle"], where),
        name_of(row["torch"], where),
        _confidence(row, where),
        text_of(row, "reason", GIVEN, where),
        names_of(row, "alternatives", where),
        row.get("compare") == "output",
    )


# -- parameters


def _parameter_out(entry: ParameterEntry) -> dict[str, Any]:
    row = entry.row
    shapes: dict[str, Any] = {"paddle": list(entry.shape)}
    out: dict[str, Any] = {"paddle": row.first}
    if row.pieces:
        names = entry.torch_name
        if isinstance(names, str):
            out["torch"] = names
            shapes["torch"] = list(entry.seconds[names])
        else:
            out["torch"] = list(names)
            shapes["torch"] = [list(entry.seconds[name]) for name in names]
    out["shapes"] = shapes
    out["dtype"] = entry.dtype
    if row.status != "mapped":
        out["status"] = row.status
    if row.pieces:
        out["transform"] = row.transform
        if not said_by_words(entry):
            out["pieces"] = [piece_out(piece) for piece in row.pieces]
    out["confidence"] = round(row.confidence, 4)
    out["reason"] = row.reason
    if row.proved:
        out["proved"] = True
    return out


def _parameters_in(rows: list[Any], where: str) -> tuple[ParameterEntry, ...]:
    entries: dict[str, ParameterEntry] = {}
    for number, row in enumerate(rows, 1):
        place = f"{where}, parameter row {number}"
        entry = _parameter_in(row, place)
        if entry.paddle_name in entries:
            raise UsageError(f"{place}: {entry.paddle_name} has a row already")
        entries[entry.paddle_name] = entry
    return tuple(entries.values())


def _parameter_in(row: Any, where: str) -> ParameterEntry:
    check_keys(row, {"paddle", "shapes"}, PARAMETER_KEYS, where)
    name = name_of(row["paddle"], where)
    where = f"{where} ({name})"
    shapes = row["shapes"]
    if not isinstance(shapes, Mapping) or "paddle" not in shapes:
        raise UsageError(
            f"{where}: shapes is {{paddle: [...], torch: [...]}}, found {told(shapes)}"
        )
    shape = shape_of(shapes["paddle"], where)
    status = row.get("status", "mapped")
    if status not in STATUS:
        raise UsageError(f"{where}: status is one of {', '.join(STATUS)}; found {told(status)}")
    seconds = _seconds(row.get("torch"), shapes.get("torch", []), where)
    if not seconds and status == "mapped":
        raise UsageError(f"{where}: torch is missing; name what it comes from, or its status")
    words = text_of(row, "transform", "identity" if seconds else "", where)
    parameter = ParameterRow(
        name,
        _pieces(row, words, shape, seconds, where),
        words,
        _confidence(row, where),
        text_of(row, "reason", GIVEN, where),
        cast(Literal["mapped", "neutral", "unread", "open"], status),
        row.get("proved") is True,
    )
    return ParameterEntry(parameter, shape, text_of(row, "dtype", "float32", where), seconds)


def _seconds(names: Any, shapes: Any, where: str) -> dict[str, Shape]:
    """The second model's parameters of a row with their shapes; a single one may stand bare."""
    if names is None:
        return {}
    if not isinstance(names, list):
        names = [names]
    names = [name_of(name, where) for name in names]
    if not isinstance(shapes, list):
        raise UsageError(f"{where}: a shape is a list of numbers, found {told(shapes)}")
    if len(names) == 1 and not (shapes and isinstance(shapes[0], list)):
        shapes = [shapes]
    if len(shapes) != len(names) or len(set(names)) != len(names):
        raise UsageError(
            f"{where}: expected a torch shape for each of {told(names)}, found {told(shapes)}"
        )
    return {name: shape_of(shape, where) for name, shape in zip(names, shapes, strict=True)}


def _pieces(
    row: Mapping[str, Any], words: str, shape: Shape, seconds: Mapping[str, Shape], where: str
) -> tuple[Piece, ...]:
    pieces = members(row, "pieces", where)
    if pieces:
        return tuple(piece_in(piece, shape, seconds, where) for piece in pieces)
    if len(seconds) > 1:
        raise UsageError(f"{where}: a parameter made of several needs pieces")
    return tuple(
        Piece(name, View.of(shape), view_by_words(words, shape, second, where))
        for name, second in seconds.items()
    )


# -- small things


def _confidence(row: Mapping[str, Any], where: str) -> float:
    value = row.get("confidence", 1.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UsageError(f"{where}: confidence is a number from 0 to 1, found {told(value)}")
    return float(value)


class _Dumper(yaml.SafeDumper):
    """Writes lists of numbers in one line, and every value where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        """Nothing is shared."""
        return True


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    flat = not any(isinstance(member, (dict, str)) for member in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flat)


_Dumper.add_representer(list, _list)
