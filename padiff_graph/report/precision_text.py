"""What half precision does to both models, in a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from padiff_graph.findings.precision_result import OutputError, PrecisionResult

__all__ = ["precision_text"]

SHOWN = 3
"""How many outputs are named; chosen so that the report stays one screen."""
DRIFT = {True: "drift: rounding may explain it", False: "more than drift"}


def precision_text(result: PrecisionResult, frameworks: Sequence[str]) -> str:
    """Errors of both sides, what two runs may differ by, and what an observed difference is."""
    lines = [f"{result.precision}, run by emulation ({result.assumed}):"]
    lines += [_output(output, frameworks) for output in result.outputs[:SHOWN]]
    lines += _said(result)
    return "\n".join(lines)


def _output(output: OutputError, frameworks: Sequence[str]) -> str:
    first, second = frameworks[:2] if frameworks[0] != frameworks[1] else ("first", "second")
    errors = (
        f"off by {output.first_error:.2g} ({first}), {output.second_error:.2g} ({second}) "
        f"at {output.scale:.3g}"
    )
    apart = f"apart {output.difference:.2g}; two runs may be apart by {output.band:.2g}"
    return f"  {output.first_name}: {errors}; {apart}"


def _said(result: PrecisionResult) -> Iterator[str]:
    if result.drift is not None:
        yield f"  observed {result.observed:.3g}: {DRIFT[result.drift]}"
    for output in result.outputs:
        if output.beyond:
            yield (
                f"    {output.first_name}: {output.observed:.3g}, beyond {output.band:.2g}: no "
                "rounding"
            )
    if result.closest is not None:
        first, second, before, after = result.closest
        place = f"{first or '(root)'} | {second or '(root)'}"
        yield f"  brings both nearest: the cast at {place}, {before:.2g} to {after:.2g} on average"
