"""The cases, by theme."""

from __future__ import annotations

from benchmarks.realbugs.case import Case
from benchmarks.realbugs.cases import (
    exports,
    frameworks,
    half,
    heads,
    masks,
    norms,
    rotary,
    training,
)

__all__ = ["CASES"]

CASES: tuple[Case, ...] = (
    *norms.CASES,
    *rotary.CASES,
    *masks.CASES,
    *heads.CASES,
    *exports.CASES,
    *training.CASES,
    *half.CASES,
    *frameworks.CASES,
)
