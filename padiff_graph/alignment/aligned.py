"""Two models held against each other, as one frozen record that the alignment's steps pass on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from padiff_graph.alignment.correspondence import ModuleRow, ParameterEntry, ResolvedMap
from padiff_graph.alignment.module_rows import module_rows
from padiff_graph.alignment.value_proof import Proof
from padiff_graph.capture.api import Capture
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.complex_weights import shape_of_views
from padiff_graph.matching.parameters.points import Layout
from padiff_graph.matching.parameters.without_counterpart import Values
from padiff_graph.matching.result import Difference, Matching, ParameterRow
from padiff_graph.matching.rungs.hints import Hints

__all__ = ["Alignment", "Known"]


@dataclass(frozen=True)
class Known:
    """What matching starts from besides the graphs.

    Attributes:
        hints: what the user and the inputs say.
        orders: how inputs whose axes stand in another order are laid out, by name in the first
            model.
        values: a parameter's value by name in the first model; None where there are no numbers.
        fixed: parameter rows of the user's map that fit.
        suggested: those that the matcher once found: they fill what it leaves open.
    """

    hints: Hints
    orders: Mapping[str, View]
    values: Values | None
    fixed: Mapping[str, ParameterRow]
    suggested: Mapping[str, ParameterRow]

    def unsuggested(self) -> Known:
        """The same without suggested rows."""
        return replace(self, suggested={})


@dataclass(frozen=True)
class Alignment:
    """Two models held against each other.

    Attributes:
        matching: both normal forms, matches, points, parameter rows.
        first_engine, second_engine: the models' engines.
        captures: both captures, which may still have to be certified.
        resolved: the user's LayerMap by path.
        known: what matching starts from, to match again.
        layout: what followed from the matches.
        differences: what structure says.
        notes: what the user should know, in sentences.
        timings: seconds by step.
        alive: whether both sides have numbers to run on.
        proof: what running showed; None where nothing was run.
        written: whether the first model holds what this map has written.
    """

    matching: Matching
    first_engine: Engine
    second_engine: Engine
    captures: tuple[Capture, Capture]
    resolved: ResolvedMap
    known: Known
    layout: Layout
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    alive: bool = True
    proof: Proof | None = None
    written: bool = False

    @property
    def engines(self) -> tuple[Engine, Engine]:
        """The first model's and the second's."""
        return self.first_engine, self.second_engine

    def module_rows(self) -> tuple[ModuleRow, ...]:
        """Which modules correspond."""
        return module_rows(self.matching)

    def unneeded_second(self) -> tuple[str, ...]:
        """Parameters and buffers of the second model that no row uses, those that its computation
        does not read included (a BatchNorm's step counter): a checkpoint holds them all. So are
        tables that it takes for constants (of places, of masks) where the first has none that may
        be meant, or the same one."""
        matching = self.matching
        held = {piece.second for row in matching.parameters for piece in row.pieces}
        constants = [name for name in matching.unread_second if not self._meant(name)]
        names = (*matching.unused_second, *matching.second.unread, *constants)
        return tuple(dict.fromkeys(name for name in names if name not in held))

    def _meant(self, name: str) -> bool:
        """Whether a table of the first model may stand for one of the second and holds other
        numbers: whoever converts has to say which it is."""
        infos = self.matching.first.graph.parameters
        rows = {row.first for row in self.matching.parameters if row.pieces}
        size = self.matching.second.graph.parameters[name].type.size
        tables = [
            other
            for other, info in infos.items()
            if info.buffer and other not in rows and info.type.size == size
        ]
        theirs = self._numbers(1, name)
        return bool(tables) and not any(
            theirs is not None and ours is not None and np.array_equal(ours, theirs)
            for ours in (self._numbers(0, other) for other in tables)
        )

    def _numbers(self, side: int, name: str) -> Array | None:
        engine = self.engines[side]
        own = engine.parameters() if self.alive else {}
        return engine.array(own[name]).reshape(-1) if name in own else None

    def parameter_entries(self) -> tuple[ParameterEntry, ...]:
        """The parameter map with shapes and dtypes."""
        first, second = self.matching.first.graph.parameters, self.matching.second.graph.parameters
        entries: list[ParameterEntry] = []
        for row in self.matching.parameters:
            own = first[row.first]
            count = row.pieces[0].first_view.source if row.pieces else own.type.size
            shapes = {
                piece.second: shape_of_views(second[piece.second], piece.second_view.source)
                for piece in row.pieces
            }
            entries.append(ParameterEntry(row, shape_of_views(own, count), own.type.dtype, shapes))
        return tuple(entries)
