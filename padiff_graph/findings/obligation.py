"""What must be shown for "aligned": a closed list, each with how it is shown.

A pass is their conjunction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["IN_HALF", "OBLIGATIONS", "Obligation", "Status", "all_shown"]

Status = Literal["shown", "not shown", "not asked"]

OBLIGATIONS: Mapping[str, str] = {
    "captures": "both captured graphs compute what the models compute, gradients included",
    "weights": "every weight that is read has its counterpart, and both hold the same numbers",
    "sharing": "what reads one parameter in one model reads one parameter in the other",
    "regions": "every part between two matched values computes the same, forward and backward",
    "structure": "no difference in structure is left that numbers did not decide",
    "outputs": "what the user reads at one place of both answers is the same, of the same type",
    "gradients": "gradients of inputs and parameters agree as totals, hooks included",
    "updates": "both runs write the same into buffers, parameters and inputs",
    "state": "both models keep the same for their next call",
    "loss": "the two losses make the same of the same output",
    "training": "each training step does the same to weights and optimizer state",
    "tolerance": "every compared value is within the tolerance asked for",
}
"""Name -> what is to be shown, in the order of a report."""

IN_HALF: Mapping[str, str] = {
    "half precision": "casts of both models change no value in half precision",
    "half gradients": "gradients in half precision agree",
}
"""What is to be shown besides where half precision was asked for."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """One thing that a pass asks for.

    Attributes:
        name: one of `OBLIGATIONS`, or of `IN_HALF`.
        status: "shown"; "not shown", which forbids a pass; "not asked" where the call left it out.
        by: how it was shown, why it was not, or why it was not asked, in words.
    """

    name: str
    status: Status
    by: str

    @property
    def meaning(self) -> str:
        """What is to be shown."""
        return {**OBLIGATIONS, **IN_HALF}[self.name]

    def __str__(self) -> str:
        return f"{self.name}: {self.status}, {self.by}"


def all_shown(obligations: Mapping[str, Obligation]) -> bool:
    """Whether nothing that was asked for is left unshown."""
    return all(obligation.status != "not shown" for obligation in obligations.values())
