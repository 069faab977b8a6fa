"""Whether a region differs forward or backward."""

from __future__ import annotations

from collections.abc import Sequence

from padiff_graph.findings.finding import Phase
from padiff_graph.referee.region_result import RegionResult

__all__ = ["AGREEING", "region_phase"]

AGREEING = ("equal", "rounding")
"""Verdicts of what computes the same."""


def region_phase(results: Sequence[RegionResult]) -> Phase:
    """Forward where an output or buffer differs, or nothing was compared; else backward."""
    differing = {
        part.kind for result in results for part in result.parts if part.verdict not in AGREEING
    }
    return "backward" if differing and differing <= {"input", "parameter"} else "forward"
