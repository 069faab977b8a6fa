"""What a check found, as plain frozen data; every view of a report is made from these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.cause_kinds import cause_id
from padiff_graph.findings.cause_sentences import sentence

__all__ = ["FAILING", "Finding", "Phase", "Verdict"]

Phase = Literal["capture", "structure", "weights", "forward", "backward", "optimizer", "loss"]
Verdict = Literal[
    "different",
    "rounding",
    "framework-divergence",
    "framework-defect",
    "missing",
    "extra",
    "suspicious",
    "not-comparable",
]

FAILING: frozenset[str] = frozenset({"different", "missing", "extra"})
"""Verdicts that fail a check by themselves."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, at its most upstream place.

    Attributes:
        phase, verdict: see the types.
        reason: the likely cause as data; `cause` says it in English, `cause_id` is its stable id.
        paddle_path, torch_path: dotted module paths, "" for the root. For a missing or extra
            operation also on the side that lacks it: the called module that contributes no
            operation (an Identity in its place), otherwise the innermost module around the place.
        paddle_op, torch_op: native operator names, "" where a side has none.
        paddle_source, torch_source: "file:line" in the user's code.
        error: the largest absolute difference; 0.0 where nothing was measured.
        relative: `error` against the largest reference value, 0.0 where nothing was measured.
        places: all (paddle_path, torch_path) with this same cause.
        advice: what to do next, "" where there is nothing to say.
        order: position of the place in the second model's program order; sorts findings.
        frameworks: of the two models; a sentence names the models by them.
    """

    phase: Phase
    verdict: Verdict
    reason: Cause
    paddle_path: str = ""
    torch_path: str = ""
    paddle_op: str = ""
    torch_op: str = ""
    paddle_source: str = ""
    torch_source: str = ""
    error: float = 0.0
    relative: float = 0.0
    places: tuple[tuple[str, str], ...] = ()
    advice: str = ""
    order: int = 0
    frameworks: tuple[str, str] = ("paddle", "torch")

    @property
    def cause(self) -> str:
        """The likely reason in a sentence, with both values."""
        return sentence(self.reason, self.frameworks)

    @property
    def cause_id(self) -> str:
        """The kind of the likely reason: stable, one of those in docs/causes.md."""
        return cause_id(self.reason)

    @property
    def fails(self) -> bool:
        """Whether this finding alone makes the check fail."""
        return self.verdict in FAILING
