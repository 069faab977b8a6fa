"""One side of a region, run again with one operation changed: only what comes behind that is
computed anew, so that trying many operations of a large region costs little more than one run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.capture.remote.whole import is_away
from padiff_graph.executor.partition import Slice
from padiff_graph.executor.questions import Otherwise
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.side_run import side_values
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["Half"]

Values = dict[Value, Array]


@dataclass(slots=True)
class Half:
    """One side of a region with what it is fed and what is asked of it.

    Attributes:
        side: whose region.
        part: its operations.
        feed: the values of the cuts that they read.
        wanted: the values that are asked for.
        known: what its operations yield as they are, once that was asked; empty where some of it
            cannot be handed out.
    """

    side: Side
    part: Slice
    feed: Mapping[Value, Array]
    wanted: tuple[Value, ...]
    known: Values | None = field(default=None, init=False)

    def values(self, wanted: tuple[Value, ...] | None = None) -> Values:
        """What it yields in float64.

        Raises:
            NotRunnable: where an operation cannot be run by itself.
        """
        asked = self.wanted if wanted is None else wanted
        known = self._handed_on() if self._apart() else {}
        if all(value in known for value in asked):
            return {value: known[value] for value in asked}
        return self._run(self.part, self.feed, asked)

    def fed_otherwise(self, feed: Mapping[Value, Array]) -> Values:
        """What it yields in float64 when it is fed something else.

        Raises:
            NotRunnable: where an operation cannot be run by itself.
        """
        return self._run(self.part, feed, self.wanted)

    def changed(
        self,
        node: int,
        *,
        instead: Value | None = None,
        turned: bool = False,
        otherwise: Otherwise | None = None,
    ) -> Values:
        """What it yields in float64 where one operation is changed.

        Args:
            node: the operation.
            instead: the operand that it hands on and is not run.
            turned: whether it reads its parts in reverse order.
            otherwise: how it is called instead.

        Raises:
            NotRunnable: where an operation cannot be run by itself.
        """
        handed = {} if instead is None else {node: instead}
        reversed_ = (node,) if turned else ()
        part, feed = self._behind(node)
        called = {} if otherwise is None else {node: otherwise}
        return self._run(part, feed, self.wanted, handed, reversed_, called)

    def _behind(self, node: int) -> tuple[Slice, Mapping[Value, Array]]:
        """The operations from one on, and what they are fed."""
        at = self.part.nodes.index(node)
        if at == 0 or not self._apart():
            return self.part, self.feed
        known = self._handed_on()
        if not known:
            return self.part, self.feed
        nodes = self.part.nodes[at:]
        before = frozenset(self.part.nodes[:at])
        read = {*self._read(nodes), *self.wanted}
        inner = tuple(value for value in read if value.node in before)
        leaves = frozenset(value.node for value in read)
        part = replace(
            self.part,
            nodes=nodes,
            values=(*self.part.values, *inner),
            leaves=tuple(leaf for leaf in self.part.leaves if leaf in leaves),
        )
        return part, {**self.feed, **{value: known[value] for value in inner}}

    def _apart(self) -> bool:
        """Whether what an operation yields stays as it is while later ones run, here."""
        if is_away(self.side.engine) or is_recorded(self.side.engine):
            return False
        return not any("inplace" in self.side.graph.record(n).marks for n in self.part.nodes)

    def _handed_on(self) -> Values:
        """What one operation yields and another one reads, or is asked for; run once."""
        if self.known is None:
            self.known = self._yielded()
        return self.known

    def _yielded(self) -> Values:
        """The same, worked out."""
        own = frozenset(self.part.nodes)
        read = dict.fromkeys((*self._read(self.part.nodes), *self.wanted))
        try:
            return self._run(
                self.part, self.feed, tuple(value for value in read if value.node in own)
            )
        except NotRunnable:
            return {}

    def _read(self, nodes: Iterable[int]) -> list[Value]:
        records = map(self.side.graph.record, nodes)
        return [value for record in records for value in record.inputs if value is not None]

    def _run(
        self,
        part: Slice,
        feed: Mapping[Value, Array],
        wanted: tuple[Value, ...],
        instead: Mapping[int, Value] | None = None,
        turned: Collection[int] = (),
        otherwise: Mapping[int, Otherwise] | None = None,
    ) -> Values:
        return side_values(
            self.side,
            part,
            feed,
            wanted,
            double=True,
            instead=instead or {},
            turned=turned,
            otherwise=otherwise or {},
        )
