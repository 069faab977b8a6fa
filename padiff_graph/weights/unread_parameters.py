"""Parameters that neither run reads: a checkpoint holds them, and no comparison of values says
anything of them but whether they are the same numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.parameters.siblings import AS_SIBLINGS
from padiff_graph.report.unread_parameter import UnreadParameter
from padiff_graph.weights.same_numbers import in_axis_orders, same_numbers

__all__ = ["unread_note", "unread_parameters"]

SHOWN = 6
"""Most parameters that the note names; the report holds them all."""
WORDS = {True: "the same numbers", False: "other numbers"}


def unread_parameters(alignment: Alignment) -> tuple[UnreadParameter, ...]:
    """The parameters that neither computation reads, as both models hold them now.

    They correspond by name, or by name within modules that correspond. What one reads for no rows
    at all, and the other not, is one of them.
    """
    ours, theirs = map(_unread, (alignment.matching.first, alignment.matching.second))
    idle = _read_for_no_rows(alignment)
    infos = alignment.matching.first.graph.parameters
    ours |= {name: tuple(infos[name].type.shape) for name in idle}
    pairs = dict(_paired(alignment, ours, theirs)) if ours and theirs else {}
    pairs |= idle
    held = _Arrays(alignment.first_engine), _Arrays(alignment.second_engine)
    told = []
    for name, shape in ours.items():
        other = pairs.get(name, "")
        equal = _equal(held[0][name], held[1][other]) if other else None
        told.append(UnreadParameter(name, other, shape, equal))
    left = [name for name in theirs if name not in pairs.values()]
    return (*told, *(UnreadParameter("", name, theirs[name], None) for name in left))


def _read_for_no_rows(alignment: Alignment) -> dict[str, str]:
    """What one model alone reads, by the name in the second: an expert that no row chose."""
    return {
        row.first: row.pieces[0].second
        for row in alignment.matching.parameters
        if row.reason == AS_SIBLINGS
    }


def unread_note(parameters: tuple[UnreadParameter, ...], frameworks: tuple[str, str]) -> str:
    """What a report's notes say of them; "" where there are none."""
    if not parameters:
        return ""
    named = [_words(parameter, frameworks) for parameter in parameters[:SHOWN]]
    more = len(parameters) - SHOWN
    rest = [f"{more} more in report.unread"] if more > 0 else []
    return f"parameters that neither run reads: {'; '.join([*named, *rest])}"


def _words(parameter: UnreadParameter, frameworks: tuple[str, str]) -> str:
    first, second = parameter.first, parameter.second
    if parameter.equal is None:
        return f"{first or second} (in {frameworks[0] if first else frameworks[1]} alone)"
    name = first if first == second else f"{first} | {second}"
    return f"{name} ({WORDS[parameter.equal]})"


def _unread(normal: NormalGraph) -> dict[str, tuple[int, ...]]:
    """Shapes by first name of what the model calls a parameter and its computation leaves out."""
    infos, missing = normal.graph.parameters, set(normal.unread)
    return {
        name: tuple(info.type.shape)
        for name, info in infos.items()
        if not info.buffer and not missing.isdisjoint((name, *info.aliases))
    }


def _paired(
    alignment: Alignment, ours: Mapping[str, object], theirs: Mapping[str, object]
) -> Iterator[tuple[str, str]]:
    modules = {row.paddle_path: row.torch_path for row in alignment.module_rows()}
    first, second = (side.graph.parameters for side in _sides(alignment))
    by_name = {alias: name for name in theirs for alias in (name, *second[name].aliases)}
    taken: set[str] = set()
    for name in ours:
        spellings = [each for own in (name, *first[name].aliases) for each in _names(own, modules)]
        other = next((by_name[each] for each in spellings if each in by_name), None)
        if other is not None and other not in taken:
            taken.add(other)
            yield name, other


def _sides(alignment: Alignment) -> tuple[NormalGraph, NormalGraph]:
    return alignment.matching.first, alignment.matching.second


def _names(name: str, modules: Mapping[str, str]) -> Iterator[str]:
    """The name, then what it would be in the counterpart of each module around it, innermost
    first."""
    yield name
    parts = name.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        around = modules.get(".".join(parts[:depth]))
        if around is not None:
            yield ".".join([*filter(None, [around]), *parts[depth:]])


def _equal(first: Array, second: Array) -> bool:
    return any(same_numbers(first, turned) for turned in in_axis_orders(second, first.shape))


class _Arrays:
    """A model's numbers by name, read when they are asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._own = engine, engine.parameters()

    def __getitem__(self, name: str) -> Array:
        return self._engine.array(self._own[name])
