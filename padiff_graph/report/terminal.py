"""The report as one screen of text: the answer first, then the first finding, then the rest.

Plain text carries everything; colour only repeats it. Readable in 80 columns and in a log file.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from padiff_graph.capture.spoken_operations import spoken
from padiff_graph.findings.finding import Finding
from padiff_graph.printable import code_comment, printable
from padiff_graph.report.precision_text import precision_text
from padiff_graph.report.report import Report
from padiff_graph.report.source_lines import code_line, short_source
from padiff_graph.report.training_curves import training_table
from padiff_graph.report.wording import noun

__all__ = [
    "Shown",
    "finding_text",
    "html_of",
    "render_findings",
    "render_report",
    "report_headline",
    "text_of",
]

PRE = (
    '<pre style="font-family:Menlo,Consolas,monospace;line-height:1.35;white-space:pre-wrap">'
    "{code}</pre>"
)
SHOWN = 12
"""How many findings the table names; chosen so that the report stays one screen."""
PLACES = 4
"""How many other places of a cause are named; chosen so that they stay on two lines."""
ORDERED = frozenset({"weights.shuffled", "weights.parts_turned"})
"""What a pass rests on where weights only agree in an order that no convention explains."""
TITLES = {"paddle": "Paddle", "torch": "torch", "onnx": "ONNX"}
COLOURS = {
    "different": "red",
    "missing": "red",
    "extra": "red",
    "rounding": "yellow",
    "suspicious": "yellow",
    "framework-defect": "magenta",
    "framework-divergence": "cyan",
    "not-comparable": "yellow",
}


@dataclass(frozen=True)
class Shown:
    """A view without the control characters that names in it may hold: those of models and files
    do not reach a terminal."""

    view: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """The view's pieces of text, each printable."""
        for segment in console.render(self.view, options):
            if segment.control is None and not segment.text.isprintable():
                segment = Segment(printable(segment.text), segment.style)
            yield segment


def text_of(renderable: RenderableType, width: int = 80, colour: bool = False) -> str:
    """Any view as text of a given width."""
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        force_jupyter=False,  # else rich shows in a notebook what is only asked for as text
        no_color=not colour,
        highlight=False,
        soft_wrap=False,
    )
    console.print(Shown(renderable))
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def html_of(renderable: RenderableType, width: int = 100) -> str:
    """Any view as a piece of HTML, for notebooks: the text as it stands, in colour."""
    console = Console(
        file=io.StringIO(),
        width=width,
        record=True,
        force_terminal=True,
        force_jupyter=False,
        highlight=False,
    )
    console.print(Shown(renderable))
    return console.export_html(inline_styles=True, code_format=PRE)


def render_report(report: Report, *, numbers: bool = False) -> RenderableType:
    """The whole screen; with `numbers` those of outputs and layers."""
    first, rest = report.findings[:1], report.findings[1:]
    parts: list[RenderableType] = [report_headline(report), _compared(report)]
    for finding in first:
        parts += [
            Text(),
            _heading("First finding" if rest else "Finding"),
            Padding(render_finding(finding, report.frameworks), (0, 0, 0, 2)),
        ]
    if rest:
        parts += [
            Text(),
            _heading(f"{len(rest)} more, in the order of the data"),
            render_findings(rest),
        ]
    parts += [Text(), _tolerance(report)]
    if numbers and (report.outputs or report.layers):
        from padiff_graph.report.numbers_text import render_numbers  # which asks for words of here

        parts += [Text(), render_numbers(report)]
    if report.precision is not None:
        parts += [Text(), Text(precision_text(report.precision, report.frameworks))]
    trained = training_table(report.training, report.frameworks)
    if trained is not None:
        parts += [Text(), _heading("Training, step by step"), Padding(trained, (0, 0, 0, 2))]
    if report.notes:
        parts += [Text(), _heading("Notes")]
        parts += [Padding(Text(f"- {note}"), (0, 0, 0, 2)) for note in report.notes]
    parts += [Text(), _next(report)]
    return Group(*parts)


def render_finding(
    finding: Finding, frameworks: Sequence[str] = ("paddle", "torch")
) -> RenderableType:
    """One finding in full: cause, both places with their code, size, the other places."""
    headline = Text.assemble(
        (finding.verdict, f"bold {COLOURS.get(finding.verdict, '')}"),
        f" ({finding.phase}): ",
        (finding.cause, "bold"),
    )
    parts: list[RenderableType] = [headline, *_both_sides(finding, frameworks)]
    if finding.error:
        error = f"largest error {finding.error:.3g}"
        if finding.relative:
            error += f", {finding.relative:.3g} of the largest value"
        parts.append(Text(error))
    elsewhere = _elsewhere(finding)
    if elsewhere:
        parts.append(Text(elsewhere))
    if finding.advice:
        parts.append(Text(finding.advice))
    return Group(*parts)


def _both_sides(finding: Finding, frameworks: Sequence[str]) -> Iterable[RenderableType]:
    """The place in each model: module, operation, line of code."""
    paths = code_comment(finding.paddle_path), code_comment(finding.torch_path)
    sides = (
        (frameworks[0], paths[0], finding.paddle_op, finding.paddle_source),
        (frameworks[1], paths[1], finding.torch_op, finding.torch_source),
    )
    if not any(any(place) for _, *place in sides):
        return
    width = max(len(_title(framework)) for framework in frameworks[:2])
    lacking = "  (no such operation)" if finding.verdict in ("missing", "extra") else ""
    for framework, path, op, source in sides:
        title = _title(framework).ljust(width)
        operation = f"  {spoken(op)}" if op else lacking
        yield Text.assemble((f"{title}  ", "dim"), (path or "(root)", "bold"), operation)
        if source:
            indent = (0, 0, 0, width + 2)
            yield Padding(Text(short_source(source), style="dim"), indent)
            code = code_line(source)
            if code:
                yield Padding(Text(f"> {code}"), indent)


def _elsewhere(finding: Finding) -> str:
    """Where else the same cause shows; "" where nowhere."""
    told = (finding.paddle_path, finding.torch_path)
    more = [
        first or second or "(root)" for first, second in finding.places if (first, second) != told
    ]
    if not more:
        return ""
    dots = ", ..." if len(more) > PLACES else ""
    return f"same cause in {len(more)} more: {', '.join(more[:PLACES])}{dots}"


def render_findings(findings: Sequence[Finding]) -> RenderableType:
    """A table of findings: place, cause, line of code."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for finding in findings[:SHOWN]:
        place = code_comment(finding.paddle_path) or "(root)"
        if finding.torch_path and finding.torch_path != finding.paddle_path:
            place += f" | {code_comment(finding.torch_path)}"
        count = f" (x{len(finding.places)})" if len(finding.places) > 1 else ""
        table.add_row(
            Text(finding.verdict, style=COLOURS.get(finding.verdict, "")),
            Text.assemble((place, "bold"), f"{count}\n{finding.cause}", _line_of(finding)),
            f"{finding.error:.2g}" if finding.error else "",
        )
    more = len(findings) - SHOWN
    if more > 0:
        table.add_row("", f"... and {more} more: report.findings, or the HTML report", "")
    return Padding(table, (0, 0, 0, 2))


def _line_of(finding: Finding) -> tuple[str, str]:
    """Below a finding in few words: its line in the first model, or in the second."""
    source = finding.paddle_source or finding.torch_source
    return (f"\n{short_source(source)}" if source else "", "dim")


def finding_text(
    finding: Finding, frameworks: Sequence[str] = ("paddle", "torch"), width: int = 100
) -> str:
    """One finding in full, as plain text, for an assertion message."""
    return text_of(render_finding(finding, frameworks), width)


def _heading(text: str) -> Text:
    return Text(text, style="bold underline")


def _title(framework: str) -> str:
    return TITLES.get(framework, framework)


def report_headline(report: Report) -> Text:
    """The answer, and of which models: a line, two where all that differs is rounding."""
    first, second = (
        f"{code_comment(model) or unnamed} ({_title(framework)})"
        for model, unnamed, framework in zip(
            report.models, ("first model", "second model"), report.frameworks, strict=True
        )
    )
    names = f"{first} against {second}"
    if report.passed:
        return Text.assemble(("ALIGNED", "bold green"), _conditions(report), f"  {names}")
    compared = report.compared
    if not (compared.outputs or compared.regions or compared.gradients):
        return Text.assemble(("NOTHING COMPARED", "bold red"), f"  {names}")
    doubt = {"": "", "rounding": " (rounding only)"}.get(report.doubt, f" ({report.doubt})")
    if report.equivalent:
        return Text.assemble(
            ("EQUIVALENT: every difference is rounding", "bold green"),
            f"  {names}\n",
            ("NOT ALIGNED", "bold red"),
            f"{doubt} at the tolerance asked for",
        )
    return Text.assemble(("NOT ALIGNED", "bold red"), doubt, f"  {names}")


def _conditions(report: Report) -> str:
    """What has to be known of a pass, in brackets."""
    causes = {finding.cause_id for finding in report.findings}
    rounded = any(finding.verdict == "rounding" for finding in report.findings)
    told = (
        "every difference is rounding" if rounded else "",
        "with weights in an order of their own" if ORDERED & causes else "",
    )
    said = ", ".join(filter(None, told))
    return f" ({said})" if said else ""


def _compared(report: Report) -> Text:
    counts = [f"{count} {noun(name, count)}" for name, count in _counts(report)]
    text = "compared: " + (", ".join(counts) or "nothing, so this is no pass")
    regions = ", ".join(f"{count} {verdict}" for verdict, count in report.regions.items() if count)
    if regions and report.compared.regions:
        text += f"\nregions: {regions}"
    return Text(text)


def _counts(report: Report) -> Iterable[tuple[str, int]]:
    for name in ("operations", "parameters", "regions", "outputs", "gradients"):
        count = getattr(report.compared, name)
        if count:
            yield name, count


def _tolerance(report: Report) -> RenderableType:
    asked = report.tolerance
    line = f"tolerance: asked for rtol {asked.get('rtol', 0):.3g}, atol {asked.get('atol', 0):.3g}"
    if report.required_tolerance:
        line += f"; the whole run {_needed(report)}"
    lines = [line]
    for first, second, error in report.contributions[:3]:
        lines.append(f"  adds most: {first or '(root)'} | {second or '(root)'}  {error:.2g}")
    return Text("\n".join(lines))


def _needed(report: Report) -> str:
    """What the whole run needs, in words; either tolerance alone would do."""
    asked, needed = report.tolerance, report.required_tolerance
    if not report.compared.outputs:
        return "was not compared"
    if any(needed[key] <= asked.get(key, 0) for key in ("rtol", "atol") if key in needed):
        return "is within"
    finite = {key: value for key, value in needed.items() if math.isfinite(value)}
    either = " or ".join(f"{key} {value:.3g}" for key, value in (finite or needed).items())
    return f"needs {either}"


NEXT = {
    "passed": "next: train a few steps, steps=5 with both optimizers, or save the map: "
    "suggest_layer_map(...)[0].to_yaml('map.yaml'), padiff-graph suggest PAIR -o map.yaml",
    "the frameworks differ": "next: the models agree but for what the frameworks themselves do "
    "differently; decide whether that matters where it is named",
    "doubt": "next: tell what corresponds with layer_map, so that the rest can be compared; "
    "report.to_html('report.html') or --html report.html shows what is open",
    "": "next: report.to_html('report.html') or --html report.html shows both graphs side by side; "
    "mend the first finding, then run again",
}
"""The next useful command, by what a check came to; "doubt" for every doubt without words here."""


def _next(report: Report) -> Text:
    if report.passed:
        return Text(NEXT["passed"])
    if report.doubt == "rounding":
        return Text(
            "next: if proved rounding is fine, options={'allow_rounding': True} or --allow-rounding"
        )
    return Text(NEXT.get(report.doubt, NEXT["doubt"]))
