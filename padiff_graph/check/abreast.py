"""Regions examined abreast, where both sides wait for processes elsewhere only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.capture.remote.client import Client
from padiff_graph.capture.remote.whole import client_of
from padiff_graph.check.region_examination import Examination, examine
from padiff_graph.executor.pair_run import Fed, Pair, Ready
from padiff_graph.executor.partition import Plan, Region
from padiff_graph.executor.region_run import Seconds
from padiff_graph.referee.region_result import RegionResult
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["Abreast", "abreast", "processes"]

WAITING = 4
"""So many regions for each process may wait with what they read; chosen so that none is idle for
long and little is held."""
IN_A_ROW = 3
"""So many regions are under way where each side has one process: one runs on the second side, one
on the first, and one is compared here."""
Finished = Callable[[Region, RegionResult], None]


def processes(pair: Pair) -> int:
    """How many processes each side has at most; 0 where a model is of this process, or both are
    recorded."""
    clients = _clients(pair)
    recorded = sum(is_recorded(side.engine) for side in pair.sides)
    if len(clients) + recorded < len(pair.sides):
        return 0
    return max((1 + len(client.helpers) for client in clients), default=0)


def _clients(pair: Pair) -> list[Client]:
    asking = (client_of((side.engine,)) for side in pair.sides)
    return [client for client in asking if client is not None]


@dataclass
class Abreast:
    """Regions under way.

    Attributes:
        ahead: whether the second side's values are computed by themselves beforehand, since its
            several processes run regions at the same time.
        finished: called with each result, in the thread that hands regions in.
        uncompared: the result of a region that raised.
    """

    examination: Examination
    plan: Plan
    pool: ThreadPoolExecutor
    most: int
    ahead: bool
    finished: Finished
    uncompared: Callable[[Region, str], RegionResult]
    under_way: dict[Future[tuple[RegionResult, Seconds]], Region] = field(default_factory=dict)

    def hand_in(self, region: Region, feed: Fed) -> Mapping[Value, Array]:
        """Has a region examined as soon as there is a process for it; waits where too many do.

        Returns:
            The second side's values of its cut, as soon as they are known; {} where they were
            computed ahead, or cannot be.
        """
        values: Future[Mapping[Value, Array]] = Future()
        job = self.pool.submit(self._examined, region, feed, values.set_result)
        self.under_way[job] = region
        if self.ahead:
            self.take(len(self.under_way) >= self.most)
            return {}

        def ended(_: object) -> None:
            if not values.done():
                values.set_result({})

        job.add_done_callback(ended)
        known = values.result()
        self.take(len(self.under_way) >= self.most)
        return known

    def take(self, waiting: bool) -> None:
        """Hands on what is finished, waiting for the next one where that is asked."""
        if waiting:
            wait(self.under_way, return_when=FIRST_COMPLETED)
        for future in [future for future in self.under_way if future.done()]:
            region = self.under_way.pop(future)
            try:
                result, seconds = future.result()
            except Exception as error:  # as of a region that is examined by itself
                reason = f"this region could not be compared: {type(error).__name__}: {error}"
                result, seconds = self.uncompared(region, reason), defaultdict(float)
            for name, spent in seconds.items():
                self.examination.seconds[name] += spent
            self.finished(region, result)

    def _examined(self, region: Region, feed: Fed, ready: Ready) -> tuple[RegionResult, Seconds]:
        own = replace(self.examination, seconds=defaultdict(float))
        return examine(own, region, self.plan, feed, ready)[0], own.seconds


@contextmanager
def abreast(
    examination: Examination,
    plan: Plan,
    finished: Finished,
    uncompared: Callable[[Region, str], RegionResult],
    *,
    in_order: bool = False,
) -> Iterator[Abreast | None]:
    """Inside, regions are examined abreast; at the end all are finished. None where each is to be
    examined by itself, as with `in_order` where each side has one process alone."""
    count = processes(examination.pair)
    if count == 0 or (count == 1 and in_order):
        yield None
        return
    ahead = count > 1
    count, most = (count, WAITING * count) if ahead else (IN_A_ROW, IN_A_ROW)
    with ThreadPoolExecutor(count) as pool:
        regions = Abreast(examination, plan, pool, most, ahead, finished, uncompared)
        try:
            yield regions
            while regions.under_way:
                regions.take(waiting=True)
        except BaseException:  # an interrupt: nobody may wait for an answer any longer
            pool.shutdown(wait=False, cancel_futures=True)
            for client in _clients(examination.pair):
                for asking in (client, *client.helpers):
                    asking.break_off()
            raise
