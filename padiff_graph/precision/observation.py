"""What the user saw between two runs, held against the band of each output."""

from __future__ import annotations

from dataclasses import replace

from padiff_graph.findings.precision_result import OutputError
from padiff_graph.precision.trials import distance
from padiff_graph.request.saved_outputs import SavedOutputs

__all__ = ["with_observed"]

Observed = tuple[tuple[OutputError, ...], float | None, tuple[str, ...]]


def with_observed(
    outputs: tuple[OutputError, ...], observed: float | SavedOutputs | None
) -> Observed:
    """The outputs with what was seen of each, the largest that was seen, and what the user should
    know of it, in sentences."""
    if not isinstance(observed, SavedOutputs):
        return outputs, observed, ()
    seen: list[OutputError] = []
    lost: list[str] = []
    for number, output in enumerate(outputs):
        names = output.first_name, output.second_name
        saved = observed.of(number, names, len(outputs))
        if saved is None or saved[0].size != output.size:
            lost.append(output.first_name or "the output")
            seen.append(output)
        else:
            seen.append(replace(output, observed=distance(*saved)))
    largest = [output.observed for output in seen if output.observed is not None]
    return tuple(seen), max(largest, default=None), _said(lost, observed)


def _said(lost: list[str], observed: SavedOutputs) -> tuple[str, ...]:
    if not lost:
        return ()
    return (
        f"the saved outputs ({len(observed.first)} of each model) were not held against "
        f"{', '.join(lost)}: neither their names nor their number and sizes say which is which; "
        "save them under the outputs' names with numpy.savez",
    )
