"""The order of work: the second model's program order, boundary values kept only while a region reads them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.executor.partition import Plan, Region
from padiff_graph.executor.region_pair import Fed, Pair, run_pair
from padiff_graph.executor.region_run import Seconds, execute
from padiff_graph.executor.transfer import fed
from padiff_graph.referee.region_result import RegionResult
from padiff_graph.referee.structural_evidence import Structure

__all__ = ["Stream"]


@dataclass
class Stream:
    """One pass over the regions of a plan.

    Attributes:
        todo: cuts whose regions shall be checked; what they need besides is only computed.
        finished: called with each region and its result.
    """

    pair: Pair
    plan: Plan
    structure: Structure
    todo: Collection[int]
    finished: Callable[[Region, RegionResult], None]
    seconds: Seconds = field(default_factory=lambda: defaultdict(float))
    store: dict[int, dict[Value, Array]] = field(default_factory=dict)
    readers: Counter[int] = field(default_factory=Counter)

    def run(self) -> None:
        """Checks the regions to do. A region of which the first side reads a value that the second
        computes later waits for it."""
        regions = [region for region in self.plan.regions if region.cut.index in self._involved()]
        for region in regions:
            self.readers.update(self._reads(region))
        source = self.pair.second
        for cut in self.plan.sources:
            if self.readers[cut.index]:
                self.store[cut.index] = {
                    value: source.engine.array(source.inputs[value.node]) for value in cut.second
                }
        waiting: list[Region] = []
        for region in regions:
            if self._ready(region):
                self._check(region)
            else:
                self._produce(region)
                if region.cut.index in self.todo:
                    waiting.append(region)
                else:
                    self._free(region)
            for late in [late for late in waiting if self._ready(late)]:
                waiting.remove(late)
                self._check(late)
        for region in waiting:
            self.finished(
                region,
                RegionResult(
                    region.order,
                    "not-comparable",
                    (),
                    region.first.nodes,
                    region.second.nodes,
                    reason="what it reads could not be computed by itself",
                    label=region.cut.label,
                ),
            )

    def _involved(self) -> set[int]:
        """The cuts to do and all that the second side needs to compute for them."""
        of = {region.cut.index: region for region in self.plan.regions}
        involved = set(self.todo)
        stack = [
            read
            for index in self.todo
            for read in (*of[index].first.reads, *of[index].second.reads)
        ]
        while stack:
            index = stack.pop()
            if index not in involved and index in of:
                involved.add(index)
                stack.extend(of[index].second.reads)
        # what a checked region needs besides its own reads was already added; now its producers'
        stack = [read for index in involved for read in of[index].second.reads]
        while stack:
            index = stack.pop()
            if index not in involved and index in of:
                involved.add(index)
                stack.extend(of[index].second.reads)
        return involved

    def _reads(self, region: Region) -> set[int]:
        return {
            *region.second.reads,
            *(region.first.reads if region.cut.index in self.todo else ()),
        }

    def _ready(self, region: Region) -> bool:
        return region.cut.index in self.todo and all(
            read in self.store for read in self._reads(region)
        )

    def _second(self, region: Region) -> dict[Value, Array]:
        wanted = set(region.second.values)
        return {
            value: array
            for read in region.second.reads
            for value, array in self.store[read].items()
            if value in wanted
        }

    def _first(self, region: Region) -> dict[Value, Array]:
        wanted = set(region.first.values)
        found: dict[Value, Array] = {}
        for read in region.first.reads:
            cut = self.plan.cuts[read]
            shapes = {value: tuple(self.pair.first.shape(value)) for value in cut.first}
            found.update(
                {
                    value: array
                    for value, array in fed(cut, self.store[read], shapes).items()
                    if value in wanted
                }
            )
        return found

    def _check(self, region: Region) -> None:
        try:
            result, values = run_pair(
                self.pair,
                region,
                self.plan,
                Fed(self._first(region), self._second(region)),
                self.structure,
                self.seconds,
            )
        except (
            Exception
        ) as error:  # one region that the tool cannot handle must not take the report away
            reason = f"this region could not be compared: {type(error).__name__}: {error}"
            result, values = (
                RegionResult(
                    region.order,
                    "not-comparable",
                    (),
                    region.first.nodes,
                    region.second.nodes,
                    reason=reason,
                    label=region.cut.label,
                ),
                {},
            )
        if not all(value in values for value in region.cut.second):
            self._produce(region)
        self._keep(region, values)
        self._free(region)
        self.finished(region, result)

    def _produce(self, region: Region) -> None:
        """The second side's forward alone."""
        if (
            region.cut.sink
            or not self.readers[region.cut.index]
            or not all(read in self.store for read in region.second.reads)
        ):
            return
        side = self.pair.second
        try:
            ran = execute(side, region.second, self._second(region), region.cut.second, grad=False)
        except NotRunnable:
            return  # whatever reads it is reported as not comparable
        self._keep(
            region, {value: side.engine.array(tensor) for value, tensor in ran.outputs.items()}
        )

    def _keep(self, region: Region, values: dict[Value, Array]) -> None:
        if self.readers[region.cut.index] > 0 and all(
            value in values for value in region.cut.second
        ):
            self.store.setdefault(
                region.cut.index, {value: values[value] for value in region.cut.second}
            )

    def _free(self, region: Region) -> None:
        for read in self._reads(region):
            self.readers[read] -= 1
            if self.readers[read] <= 0:
                self.store.pop(read, None)
