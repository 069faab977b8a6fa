"""`padiff-graph demo`: the shipped port checked twice, once right and once with its two bugs."""

from __future__ import annotations

import click

from padiff_graph.cli.exit_codes import ALIGNED, DIFFERENT
from padiff_graph.cli.files import output_file, views, written
from padiff_graph.cli.speech import headline, quiet

__all__ = ["demo"]

PAIRS = "padiff_graph_examples.resnet_port"
TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}
TRIALS = (
    ("healthy", "1. paddle.vision's ResNet-18 against a torch ResNet-18 that is built differently"),
    (
        "buggy",
        "2. a port with two bugs: one BatchNorm has TensorFlow's epsilon, one block lost its inner "
        "ReLU",
    ),
)


@output_file("--html", help="write the report on the port with bugs as a page")
def demo(html: str | None) -> int:
    """Check a shipped ResNet-18 port, once right and once with two bugs.

    Needs both frameworks. Ends with 0 where the first passes and the second does not.
    """
    from padiff_graph.check.comparison import compare
    from padiff_graph.cli.targets import load_pair
    from padiff_graph.report.terminal import report_headline

    reports = []
    for name, title in TRIALS:
        if not quiet():
            click.echo(f"{title}\n   padiff-graph align {PAIRS}:{name} --rtol 1e-4 --atol 1e-6\n")
        report = compare(**load_pair(f"{PAIRS}:{name}"), options=TOLERANCE)
        reports.append(report)
        if quiet():
            headline(report_headline(report).plain)
        else:
            report.show()
            click.echo()
    right, wrong = reports
    as_told = right.passed and not wrong.passed
    return written(views(wrong, html, None, None), ALIGNED if as_told else DIFFERENT)
