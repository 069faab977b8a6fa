"""Help with a model that raises: of a forward the part that runs is compared with the other model,
captured and cut into regions as any model is, and the place is named where it stops; where both
forwards run, the models are compared without what raised behind them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any

from padiff_graph.capture.backend import backend
from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.partial_runs import cut_short
from padiff_graph.capture.remote.errors import SideEndedError
from padiff_graph.capture.remote.handles import RemoteModel
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.errors import UsageError, short_message, wants_memory
from padiff_graph.findings.finding import Finding
from padiff_graph.findings.stopped_model import ATTRIBUTE, Beside, HeldTensor, StoppedModel
from padiff_graph.matching.result import Matching
from padiff_graph.report.report import Report
from padiff_graph.report.stopped_text import stopped_text
from padiff_graph.request.module_tree import has_modules
from padiff_graph.request.targets import users_own

__all__ = ["NOTHING_RAN", "goes_on", "stop_of", "stopped_at", "tell_where_it_stopped"]

LOG = logging.getLogger(__name__)
NOTHING_RAN = "no module had computed anything by then"
Check = Callable[[CheckRequest], Report]
Facts = dict[str, Any]


def tell_where_it_stopped(request: CheckRequest, error: BaseException, check: Check) -> None:
    """Notes on an exception where a model raised it, and what the part before it shows.

    Args:
        request: of the check that ended by the exception.
        error: it gets the attribute that `stopped_model` reads, and a note for its traceback
            (Python 3.11 on).
        check: checks a request; nothing that it changes in the models stays.
    """
    if isinstance(error, (UsageError, SideEndedError)) or wants_memory(error):
        return
    with ExitStack() as stack:
        try:
            both = zip(request.models, request.examples, request.frameworks, strict=True)
            stops = [stop_of(stack, *own) for own in both]
        except Exception as again:  # whatever the user's code raises when it runs once more
            LOG.info("the run that raised could not be repeated", exc_info=again)
            return
        number = next((number for number, stop in enumerate(stops) if stop is not None), None)
        if number is None:
            told = _ran_whole(request, error, check)
        else:
            told = stopped_at(request.names, request.frameworks, number, stops[number] or {})
            ran = (stops[number] or {})["computed"]
            told = _with_part(told, request, check) if ran else replace(told, unasked=NOTHING_RAN)
        setattr(error, ATTRIBUTE, told)
    if hasattr(error, "add_note"):
        error.add_note(stopped_text(getattr(error, ATTRIBUTE)))


def stop_of(
    stack: ExitStack, model: Any, example: Mapping[str, Any], framework: str, numbers: bool = True
) -> Facts | None:
    """Where a model stops, which is cut short there until the stack unwinds; `numbers` as of
    `cut_short`."""
    context: AbstractContextManager[Facts | None]
    if isinstance(model, RemoteModel):
        client: Any = model.caller
        context = client.within("partial.cut_short", model, example, numbers=numbers)
    elif has_modules(model):
        context = cut_short(backend(framework), model, example, numbers=numbers)
    else:
        return None
    return stack.enter_context(context)


def stopped_at(
    names: tuple[str, str], frameworks: tuple[str, str], number: int, stop: Facts
) -> StoppedModel:
    """What is known of the place where one of two models stopped."""
    source, code = users_own([frame[:3] for frame in stop["frames"]])
    variables = [held for file, line, _, held in stop["frames"] if f"{file}:{line}" == source]
    return StoppedModel(
        number,
        names,
        frameworks,
        short_message(stop["error"]),
        stop["path"],
        stop["kind"],
        source,
        code,
        _held(stop["given"]),
        _held(stop["weights"]),
        _held(variables[-1] if variables else []),
    )


def _held(tensors: list[Any]) -> tuple[HeldTensor, ...]:
    return tuple(HeldTensor(str(name), dtype, tuple(shape)) for name, dtype, shape in tensors)


def _ran_whole(request: CheckRequest, error: BaseException, check: Check) -> StoppedModel:
    """Of models whose forwards run, since a loss, an optimizer, a step or a backward raised: how
    they compare without losses and training, or forward alone where their backward raises too."""
    said = short_message(f"{type(error).__name__}: {error}")
    told = StoppedModel(None, request.names, request.frameworks, said, "", "", "", "")
    compared = _with_part(told, request, check)
    if compared.unasked and request.options.backward:
        options = replace(request.options, diff_phase="forward")
        forward = _with_part(told, replace(request, options=options), check)
        compared = compared if forward.unasked else forward
    return compared


def _with_part(told: StoppedModel, request: CheckRequest, check: Check) -> StoppedModel:
    """With what a check of the part that runs comes to."""
    bare = replace(request, losses=None, steppers=None, loops=None, steps=1, further=())
    try:
        report = check(bare)
    except Exception as error:  # the part that runs may raise in its backward, too
        return replace(told, unasked=f"{type(error).__name__}: {short_message(str(error))}")
    if report.matching is None:
        reason = next((finding.cause for finding in report.findings), "it could not be captured")
        return replace(told, unasked=short_message(reason))
    return replace(
        told,
        beside=None if told.number is None else goes_on(report.matching, told.number),
        regions=dict(report.regions),
        findings=tuple(finding for finding in report.findings if _of_the_part(finding)),
    )


def _of_the_part(finding: Finding) -> bool:
    """Whether a finding is about what both models ran; what the rest would have had is not."""
    return finding.verdict == "different" and finding.phase in ("forward", "backward", "weights")


def goes_on(matching: Matching, stopped: int) -> Beside | None:
    """The first operation of the other model behind all that ran, whose operands were computed."""
    other: NormalGraph = (matching.second, matching.first)[stopped]
    matched = {(match.second, match.first)[stopped] for match in matching.matches}
    last = max((node for node in matched if not other.nodes[node].leaf), default=-1)
    for node in other.nodes:
        if node.id > last and not node.leaf and node.native and _ready(other, node, matched):
            return _place(other.graph, node)
    return None


def _ready(other: NormalGraph, node: NormalNode, matched: set[int]) -> bool:
    sources = [edge.source for edge in node.inputs if edge is not None]
    return all(source in matched or other.nodes[source].leaf for source in sources)


def _place(graph: ComputationGraph, node: NormalNode) -> Beside:
    record = graph.record(node.native[-1])
    own = set(node.native)
    reads = [
        graph.record(value.node)
        for number in node.native
        for value in graph.record(number).inputs
        if value is not None and value.node not in own
    ]
    weights = [read for read in reads if read.kind in ("parameter", "buffer")]
    given = [read for read in reads if read.kind in ("input", "operation")]
    return Beside(node.path, record.op, node.source, _of(given), _of(weights), _of([record]))


def _of(records: list[Node]) -> tuple[HeldTensor, ...]:
    """What nodes yield, each once."""
    held: dict[HeldTensor, None] = {}
    for record in records:
        kind = record.type()
        if kind is not None:
            held[HeldTensor(record.name or record.path, kind.dtype, tuple(kind.shape))] = None
    return tuple(held)
