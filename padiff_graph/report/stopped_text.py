"""What is said of a model that raised, and the same as JSON can hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from padiff_graph.findings.stopped_model import Beside, HeldTensor, StoppedModel
from padiff_graph.report.report_json import SCHEMA_VERSION, finding_data
from padiff_graph.report.terminal import TITLES
from padiff_graph.report.wording import noun

__all__ = ["stopped_data", "stopped_text"]

SHOWN = 8
"""Variables that are listed; chosen so that they stay a line or two."""
PART = "the part that ran before"
MODELS = "both models without it"
BEHIND = (
    "the forward of both models runs; what raised is asked behind it: a loss, an optimizer, a "
    "training step or a backward"
)


def stopped_data(stopped: StoppedModel) -> dict[str, Any]:
    """The facts as JSON can hold them."""
    data = asdict(stopped)
    data["findings"] = [finding_data(finding) for finding in stopped.findings]
    return {"schema_version": SCHEMA_VERSION, "passed": False, "stopped": data}


def stopped_text(stopped: StoppedModel) -> str:
    """Some lines: where it stopped, what stood there, what the other model has there, and how what
    ran before compares."""
    if stopped.number is None:
        return "\n".join([BEHIND, *_part(stopped, None, MODELS)])
    number = stopped.number
    lines = [*_stop(stopped, number), *_other(stopped, number), *_part(stopped, number, PART)]
    return "\n".join(lines)


def _stop(stopped: StoppedModel, number: int) -> list[str]:
    model = _model(stopped, number)
    what = f"the trace of the {model}" if stopped.traced else f"the {model}"
    lines = [f"{what} stopped in {_where(stopped.path, stopped.kind)}"]
    if stopped.source:
        lines += [f"  {stopped.source}", f"  > {stopped.code}"]
    if stopped.variables:
        lines.append(f"  variables there: {_listed(stopped.variables[:SHOWN])}")
    if stopped.given:
        lines.append(f"  it was given {_listed(stopped.given)}")
    if stopped.weights:
        lines.append(f"  it holds {_listed(stopped.weights)}")
    return lines


def _other(stopped: StoppedModel, number: int) -> list[str]:
    if stopped.unasked:
        return []
    model, beside = _model(stopped, 1 - number), stopped.beside
    if beside is None:
        return [f"the {model} has nothing behind what both had computed by then"]
    lines = [f"the {model} goes on with {_where(beside.path, beside.op)}"]
    if beside.source:
        lines.append(f"  {beside.source}")
    lines += [f"  it {verb} {_listed(tensors)}" for verb, tensors in _verbs(beside) if tensors]
    return lines


def _verbs(beside: Beside) -> list[tuple[str, tuple[HeldTensor, ...]]]:
    return [("is given", beside.given), ("holds", beside.weights), ("yields", beside.yielded)]


def _part(stopped: StoppedModel, number: int | None, what: str) -> list[str]:
    if stopped.unasked:
        return [f"{what} was not compared: {stopped.unasked}"]
    if not stopped.traced:
        count = sum(stopped.regions.values())
        if not count:
            return [f"{what}: there is no region to compare"]
        kinds = ", ".join(f"{number} {kind}" for kind, number in stopped.regions.items())
        lines = [f"{what}: {count} {noun('regions', count)} compared, {kinds}"]
    else:
        count = stopped.matched
        lines = [f"{what}: {count} {noun('operations', count)} matched; no numbers to run them on"]
    for finding in stopped.findings:
        place = (finding.paddle_path, finding.torch_path)[number or 0]
        lines.append(f"  different ({finding.phase}) at {place or '(root)'}: {finding.cause}")
    return lines


def _model(stopped: StoppedModel, number: int) -> str:
    framework = stopped.frameworks[number]
    return f"{TITLES.get(framework, framework)} model {stopped.models[number]}"


def _where(path: str, kind: str) -> str:
    return f"{path or '(root)'} ({kind})"


def _listed(tensors: Sequence[HeldTensor]) -> str:
    return ", ".join(
        f"{tensor.name or 'a value'} {list(tensor.shape)} {tensor.dtype}" for tensor in tensors
    )
