"""A failing finding made as small as it can be made in a given time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.capture.remote.engine import RemoteEngine
from padiff_graph.errors import UsageError
from padiff_graph.export.repro_script import WRITTEN, finding_to_run
from padiff_graph.findings.finding import Finding
from padiff_graph.report.report import Report
from padiff_graph.shrinking.cutting import Cutter
from padiff_graph.shrinking.sizes import candidates
from padiff_graph.shrinking.trial import Shown, Trials
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["OPTIONS", "SECONDS", "Shrunk", "shrink", "told"]

SECONDS = 120.0
"""How long shrinking may take unless said otherwise; a person waits two minutes."""
OPTIONS = ("rtol", "atol", "compare_mode", "diff_phase", "allow_rounding", "single_step")
"""Options of the report's check that the small pairs are checked with."""
MOST_ROUNDS = 8
"""How often all extents are tried again while something gets smaller; more was never needed."""


@dataclass(frozen=True)
class Shrunk:
    """What shrinking came to.

    Attributes:
        shown: the smallest pair that shows the finding.
        original: the finding of the whole models.
        operations: of the whole models and of the small pair, on the side that has more.
        sizes: each extent before and after; equal where it is needed.
        needed: why an extent could not be made smaller, by extent.
        checks: how many small pairs were compared.
        seconds: how long it took.
        complete: whether the time sufficed for all that was to be tried.
    """

    shown: Shown
    original: Finding
    operations: tuple[int, int]
    sizes: tuple[tuple[int, int], ...]
    needed: dict[int, str] = field(default_factory=dict)
    checks: int = 0
    seconds: float = 0.0
    complete: bool = True


@one_at_a_time
def shrink(
    report: Report,
    finding: Finding | None = None,
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Shrunk:
    """Finds a small pair of models that shows a finding of a report.

    First the depth: the finding's region alone, then with more and more around it, until a check of
    the piece alone shows the same cause; what was taken too much is left out again. Then each
    extent, the largest first: width, length, batch. A step stands only where the check of its pair
    shows the same cause and nothing else that fails.

    Args:
        report: of this process, with its models still alive.
        finding: one of the report's; by default the first failing one that is about operations.
        seconds: after which nothing more is tried.
        clock: tells the time.

    Raises:
        UsageError: nothing fails, the finding is about no operation, or no piece shows it.
    """
    begun = clock()
    chosen = _chosen(report, finding)
    assert report.matching is not None and report.engines is not None
    options = {name: report.options[name] for name in OPTIONS if name in report.options}
    trials = Trials.of(chosen, options)
    try:
        search = _Search(trials, lambda: clock() - begun < seconds)
        with report.engines[0].quiet(), report.engines[1].quiet():
            cutter = Cutter.of(report, chosen)
            shown = search.depth(cutter)
        whole = max(
            len(normal.graph.of_kind("operation"))
            for normal in (report.matching.first, report.matching.second)
        )
        before = shown.piece.extents
        shown = search.sizes(shown)
    finally:
        trials.close()
    return Shrunk(
        shown,
        chosen,
        (whole, shown.piece.operations),
        tuple((extent, search.became.get(extent, extent)) for extent in before),
        {extent: why for extent, why in search.needed.items() if extent in shown.piece.extents},
        trials.checks,
        clock() - begun,
        search.complete,
    )


def told(shrunk: Shrunk) -> list[str]:
    """What became smaller, and what is needed, in lines."""
    before, after = shrunk.operations
    lines = [f"depth: {after} of {before} operations"]
    smaller = [f"{old} to {new}" for old, new in shrunk.sizes if new < old]
    kept = [f"{old}" for old, new in shrunk.sizes if new == old]
    if smaller:
        lines.append(f"sizes made smaller: {', '.join(smaller)}")
    if kept:
        lines.append(f"sizes as in the models: {', '.join(kept)}")
    lines += [
        f"size {extent} is needed: with less, {why}"
        for extent, why in sorted(shrunk.needed.items(), reverse=True)
    ]
    if not shrunk.complete:
        lines.append("the time ran out before all was tried; more seconds may make it smaller")
    return lines


def _chosen(report: Report, finding: Finding | None) -> Finding:
    """The finding to shrink.

    Raises:
        UsageError: there is none, or it cannot be shrunk.
    """
    chosen = finding if finding is not None else finding_to_run(report)
    if chosen is None or not chosen.fails:
        raise UsageError("nothing fails: there is no difference to shrink")
    if report.matching is None or report.engines is None:
        raise UsageError("a model could not be captured: there is no graph to cut")
    if any(is_recorded(engine) or isinstance(engine, RemoteEngine) for engine in report.engines):
        raise UsageError("models of this process can be shrunk; one of these is elsewhere")
    others = [framework for framework in report.frameworks if framework not in WRITTEN]
    if others:
        raise UsageError(
            f"models of {' and '.join(WRITTEN)} can be shrunk; this report is about {others[0]}"
        )
    return chosen


@dataclass
class _Search:
    """What was tried, and what came of it.

    Attributes:
        trials: makes and checks small pairs.
        left: whether there is time left.
        became: each extent of the beginning, as it is now.
        needed: why an extent stays as it is.
        complete: whether time never ran out.
    """

    trials: Trials
    left: Callable[[], bool]
    became: dict[int, int] = field(default_factory=dict)
    needed: dict[int, str] = field(default_factory=dict)
    complete: bool = True

    def timely(self) -> bool:
        """Whether there is time; where not, that is remembered."""
        self.complete = self.complete and self.left()
        return self.complete

    def depth(self, cutter: Cutter) -> Shown:
        """The fewest regions around the finding that show it.

        Raises:
            UsageError: no piece shows it.
        """
        tried: frozenset[int] = frozenset()
        steps, shown = 0, None
        while shown is None:
            chosen = cutter.around(steps)
            if chosen == tried or not (self.timely() or not tried):
                raise UsageError(
                    "no piece of the models shows this finding by itself; the last one tried, of "
                    f"{len(tried)} of {len(cutter.plan.regions)} regions: {self.trials.why}"
                )
            shown = self._cut(cutter, chosen)
            tried, steps = chosen, 2 * steps or 1
        return self._fewer(cutter, tried, shown)

    def _cut(self, cutter: Cutter, chosen: Iterable[int]) -> Shown | None:
        try:
            return self.trials.shown(cutter.piece(frozenset(chosen)))
        except NotRunnable as error:
            self.trials.why = str(error)
            return None

    def _fewer(self, cutter: Cutter, chosen: frozenset[int], shown: Shown) -> Shown:
        """Leaves regions out, in ever smaller parts, while the rest shows the finding."""
        must = cutter.target.cut.index
        rest = sorted(chosen - {must})
        part = len(rest)
        while part and rest:
            for start in range(0, len(rest), part):
                if not self.timely():
                    return shown
                fewer = [*rest[:start], *rest[start + part :]]
                smaller = self._cut(cutter, {must, *fewer})
                if smaller is not None:
                    shown, rest = smaller, fewer
                    break
            else:
                part //= 2
        return shown

    def sizes(self, shown: Shown) -> Shown:
        """Makes each extent as small as it can be, until nothing gets smaller."""
        self.became = {extent: extent for extent in shown.piece.extents}
        for _ in range(MOST_ROUNDS):
            before = shown.piece.elements
            for extent in shown.piece.extents:
                shown = self._smaller(shown, extent)
            if shown.piece.elements == before or not self.complete:
                break
        return shown

    def _smaller(self, shown: Shown, extent: int) -> Shown:
        """One extent made as small as it can be."""
        for _, ways in candidates(shown.piece, extent):
            for way in ways:
                if not self.timely():
                    return shown
                piece = way.of(shown.piece)
                if piece.elements >= shown.piece.elements:
                    continue
                smaller = self.trials.shown(piece)
                if smaller is not None:
                    self._note(way.extents)
                    return smaller
                self.needed[extent] = self.trials.why
        return shown

    def _note(self, extents: Any) -> None:
        for first, now in self.became.items():
            self.became[first] = extents.get(now, now)
