"""An acceptance card: what was compared, how it was shown, and what this check cannot see.

It goes with a pull request: as Markdown to be read, as JSON to be kept. Nothing is concluded here;
verdict and obligations are the report's.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from importlib import import_module
from typing import Any

from padiff_graph.capture.engine import Engine
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.remote.whole import is_away
from padiff_graph.errors import UsageError
from padiff_graph.executor.cut_graphs import cut_graphs
from padiff_graph.export.card_text import card_text
from padiff_graph.export.planted_faults import SEED, Planted, plant_faults
from padiff_graph.file_writing import write_text
from padiff_graph.findings.obligation import OBLIGATIONS
from padiff_graph.printable import json_text
from padiff_graph.report.report import Report
from padiff_graph.report.terminal import report_headline
from padiff_graph.sides.recorded_engine import is_recorded
from padiff_graph.version import __version__

__all__ = ["CARD_VERSION", "card_data", "write_card"]

CARD_VERSION = 1


def write_card(report: Report, path: str | os.PathLike[str]) -> None:
    """Writes an acceptance card, `.md` or `.json`.

    Faults are planted in the captured second graph for it, to say which bugs this check would miss
    on its input; that takes at most half a minute.

    Args:
        report: of this process, with its models still alive.
        path: where to write; its ending decides the form.

    Raises:
        UsageError: another ending.
    """
    ending = os.path.splitext(path)[1]
    if ending not in (".md", ".json"):
        raise UsageError(f"a card is a .md or a .json file; found {os.fspath(path)}")
    card = card_data(report)
    text = json_text(card) if ending == ".json" else card_text(card)
    write_text(path, text)


@one_at_a_time
def card_data(report: Report) -> dict[str, Any]:
    """The card as JSON holds it; its members are described in docs/card.md."""
    return {
        "card_version": CARD_VERSION,
        "headline": report_headline(report).plain,
        "passed": report.passed,
        "equivalent": report.equivalent,
        "tool": {
            "padiff-graph": __version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
        },
        "models": [_model(report, side) for side in (0, 1)],
        "compared": asdict(report.compared),
        "tolerance": dict(report.tolerance),
        "options": {name: str(value) for name, value in report.options.items()},
        "findings": [
            {"verdict": finding.verdict, "cause_id": finding.cause_id, "cause": finding.cause}
            for finding in report.findings
        ],
        "obligations": [
            {
                "name": entry.name,
                "meaning": OBLIGATIONS[entry.name],
                "status": entry.status,
                "by": entry.by,
            }
            for entry in report.obligations
        ],
        "noise": {
            name: float(value) if math.isfinite(value) else str(value)
            for name, value in report.noise.items()
        },
        "planted": _planted(report),
        "notes": list(report.notes),
    }


def _model(report: Report, side: int) -> dict[str, Any]:
    """One model: what it is, which weights it holds, and what of it the check did not reach."""
    framework = report.frameworks[side]
    facts: dict[str, Any] = {"name": report.models[side], "framework": framework}
    if report.matching is None or report.engines is None:
        return facts
    engine = report.engines[side]
    graph = (report.matching.first, report.matching.second)[side].graph
    if not is_away(engine):
        if not is_recorded(engine):
            facts["version"] = str(getattr(import_module(framework), "__version__", ""))
        facts["weights_sha256"] = weights_hash(engine)
    regions = cut_graphs(report.matching).regions
    slices = [(region.first, region.second)[side] for region in regions]
    reached = {number for part in slices for number in part.nodes}
    return facts | {
        "mode": "training" if graph.training else "evaluation",
        "inputs": {node.name: _type(graph, node.id) for node in graph.of_kind("input")},
        "certificate": str(graph.certificate),
        "coverage": _coverage(graph, reached),
    }


def _type(graph: ComputationGraph, number: int) -> str:
    kind = graph.record(number).type()
    return "" if kind is None else f"{kind.dtype} {list(kind.shape)}"


def weights_hash(engine: Engine) -> str:
    """SHA-256 of all parameters and buffers: of each its name, dtype, shape and bytes, by name."""
    digest = hashlib.sha256()
    with engine.quiet():
        tensors = engine.parameters()
        for name in sorted(tensors):
            array = engine.array(tensors[name])
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _coverage(graph: ComputationGraph, reached: Iterable[int]) -> dict[str, Any]:
    """What of a model no region holds, no operation reads, and no call runs."""
    operations = graph.of_kind("operation")
    inside = frozenset(reached)
    outside = [node for node in operations if node.id not in inside]
    leaves = [*graph.of_kind("parameter"), *graph.of_kind("buffer")]
    read = {node.name for node in leaves if graph.out_degree(node.id)}
    paths = {node.path for node in operations}
    run = {path[: place + len(part)] for path in paths for place, part in _parts(path)}
    return {
        "operations": len(operations),
        "operations_not_reached": dict(Counter(node.op for node in outside)),
        "parameters": len(graph.parameters),
        "parameters_not_read": [name for name in graph.parameters if name not in read],
        "modules_not_run": [path for path in graph.modules if path and path not in run],
    }


def _parts(path: str) -> Iterable[tuple[int, str]]:
    """Each part of a dotted path with its place."""
    place = 0
    for part in path.split("."):
        yield place, part
        place += len(part) + 1


def _planted(report: Report) -> dict[str, Any]:
    """Which faults the check would miss."""
    if report.matching is None or report.engines is None:
        planted = Planted(reason="a model could not be captured")
    elif not report.compared.regions:
        planted = Planted(reason="no region was compared")
    else:
        backward = report.options.get("diff_phase", "both") != "forward"
        planted = plant_faults(report.matching, report.engines, backward=backward)
    missed = Counter((fault.what, fault.op) for fault in planted.missed)
    return {
        "tried": len(planted.faults),
        "possible": planted.possible,
        "shown": planted.shown,
        "missed": len(planted.missed),
        "stops": sum(fault.outcome == "stops" for fault in planted.faults),
        "share_shown": planted.share,
        "seed": SEED,
        "reason": planted.reason,
        "would_miss": [
            {"what": what, "op": op, "count": count, "places": _places(planted, what)}
            for (what, op), count in missed.most_common()
        ],
    }


def _places(planted: Planted, what: str) -> list[str]:
    """Modules that a missed fault was planted in."""
    return [fault.path or "(root)" for fault in planted.missed if fault.what == what]
