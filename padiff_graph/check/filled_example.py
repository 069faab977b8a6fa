"""Examples without numbers: no rows at all, or nothing that is finite.

Whatever two models do with these looks alike, so they are asked again about numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.leaf_names import replace as put_in
from padiff_graph.capture.remote.handles import AbsentModel
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.report.report import Report
from padiff_graph.request.inputs import Inputs

__all__ = ["with_filled_example"]

ROWS = 2
"""Length that an axis without places is given: the least at which two rows can be told apart."""
ALSO = "the example holds no numbers in {}: both models were run on random numbers there as well"
REFUSED = (
    "the example holds no numbers in {}, and the models do not run on random numbers there: {}"
)
FRAMEWORKS = {"paddle", "torch"}


def with_filled_example(
    request: CheckRequest, report: Report, check: Callable[[CheckRequest], Report]
) -> Report:
    """The report; that on an example with numbers where the one given has none, and the models
    differ on it.

    Args:
        request: of the check.
        report: what it came to.
        check: runs another check within this one.
    """
    if any(finding.fails for finding in report.findings):
        return report
    if not FRAMEWORKS.issuperset(request.frameworks) or request.observed is not None:
        return report
    if any(isinstance(model, AbsentModel) for model in request.models):
        return report
    filled = _filled(request.frameworks, request.inputs)
    if not filled:
        return report
    names = ", ".join(first for first, _ in filled)
    examples = [
        _with(framework, example, {pair[side]: array for pair, array in filled.items()})
        for side, (framework, example) in enumerate(
            zip(request.frameworks, request.examples, strict=True)
        )
    ]
    inputs = replace(request.inputs, first=examples[0], second=examples[1])
    plain = replace(request, inputs=inputs, further=(), steps=1)
    try:
        again = check(replace(plain, losses=None, steppers=None, loops=None))
    except Exception as error:  # of the user's model, which may take such an example alone
        refusal = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        return replace(report, notes=(*report.notes, REFUSED.format(names, refusal)))
    told = again if any(finding.fails for finding in again.findings) else report
    return replace(told, notes=(*told.notes, ALSO.format(names)))


def _filled(frameworks: tuple[str, str], inputs: Inputs) -> dict[tuple[str, str], Array]:
    """Numbers for what holds none, by the names of both sides."""
    sides = [
        leaves(example, backend(framework).values.is_tensor)
        for framework, example in zip(frameworks, (inputs.first, inputs.second), strict=True)
    ]
    made: dict[tuple[str, str], Array] = {}
    generator = np.random.default_rng(0)
    for first, second in inputs.pairs:
        if first not in sides[0] or second not in sides[1]:
            continue
        ours = backend(frameworks[0]).values.array(sides[0][first])
        theirs = backend(frameworks[1]).values.array(sides[1][second])
        if ours.shape == theirs.shape and ours.dtype == theirs.dtype and _holds_none(ours):
            made[first, second] = _numbers(ours, generator)
    return made


def _holds_none(array: Array) -> bool:
    if array.dtype.kind not in "fiub":
        return False
    return array.size == 0 or (array.dtype.kind == "f" and not np.isfinite(array).any())


def _numbers(like: Array, generator: np.random.Generator) -> Array:
    """Numbers of a dtype, and of a shape with places on every axis; of indices the first, which
    every table has."""
    shape = tuple(size or ROWS for size in like.shape)
    if like.dtype.kind == "f":
        return generator.standard_normal(shape).astype(like.dtype)
    return np.full(shape, like.dtype.kind == "b").astype(like.dtype)


def _with(
    framework: str, example: Mapping[str, Any], arrays: Mapping[str, Array]
) -> Mapping[str, Any]:
    """An example with tensors of its framework put in by name."""
    values = backend(framework).values
    tensors = {name: values.tensor(array) for name, array in arrays.items()}
    filled: Mapping[str, Any] = put_in(example, values.is_tensor, tensors)
    return filled
