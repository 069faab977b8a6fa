"""The result of a check. Terminal, JSON, HTML, pytest and exit codes are views of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.findings import Finding
from padiff_graph.matching.result import Matching, ParameterRow

__all__ = ["Compared", "Report"]


@dataclass(frozen=True)
class Compared:
    """How much was compared. All zero is never a pass."""

    operations: int = 0
    parameters: int = 0
    regions: int = 0
    outputs: int = 0
    gradients: int = 0


@dataclass(frozen=True)
class Report:
    """What `compare` returns.

    Attributes:
        passed: True exactly when something was compared, no finding fails, and every compared value
            is within the tolerance asked for.
        findings: most upstream first.
        regions: number of region pairs by verdict ("equal", "rounding", "different",
            "framework-divergence", "framework-defect", "not-comparable").
        parameters: the parameter map.
        required_tolerance: {"rtol": ..., "atol": ...} that the whole run would have needed.
        timings: seconds by step.
        compared: how much was compared.
        tolerance: what was asked for.
        contributions: regions that add most to the tolerance needed, as (paddle path, torch path, error).
        depth: error along depth for plots: (order, paddle path, torch path, phase, relative error, verdict).
        notes: what the user should know, in sentences.
        models: (class name of the first, class name of the second), and frameworks.
        matching: both graphs with their correspondence, for views that draw them; None where capture failed.
        options: the options as given.
    """

    passed: bool
    findings: tuple[Finding, ...] = ()
    regions: Mapping[str, int] = field(default_factory=dict)
    parameters: tuple[ParameterRow, ...] = ()
    required_tolerance: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    compared: Compared = field(default_factory=Compared)
    tolerance: Mapping[str, float] = field(default_factory=dict)
    contributions: tuple[tuple[str, str, float], ...] = ()
    depth: tuple[tuple[int, str, str, str, float, str], ...] = ()
    notes: tuple[str, ...] = ()
    models: tuple[str, str] = ("", "")
    frameworks: tuple[str, str] = ("paddle", "torch")
    matching: Matching | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.passed
