"""The LayerMap as a YAML file that a person can read and edit.

Module rows by dotted path; parameter rows with shapes and the transform in words. Where the words are
one of "identity", "transpose" and "reshape" they are the transform; where they say more, `pieces`
holds it exactly: which elements of the second model's tensors, by shape and strides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import yaml

from padiff_graph.alignment.correspondence import ModuleRow, ParameterEntry
from padiff_graph.capture.normal.index_map import Stage, View
from padiff_graph.errors import UsageError
from padiff_graph.matching.result import ParameterRow, Piece

__all__ = ["Stored", "dump", "parse"]

FORMAT = 1
HEAD = """\
# PaDiff-Graph layer map. Rows may be edited, added and taken out.
# modules: which sub-model corresponds to which; `compare: output` compares the two at their output only.
# parameters: where each parameter of the first model comes from. `transform` is identity, transpose or
#   reshape, or words explained by `pieces` (elements of the second model's tensors, by shape and strides).
"""
STATUS = ("mapped", "neutral", "unread", "open")


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
    ignore: dict[str, Any] = {}
    if stored.ignored_outputs:
        ignore["outputs"] = list(stored.ignored_outputs)
    if stored.ignored_below:
        ignore["recursively"] = list(stored.ignored_below)
    if stored.ignored_classes:
        ignore["classes"] = [
            {"below": path, "class": name} for path, name in stored.ignored_classes
        ]
    if ignore:
        content["ignore"] = ignore
    return HEAD + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=200)


def parse(text: str, where: str = "the layer map") -> Stored:
    """Reads a file's text.

    Raises:
        UsageError: naming the row and what is wrong with it.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{where} is no YAML: {error}") from None
    if not isinstance(content, Mapping):
        raise UsageError(
            f"{where}: expected a mapping with modules and parameters, found {type(content).__name__}"
        )
    if content.get("format", FORMAT) != FORMAT:
        raise UsageError(
            f"{where}: format {content['format']!r} is not known here; this version reads format {FORMAT}"
        )
    unknown = set(content) - {"format", "models", "modules", "parameters", "ignore", "unused"}
    if unknown:
        raise UsageError(
            f"{where}: unknown entries {sorted(unknown)}; known are modules, parameters, ignore, models, unused"
        )
    models = content.get("models") or {}
    ignore = content.get("ignore") or {}
    return Stored(
        tuple(
            _module_in(row, f"{where}, module row {number}")
            for number, row in enumerate(content.get("modules") or [], 1)
        ),
        tuple(
            _parameter_in(row, f"{where}, parameter row {number}")
            for number, row in enumerate(content.get("parameters") or [], 1)
        ),
        tuple(ignore.get("outputs") or ()),
        tuple(ignore.get("recursively") or ()),
        tuple(
            (str(row.get("below", "")), str(row["class"])) for row in ignore.get("classes") or ()
        ),
        (str(models.get("paddle", "")), str(models.get("torch", ""))),
        tuple((content.get("unused") or {}).get("torch") or ()),
    )


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


def _module_in(row: Any, where: str) -> ModuleRow:
    _keys(row, {"paddle", "torch"}, {"compare", "confidence", "reason", "alternatives"}, where)
    if row.get("compare", "all") not in ("output", "all"):
        raise UsageError(f"{where}: compare is 'output' or 'all', found {row['compare']!r}")
    return ModuleRow(
        str(row["paddle"] or ""),
        str(row["torch"] or ""),
        _confidence(row, where),
        str(row.get("reason", "given by the user")),
        tuple(row.get("alternatives") or ()),
        row.get("compare") == "output",
    )


# -- parameters


def _parameter_out(entry: ParameterEntry) -> dict[str, Any]:
    row = entry.row
    out: dict[str, Any] = {"paddle": row.first}
    names = entry.torch_name
    if row.pieces:
        out["torch"] = names if isinstance(names, str) else list(names)
        seconds = [
            list(entry.seconds[name]) for name in ((names,) if isinstance(names, str) else names)
        ]
        out["shapes"] = {
            "paddle": list(entry.shape),
            "torch": seconds[0] if isinstance(names, str) else seconds,
        }
    else:
        out["shapes"] = {"paddle": list(entry.shape)}
    out["dtype"] = entry.dtype
    if row.status != "mapped":
        out["status"] = row.status
    if row.pieces:
        out["transform"] = row.transform
        if not _plain(entry):
            out["pieces"] = [
                {
                    "of": piece.second,
                    "into": _view_out(piece.first_view),
                    "from": _view_out(piece.second_view),
                }
                for piece in row.pieces
            ]
    out["confidence"] = round(row.confidence, 4)
    out["reason"] = row.reason
    if row.proved:
        out["proved"] = True
    return out


def _parameter_in(row: Any, where: str) -> ParameterEntry:
    _keys(
        row,
        {"paddle", "shapes"},
        {"torch", "dtype", "status", "transform", "pieces", "confidence", "reason", "proved"},
        where,
    )
    name = str(row["paddle"])
    where = f"{where} ({name})"
    shapes = row["shapes"]
    if not isinstance(shapes, Mapping) or "paddle" not in shapes:
        raise UsageError(f"{where}: shapes is {{paddle: [...], torch: [...]}}, found {shapes!r}")
    shape = _shape(shapes["paddle"], where)
    status = row.get("status", "mapped")
    if status not in STATUS:
        raise UsageError(f"{where}: status is one of {', '.join(STATUS)}; found {status!r}")
    names = row.get("torch")
    several = isinstance(names, Sequence) and not isinstance(names, str)
    listed = [str(one) for one in names] if several else [] if names is None else [str(names)]
    given = shapes.get("torch", [])
    if len(listed) == 1 and not (given and isinstance(given[0], Sequence)):
        given = [given]
    if len(given) != len(listed) and listed:
        raise UsageError(f"{where}: expected a torch shape for each of {listed}, found {given!r}")
    seconds = {one: _shape(extents, where) for one, extents in zip(listed, given, strict=False)}
    words = str(row.get("transform", "identity" if listed else ""))
    if row.get("pieces"):
        pieces = tuple(_piece_in(piece, shape, seconds, where) for piece in row["pieces"])
    elif len(listed) == 1:
        pieces = (
            Piece(listed[0], View.of(shape), _by_words(words, shape, seconds[listed[0]], where)),
        )
    elif listed:
        raise UsageError(f"{where}: a parameter made of several needs pieces")
    else:
        pieces = ()
    made = ParameterRow(
        name,
        pieces,
        words,
        _confidence(row, where),
        str(row.get("reason", "given by the user")),
        cast(Literal["mapped", "neutral", "unread", "open"], status),
        bool(row.get("proved", False)),
    )
    return ParameterEntry(made, shape, str(row.get("dtype", "float32")), seconds)


def _plain(entry: ParameterEntry) -> bool:
    """Whether words alone say the transform."""
    if len(entry.row.pieces) != 1:
        return False
    piece = entry.row.pieces[0]
    other = entry.seconds[piece.second]
    if not piece.first_view.identity or piece.second_view.size != math.prod(other):
        return False
    words = entry.row.transform.split()[0].rstrip(",") if entry.row.transform else ""
    if words not in ("identity", "transpose", "reshape") or (
        words == "transpose" and entry.row.transform != "transpose"
    ):
        return False
    return _by_words(entry.row.transform, entry.shape, other, entry.row.first).same(
        piece.second_view
    )


def _by_words(words: str, shape: tuple[int, ...], other: tuple[int, ...], where: str) -> View:
    size = math.prod(shape)
    if math.prod(other) != size:
        raise UsageError(
            f"{where}: {list(other)} has {math.prod(other)} elements and {list(shape)} {size}; a part needs pieces"
        )
    kind = words.split()[0].rstrip(",") if words else "identity"
    if kind == "identity" or kind == "reshape":
        if kind == "identity" and shape != other:
            raise UsageError(
                f"{where}: identity between {list(other)} and {list(shape)}; write reshape or transpose"
            )
        return View.of(other).reshape(shape)
    if kind == "transpose":
        turned = View.of(other).transpose(tuple(reversed(range(len(other)))))
        if tuple(extent for extent in turned.shape if extent != 1) != tuple(
            extent for extent in shape if extent != 1
        ):
            raise UsageError(
                f"{where}: {list(other)} transposed is {list(turned.shape)}, expected {list(shape)}"
            )
        return turned.reshape(shape)
    raise UsageError(
        f"{where}: the transform {words!r} needs pieces; by words alone there are identity, transpose and reshape"
    )


def _piece_in(
    piece: Any, shape: tuple[int, ...], seconds: Mapping[str, tuple[int, ...]], where: str
) -> Piece:
    _keys(piece, {"of", "into", "from"}, set(), f"{where}, pieces")
    name = str(piece["of"])
    if name not in seconds:
        raise UsageError(
            f"{where}: a piece is of {name}, which is not among torch: {sorted(seconds)}"
        )
    into = _view_in(piece["into"], math.prod(shape), where)
    out = _view_in(piece["from"], math.prod(seconds[name]), where)
    if into.size != out.size:
        raise UsageError(f"{where}: a piece puts {out.size} elements into {into.size} places")
    return Piece(name, into, out)


# -- views


def _view_out(view: View) -> dict[str, Any]:
    if not view.stages:
        return {"shape": list(view.shape)}
    return {
        "shape": list(view.shape),
        "steps": [
            {
                "shape": list(stage.shape),
                "strides": [
                    list(step) if isinstance(step, tuple) else step for step in stage.steps
                ],
                "start": stage.offset,
            }
            for stage in view.stages
        ],
    }


def _view_in(written: Any, source: int, where: str) -> View:
    _keys(written, {"shape"}, {"steps"}, f"{where}, view")
    stages = tuple(
        Stage(
            tuple(stage["shape"]),
            tuple(
                tuple(step) if isinstance(step, Sequence) else int(step)
                for step in stage["strides"]
            ),
            int(stage.get("start", 0)),
        )
        for stage in written.get("steps") or ()
    )
    shape = tuple(int(extent) for extent in written["shape"])
    view = View(source, shape, stages)
    if (stages and math.prod(stages[-1].shape) != math.prod(shape)) or (
        not stages and math.prod(shape) != source
    ):
        raise UsageError(
            f"{where}: a view of {source} elements cannot have shape {list(shape)} by these steps"
        )
    ends = _ends(stages[0]) if stages else (0, source - 1)
    if math.prod(shape) and (ends[0] < 0 or ends[1] >= source):
        raise UsageError(f"{where}: a view reads elements {ends[0]} to {ends[1]} of {source}")
    return view


def _ends(stage: Stage) -> tuple[int, int]:
    low = high = stage.offset
    for extent, step in zip(stage.shape, stage.steps, strict=True):
        reach = (
            (min(step), max(step))
            if isinstance(step, tuple)
            else (min(0, step * (extent - 1)), max(0, step * (extent - 1)))
        )
        low, high = low + reach[0], high + reach[1]
    return low, high


# -- small things


def _keys(row: Any, needed: set[str], allowed: set[str], where: str) -> None:
    if not isinstance(row, Mapping):
        raise UsageError(f"{where}: expected a mapping, found {row!r}")
    missing, unknown = needed - set(row), set(row) - needed - allowed
    if missing:
        raise UsageError(
            f"{where}: {', '.join(sorted(missing))} is missing; found {', '.join(map(str, row))}"
        )
    if unknown:
        raise UsageError(
            f"{where}: unknown entries {', '.join(sorted(map(str, unknown)))}; known are {', '.join(sorted(needed | allowed))}"
        )


def _confidence(row: Mapping[str, Any], where: str) -> float:
    value = row.get("confidence", 1.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UsageError(f"{where}: confidence is a number from 0 to 1, found {value!r}")
    return float(value)


def _shape(written: Any, where: str) -> tuple[int, ...]:
    if (
        not isinstance(written, Sequence)
        or isinstance(written, str)
        or not all(isinstance(extent, int) and extent >= 0 for extent in written)
    ):
        raise UsageError(f"{where}: a shape is a list of numbers, found {written!r}")
    return tuple(written)


class _Dumper(yaml.SafeDumper):
    """Writes lists of numbers in one line."""


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    flat = not any(isinstance(member, (dict, str)) for member in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flat)


_Dumper.add_representer(list, _list)
