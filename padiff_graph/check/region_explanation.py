"""Why a region differs: parts of it run otherwise, until both sides agree."""

from __future__ import annotations

from dataclasses import dataclass, replace

from padiff_graph.diagnosis.ablation import inverted, parts_turned, surplus
from padiff_graph.diagnosis.beside_example import parting_feed
from padiff_graph.diagnosis.broadcasts import broadcast_otherwise
from padiff_graph.diagnosis.entered_apart import entered_apart
from padiff_graph.diagnosis.other_draws import other_draws
from padiff_graph.diagnosis.other_settings import other_setting
from padiff_graph.diagnosis.trial_runs import Differing, differing
from padiff_graph.diagnosis.upstream_order import astray
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.partition import Plan, Region
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import RegionResult

__all__ = ["Case", "explained"]


@dataclass(frozen=True)
class Case:
    """One region with all that its steps need.

    Attributes:
        pair: both sides.
        region: the region.
        plan: the cuts that it is one of.
        feed: what each side of it reads.
        blank: its result before anything is known but what it is about.
    """

    pair: Pair
    region: Region
    plan: Plan
    feed: Fed
    blank: RegionResult


def explained(matching: Matching, case: Case, result: RegionResult) -> RegionResult:
    """The result, with what further runs say of values that differ."""
    pair, region, feed = case.pair, case.region, case.feed
    if not any(part.verdict == "different" and part.kind == "output" for part in result.parts):
        return _explained_elsewhere(case, result)
    result = replace(result, began=entered_apart(matching, pair, region, feed))
    if astray(pair, region, case.plan, feed):
        return replace(result, astray=True)
    draws = other_draws(pair, region)
    if draws is not None:
        return replace(result, setting=draws)
    tried = (
        inverted(pair, region, feed)
        or parts_turned(pair, region, feed)
        or broadcast_otherwise(pair, region, feed)
    )
    if tried is not None:
        return replace(result, tried=tried)
    found = differing(pair, region, feed)
    return result if found is None else _tried_otherwise(result, found)


def _tried_otherwise(result: RegionResult, found: Differing) -> RegionResult:
    """The result, with the change of one operation that makes both sides agree."""
    setting = other_setting(found, called_alike=True)
    if setting is not None:
        return replace(result, setting=setting)
    # an operation too many says more than a setting that makes up for it
    extra = surplus(found)
    if extra is not None:
        return replace(result, surplus=extra)
    return replace(result, setting=other_setting(found, called_alike=False))


def _explained_elsewhere(case: Case, result: RegionResult) -> RegionResult:
    """The same where gradients alone differ: two functions that agree on this example may part by a
    setting, which shows on other values."""
    if result.verdict != "different":
        return result
    feed = parting_feed(case.pair, case.region, case.plan, case.feed)
    if feed is None:
        return result
    if astray(case.pair, case.region, case.plan, feed):
        return replace(result, astray=True)
    found = differing(case.pair, case.region, feed)
    if found is None:
        return result
    setting = other_setting(found, called_alike=True) or other_setting(found, called_alike=False)
    return replace(result, setting=setting)
