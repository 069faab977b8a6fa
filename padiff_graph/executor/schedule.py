"""The order of work: the second model's program order, boundary values kept only while a region
reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.executor.pair_run import Fed
from padiff_graph.executor.partition import Plan, Region
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.side_run import boundary_values, input_values
from padiff_graph.executor.transfer import fed

__all__ = ["Stream", "never"]

UNREACHED = "what it reads could not be computed by itself"


def never() -> bool:
    """No: every region is run."""
    return False


@dataclass
class Stream:
    """One pass over the regions of a plan.

    Attributes:
        sides: the first and the second.
        todo: cuts whose regions shall be checked; what they need besides is only computed.
        check: called with each region to do and what it reads; returns the second side's values of
            its cut.
        uncompared: called with each region that could not be checked, and why.
        store: the second side's values of cuts that a region still has to read.
        readers: how many regions still have to read a cut.
        enough: asked after each region; where it says so, the rest is left.
        hand_in: called in the place of `check` where regions are checked abreast; returns as soon
            as the second side's values of the cut are known.
        ahead: whether those that read the values get them from a run of the second side's forward
            by itself, as `hand_in` does not wait for them.
    """

    sides: tuple[Side, Side]
    plan: Plan
    todo: Collection[int]
    check: Callable[[Region, Fed], Mapping[Value, Array]]
    uncompared: Callable[[Region, str], None]
    store: dict[int, dict[Value, Array]] = field(default_factory=dict)
    readers: Counter[int] = field(default_factory=Counter)
    enough: Callable[[], bool] = never
    hand_in: Callable[[Region, Fed], Mapping[Value, Array]] | None = None
    ahead: bool = False

    def run(self) -> None:
        """Checks the regions to do. A region of which the first side reads a value that the second
        computes later waits for it."""
        regions = self._involved()
        for region in regions:
            self.readers.update(self._reads(region))
        for cut in self.plan.sources:
            if self.readers[cut.index]:
                self.store[cut.index] = input_values(self.sides[1], cut.second)
        waiting: list[Region] = []
        for region in regions:
            if self._ready(region):
                self._checked(region)
            else:
                self._produce(region)
                if region.cut.index in self.todo:
                    waiting.append(region)
                else:
                    self._free(region)
            for late in [late for late in waiting if self._ready(late)]:
                waiting.remove(late)
                self._checked(late)
            if self.enough():
                return
        for region in waiting:
            self.uncompared(region, UNREACHED)

    def _involved(self) -> list[Region]:
        """The regions to do and all that the second side needs to compute for them."""
        by_cut = {region.cut.index: region for region in self.plan.regions}
        involved = set(self.todo)
        stack: list[int] = []
        for index in self.todo:
            stack += (*by_cut[index].first.reads, *by_cut[index].second.reads)
        while stack:
            index = stack.pop()
            if index not in involved and index in by_cut:
                involved.add(index)
                stack += by_cut[index].second.reads
        return [region for region in self.plan.regions if region.cut.index in involved]

    def _reads(self, region: Region) -> set[int]:
        reads = set(region.second.reads)
        if region.cut.index in self.todo:
            reads.update(region.first.reads)
        return reads

    def _ready(self, region: Region) -> bool:
        return region.cut.index in self.todo and all(
            read in self.store for read in self._reads(region)
        )

    def _checked(self, region: Region) -> None:
        values: Mapping[Value, Array] = {}
        try:
            feed = Fed(self._first(region), self._second(region))
            if self.ahead:
                self._produce(region)  # before its process is busy with the region
            values = (self.hand_in or self.check)(region, feed)
        except (
            Exception
        ) as error:  # one region that cannot be handled must not take the report away
            reason = f"this region could not be compared: {type(error).__name__}: {error}"
            self.uncompared(region, reason)
        if not self.ahead and not all(value in values for value in region.cut.second):
            self._produce(region)
        self._keep(region, values)
        self._free(region)

    def _second(self, region: Region) -> dict[Value, Array]:
        wanted = set(region.second.values)
        feed: dict[Value, Array] = {}
        for read in region.second.reads:
            feed |= self.store[read]
        return {value: array for value, array in feed.items() if value in wanted}

    def _first(self, region: Region) -> dict[Value, Array]:
        wanted = set(region.first.values)
        feed: dict[Value, Array] = {}
        for read in region.first.reads:
            cut = self.plan.cuts[read]
            shapes = {value: tuple(self.sides[0].shape(value)) for value in cut.first}
            feed |= fed(cut, self.store[read], shapes)
        return {value: array for value, array in feed.items() if value in wanted}

    def _produce(self, region: Region) -> None:
        """The second side's forward alone."""
        cut = region.cut
        readable = all(read in self.store for read in region.second.reads)
        if cut.sink or not self.readers[cut.index] or not readable:
            return
        try:
            values = boundary_values(self.sides[1], region.second, self._second(region), cut.second)
        except NotRunnable:
            return  # whatever reads it is reported as not comparable
        self._keep(region, values)

    def _keep(self, region: Region, values: Mapping[Value, Array]) -> None:
        cut = region.cut
        if self.readers[cut.index] > 0 and all(value in values for value in cut.second):
            self.store.setdefault(cut.index, {value: values[value] for value in cut.second})

    def _free(self, region: Region) -> None:
        for read in self._reads(region):
            self.readers[read] -= 1
            if self.readers[read] <= 0:
                self.store.pop(read, None)
