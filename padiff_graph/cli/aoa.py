"""AOA statements on the command line: written from a map, and held against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from padiff_graph.cli.exit_codes import ALIGNED, DIFFERENT
from padiff_graph.cli.speech import headline, say

if TYPE_CHECKING:
    from padiff_graph.export.aoa_language import Statement
    from padiff_graph.report.layer_map_candidate import LayerMapCandidate

__all__ = ["checked_aoa", "statements_of", "write_statements"]

SHOWN = 12
"""Contradictions that are told before they are counted; chosen so that they stay one screen."""


def statements_of(path: str | None) -> Sequence[Statement] | None:
    """The statements of a file, None where none is named."""
    if path is None:
        return None
    from padiff_graph.export.aoa import read_aoa

    return read_aoa(path)


def write_statements(candidate: LayerMapCandidate, path: str) -> str:
    """Writes the map as statements, and says how many."""
    from padiff_graph.errors import NotWrittenError, UsageError
    from padiff_graph.export.aoa import write_aoa

    try:
        said = write_aoa(candidate.parameters, path, candidate.layer_map.unused_second)
    except UsageError as error:  # the map is found; a file that was asked for is not there
        raise NotWrittenError(f"{path} cannot be written: {error}") from None
    return f"{path}, {len(said)} statements"


def checked_aoa(statements: Sequence[Statement] | None, candidate: LayerMapCandidate) -> int:
    """Holds statements against the map and says what they contradict; the exit code."""
    if statements is None:
        return ALIGNED
    from padiff_graph.export.aoa import check_aoa

    wrong = check_aoa(statements, candidate.parameters)
    if not wrong:
        headline(f"AOA: all {len(candidate.parameters)} parameters come out as the map has them")
        return ALIGNED
    headline(f"AOA: {len(wrong)} of {len(candidate.parameters)} parameters come out otherwise")
    for sentence in wrong[:SHOWN]:
        say(f"  {sentence}")
    if len(wrong) > SHOWN:
        say(f"  and {len(wrong) - SHOWN} more")
    return DIFFERENT
