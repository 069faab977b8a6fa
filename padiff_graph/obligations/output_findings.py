"""What is said of outputs: exchanged, of another type or value, or returned by one model only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding, Verdict
from padiff_graph.obligations.crossed_outputs import Crossing
from padiff_graph.obligations.output_layouts import Layout
from padiff_graph.obligations.remainders import WholeProof
from padiff_graph.obligations.returned import Unlike

__all__ = ["Answers", "output_findings"]

VERDICTS: dict[str, tuple[str, Verdict]] = {
    "value": ("outputs.value", "different"),
    "type": ("outputs.type", "different"),
    "spelling": ("outputs.type", "suspicious"),
}
"""How two values in one place are unlike -> the kind of cause, and what is said of it."""
ADVICE = "return them in the order, or under the names, of the other model"


@dataclass(frozen=True)
class Answers:
    """What two models returned, held against each other place by place.

    Attributes:
        pairs: names of the tensors that correspond, (first, second).
        unlike: places that hold something of another type or value, with how.
        crossed: outputs that one computation yields in two places.
        lost: what only one model returns, as (side, name).
        layouts: outputs that differ by the order of their axes.
        random: whether random draws part the two runs, so that numbers say nothing.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    unlike: tuple[tuple[str, str, Unlike], ...] = ()
    crossed: tuple[Crossing, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()
    layouts: tuple[Layout, ...] = ()
    random: bool = False


def output_findings(answers: Answers, proof: WholeProof | None) -> list[Finding]:
    """All that is to be said of what the models return.

    Args:
        answers: of both models.
        proof: what float64 leaves of both as a whole with shared draws; None where it was not
            asked.
    """
    return [*_exchanged(answers, proof), *_unlike(answers), *_missing(answers)]


def _exchanged(answers: Answers, proof: WholeProof | None) -> Iterator[Finding]:
    """One finding for all outputs that stand in other places."""
    crossed = [entry for entry in answers.crossed if _differs(entry, answers, proof)]
    if not crossed:
        return
    cause = Cause.of(
        "outputs.exchanged",
        first_places=tuple(entry.first for entry in crossed),
        second_places=tuple(entry.second for entry in crossed),
    )
    worst = max(crossed, key=lambda entry: entry.apart)
    found = Finding("forward", "different", cause, advice=ADVICE)
    yield replace(found, error=worst.apart, relative=worst.relative)


def _differs(crossing: Crossing, answers: Answers, proof: WholeProof | None) -> bool:
    """Whether the place holds two values: by the numbers, with shared draws where draws part the
    runs, or else by structure."""
    if not answers.random:
        return crossing.apart > 0.0
    left = proof.of("output", crossing.first) if proof is not None else None
    if left is None or left.second != crossing.beside:
        return True
    return not left.vanishes


def _unlike(answers: Answers) -> Iterator[Finding]:
    """Places with two values, each; places with two types, those of the same types together."""
    together: dict[tuple[str, Verdict, str, str], list[str]] = defaultdict(list)
    for name, _, unlike in answers.unlike:
        if unlike.way == "lack":
            continue
        kind, verdict = VERDICTS[unlike.way]
        if unlike.way == "value":
            told = {"first_told": unlike.first, "second_told": unlike.second}
            yield Finding("forward", verdict, Cause.of(kind, tensor=_tensor(name), **told))
        else:
            together[kind, verdict, unlike.first, unlike.second].append(name)
    for (kind, verdict, first, second), names in together.items():
        types = {"first_type": first, "second_type": second}
        yield Finding("forward", verdict, Cause.of(kind, tensor=_tensor(*names), **types))


def _missing(answers: Answers) -> Iterator[Finding]:
    """What only one model returns, and where only one returns None."""
    lacking = [
        ("second" if unlike.first == "None" else "first", name, mate)
        for name, mate, unlike in answers.unlike
        if unlike.way == "lack"
    ]
    crossed = {entry.second for entry in answers.crossed}
    for number, side in enumerate(("first", "second")):
        names = [(name, mate)[number] for which, name, mate in lacking if which == side]
        names += [name for which, name in answers.lost if which == side and name not in crossed]
        if names:
            cause = Cause.of("outputs.missing", side=number, outputs=tuple(names))
            yield Finding("forward", "suspicious", cause)


def _tensor(*names: str) -> str:
    """Outputs in words; the only one goes by that very name."""
    if names == ("output",):
        return "the output"
    return f"the output {', '.join(names)}"
