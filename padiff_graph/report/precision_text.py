"""What half precision does to both models, in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from padiff_graph.findings.precision_result import GradientError, OutputError, PrecisionResult

__all__ = ["precision_text"]

SHOWN = 3
"""How many outputs are named; chosen so that the report stays one screen."""
DRIFT = {True: "drift: rounding may explain it", False: "more than drift"}


def precision_text(result: PrecisionResult, frameworks: Sequence[str]) -> str:
    """Errors of both sides, what two runs may differ by, and what an observed difference is."""
    lines = [f"{result.precision}, run by emulation ({result.assumed}):"]
    shown = [*result.outputs[:SHOWN], *([] if result.loss is None else [result.loss])]
    lines += [_output(output, frameworks) for output in shown]
    lines += _said(result, frameworks)
    return "\n".join(lines)


def _output(output: OutputError, frameworks: Sequence[str]) -> str:
    first, second = _sides(frameworks)
    errors = (
        f"off by {output.first_error:.2g} ({first}), {output.second_error:.2g} ({second}) "
        f"at {output.scale:.3g}"
    )
    apart = f"apart {output.difference:.2g}; two runs may be apart by {output.band:.2g}"
    return f"  {output.first_name}: {errors}; {apart}"


def _gradients(gradients: Sequence[GradientError], frameworks: Sequence[str]) -> str:
    """How far off gradients are, at the worst of them, each on its own scale."""
    first, second = _sides(frameworks)

    def worst(error: Callable[[GradientError], float]) -> str:
        return (
            f"{max(error(entry) / entry.scale if entry.scale else 0.0 for entry in gradients):.2g}"
        )

    return (
        f"  {len(gradients)} gradients of parameters: off by at most "
        f"{worst(lambda entry: entry.first_error)} of the largest ({first}), "
        f"{worst(lambda entry: entry.second_error)} ({second}); apart "
        f"{worst(lambda entry: entry.difference)}; two runs may be apart by "
        f"{worst(lambda entry: entry.band)}"
    )


def _sides(frameworks: Sequence[str]) -> tuple[str, str]:
    return (frameworks[0], frameworks[1]) if frameworks[0] != frameworks[1] else ("first", "second")


def _said(result: PrecisionResult, frameworks: Sequence[str]) -> Iterator[str]:
    if result.drift is not None:
        yield f"  observed {result.observed:.3g}: {DRIFT[result.drift]}"
    for output in result.outputs:
        if output.beyond:
            yield (
                f"    {output.first_name}: {output.observed:.3g}, beyond {output.band:.2g}: no "
                "rounding"
            )
    if result.gradients:
        yield _gradients(result.gradients, frameworks)
    if result.closest is not None:
        first, second, before, after = result.closest
        place = f"{first or '(root)'} | {second or '(root)'}"
        yield f"  brings both nearest: the cast at {place}, {before:.2g} to {after:.2g} on average"
