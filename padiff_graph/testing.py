"""`assert_ported`: the check as an assertion, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padiff_graph.check.comparison import compare
from padiff_graph.report.terminal import finding_text

__all__ = ["assert_ported"]


def assert_ported(
    layer: Any,
    module: Any,
    example_inp: Any,
    auto_weights: bool = True,
    steps: int = 1,
    options: Mapping[str, Any] | None = None,
    layer_map: Any = None,
    loss_fn: Any = None,
    optimizer: Any = None,
) -> None:
    """The check for tests: silent where the models agree.

    Raises:
        AssertionError: with the report's first finding, where they do not.
        UsageError: for a call that cannot mean anything.
    """
    __tracebackhide__ = True  # pytest shows the test's own line and the message
    report = compare(
        layer, module, example_inp, auto_weights, steps, options, layer_map, loss_fn, optimizer
    )
    if not report.passed:
        failing = [finding for finding in report.findings if finding.fails] or [
            finding for finding in report.findings if finding.verdict != "suspicious"
        ]
        more = (
            f"\nand {len(failing) - 1} more; compare(...).show() tells them all"
            if len(failing) > 1
            else ""
        )
        first = (
            finding_text(failing[0], report.frameworks).rstrip()
            if failing
            else "\n".join(str(report).splitlines()[:8])
        )
        raise AssertionError(
            f"{report.models[0]} and {report.models[1]} do not agree.\n{first}{more}"
        )
