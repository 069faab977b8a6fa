"""An acceptance card as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from padiff_graph.printable import code_comment
from padiff_graph.report.wording import cut_short, noun

__all__ = ["card_text"]

Data = Mapping[str, Any]
MARKS = {"shown": "yes", "not shown": "**no**", "not asked": "not asked"}
AS_TEXT = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\`*[]|"} | {mark: f"&#{ord(mark)};" for mark in "&<>@#"}
)
"""What GitHub's Markdown reads a meaning into -> the same as text: emphasis, code, links, pictures
and bars by a backslash; HTML, and mentions of people and issues, which a backslash leaves."""
SHOWN = 8
"""Names that a line lists before it counts the rest; chosen so that it stays one or two lines."""


def card_text(card: Data) -> str:
    """The card, a heading for each question."""
    lines = [
        "# Acceptance card",
        "",
        *_said(card),
        "",
        "## Models",
        "",
        *_models(card),
        "",
        "## What was shown, and how",
        "",
        *_obligations(card["obligations"]),
        "",
        "## What this check would miss on this input",
        "",
        *_planted(card["planted"]),
        "",
        "## What was not reached",
        "",
        *_coverage(card["models"]),
        "",
        "## Noise floor",
        "",
        *_noise(card["noise"]),
    ]
    if card["notes"]:
        lines += ["", "## Notes", "", *(f"- {_cell(note)}" for note in card["notes"])]
    tool = card["tool"]
    by = f"padiff-graph {tool['padiff-graph']}, Python {tool['python']}, {tool['machine']}"
    return "\n".join([*lines, "", f"Written by {by}.", ""])


def _said(card: Data) -> Iterator[str]:
    """The answer, and what differs."""
    for line in card["headline"].splitlines():
        yield f"**{_cell(line)}**"
    counts = ", ".join(
        f"{count} {noun(name, count)}" for name, count in card["compared"].items() if count
    )
    asked = card["tolerance"]
    tolerance = f"rtol {asked.get('rtol', 0):g}, atol {asked.get('atol', 0):g}"
    yield ""
    yield f"Compared: {counts or 'nothing'}. Tolerance: {tolerance}."
    for finding in card["findings"][:SHOWN]:
        yield f"- {finding['verdict']}: {_cell(finding['cause'])} (`{finding['cause_id']}`)"
    more = len(card["findings"]) - SHOWN
    if more > 0:
        yield f"- and {more} more"


def _models(card: Data) -> Iterator[str]:
    yield "| | first | second |"
    yield "| --- | --- | --- |"
    for title, key in (
        ("model", "name"),
        ("framework", "framework"),
        ("version", "version"),
        ("mode", "mode"),
        ("weights, SHA-256", "weights_sha256"),
        ("capture, held against the eager run", "certificate"),
    ):
        cells = [_cell(str(model.get(key, "not known"))) for model in card["models"]]
        yield f"| {title} | {' | '.join(cells)} |"
    inputs = [
        ", ".join(f"{name} {kind}" for name, kind in model.get("inputs", {}).items())
        for model in card["models"]
    ]
    yield f"| inputs | {' | '.join(map(_cell, inputs))} |"


def _obligations(obligations: Sequence[Data]) -> Iterator[str]:
    yield "| what a pass asks for | shown | by |"
    yield "| --- | --- | --- |"
    for entry in obligations:
        mark = MARKS[entry["status"]]
        yield f"| {entry['name']}: {entry['meaning']} | {mark} | {_cell(entry['by'])} |"


def _planted(planted: Data) -> Iterator[str]:
    """The share that shows, and what does not."""
    if planted["reason"]:
        yield f"Not asked: {_cell(planted['reason'])}."
        return
    running = planted["shown"] + planted["missed"]
    drawn = f"{planted['tried']} of {planted['possible']}, drawn with seed {planted['seed']}"
    yield "Operations were left out of the second graph and attributes changed, one fault at a time"
    yield f"({drawn})."
    if planted["stops"]:
        yield f"{planted['stops']} of them stop the model, so that no port has them."
    if running:
        others = f"the other {running}" if planted["stops"] else str(running)
        share = f"**{planted['shown']} of {others} show ({planted['share_shown']:.0%})**"
        rest = "; these do not:" if planted["missed"] else "."
        yield f"In the numbers of their region {share}{rest}"
    if planted["would_miss"]:
        yield ""
    for entry in planted["would_miss"]:
        places = cut_short(entry["places"], SHOWN)
        yield f"- {_cell(entry['what'])} ({entry['count']} times: {_cell(places)})"


def _coverage(models: Sequence[Data]) -> Iterator[str]:
    told = False
    for which, model in zip(("first", "second"), models, strict=True):
        coverage = model.get("coverage")
        if coverage is None:
            continue
        told = True
        operations = coverage["operations_not_reached"]
        names = [f"{op} (x{count})" if count > 1 else op for op, count in operations.items()]
        for what, listed in (
            ("operations in no region", names),
            ("parameters that nothing reads", coverage["parameters_not_read"]),
            ("modules without an operation of their own", coverage["modules_not_run"]),
        ):
            yield f"- {which} model: {what}: {_listed(listed)}"
    if not told:
        yield "Not known: a model could not be captured."


def _listed(names: Sequence[str]) -> str:
    return _cell(cut_short(names, SHOWN)) if names else "none"


def _noise(noise: Data) -> Iterator[str]:
    if not noise:
        yield "Not asked: all is so near that rounding was not in question."
        return
    yield "How far the second model alone moves when its weights and inputs move by one unit in the"
    yield "last place, relative to the largest value:"
    yield ""
    yield "| quantity | moves by |"
    yield "| --- | --- |"
    for name, value in noise.items():
        number = f"{value:.2g}" if isinstance(value, float) else value
        yield f"| {_cell(name)} | {number} |"


def _cell(text: str) -> str:
    """A text as it may stand in a cell or a line: in one line, and nothing of it is Markdown."""
    return code_comment(text).translate(AS_TEXT)
