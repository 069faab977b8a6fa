"""`assert_ported`: the check as an assertion, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padiff_graph.comparison import compare

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
    report = compare(layer, module, example_inp, auto_weights, steps, options, layer_map, loss_fn, optimizer)
    if not report.passed:
        failing = [finding for finding in report.findings if finding.fails] or [finding for finding in report.findings if finding.verdict != "suspicious"]
        place = f" at {failing[0].paddle_path or 'the root'} (paddle), {failing[0].torch_path or 'the root'} (torch)" if failing else ""
        more = f"; and {len(failing) - 1} more" if len(failing) > 1 else ""
        raise AssertionError(f"{report.models[0]} and {report.models[1]} do not agree{place}: {failing[0].cause if failing else 'no finding'}{more}")
