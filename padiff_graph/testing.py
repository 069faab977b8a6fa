"""`assert_ported`: the check as an assertion, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padiff_graph.check.comparison import compare
from padiff_graph.report.report import Report
from padiff_graph.report.terminal import finding_text
from padiff_graph.request.options import rounding_allowed

__all__ = ["assert_ported"]

SHOWN = 8
"""Lines of a report without findings that stand in the message: the answer and the tolerances."""


def assert_ported(
    layer: Any,
    module: Any,
    example_inp: Any = None,
    auto_weights: bool = True,
    steps: int = 1,
    options: Mapping[str, Any] | None = None,
    layer_map: Any = None,
    loss_fn: Any = None,
    optimizer: Any = None,
    train_step: Any = None,
) -> None:
    """The check for tests: silent where the models agree. Where neither atol nor rtol is given,
    proved rounding is allowed.

    Raises:
        AssertionError: with the report's first finding, where they do not.
        UsageError: for a call that cannot mean anything.
    """
    __tracebackhide__ = True  # pytest shows the test's own line and the message
    report = compare(
        layer,
        module,
        example_inp,
        auto_weights,
        steps,
        rounding_allowed(options),
        layer_map,
        loss_fn,
        optimizer,
        train_step,
    )
    if not report.passed:
        models = f"{report.models[0]} and {report.models[1]}"
        raise AssertionError(f"{models} do not agree.\n{_first_finding(report)}")


def _first_finding(report: Report) -> str:
    """The finding to mend first, and how many more there are."""
    telling = [finding for finding in report.findings if finding.fails]
    if not telling:
        telling = [finding for finding in report.findings if finding.verdict != "suspicious"]
    if not telling:
        return "\n".join(str(report).splitlines()[:SHOWN])
    text = finding_text(telling[0], report.frameworks).rstrip()
    if len(telling) > 1:
        text += f"\nand {len(telling) - 1} more; compare(...).show() tells them all"
    return text
