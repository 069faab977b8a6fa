"""The report as plain data, for JSON. The schema stands in `schema.json` beside this file."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from padiff_graph.file_writing import write_text
from padiff_graph.findings.finding import Finding
from padiff_graph.findings.precision_result import PrecisionResult
from padiff_graph.matching.result import ParameterRow
from padiff_graph.printable import json_text
from padiff_graph.report.compared_tensor import ComparedTensor
from padiff_graph.report.report import Report
from padiff_graph.report.told_findings import reason_data
from padiff_graph.report.unread_parameter import UnreadParameter

__all__ = [
    "SCHEMA_VERSION",
    "finding_data",
    "parameter_data",
    "report_data",
    "report_schema",
    "write_json",
]

SCHEMA_VERSION = 1


def report_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that `report_data` keeps to."""
    text = files("padiff_graph.report").joinpath("schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def report_data(report: Report) -> dict[str, Any]:
    """The report as JSON can hold it; infinite numbers as the strings "inf", "-inf", "nan"."""
    return {
        "schema_version": SCHEMA_VERSION,
        "passed": report.passed,
        "equivalent": report.equivalent,
        "models": list(report.models),
        "frameworks": list(report.frameworks),
        "compared": asdict(report.compared),
        "findings": [finding_data(finding) for finding in report.findings],
        "noise": {key: _number(value) for key, value in report.noise.items()},
        "obligations": [asdict(obligation) for obligation in report.obligations],
        "regions": dict(report.regions),
        "parameters": [parameter_data(row) for row in report.parameters],
        "unread": [unread_data(parameter) for parameter in report.unread],
        "tolerance": {key: _number(value) for key, value in report.tolerance.items()},
        "required_tolerance": {
            key: _number(value) for key, value in report.required_tolerance.items()
        },
        "contributions": [
            {"paddle_path": first, "torch_path": second, "error": _number(error)}
            for first, second, error in report.contributions
        ],
        "depth": [
            {
                "order": order,
                "paddle_path": first,
                "torch_path": second,
                "phase": phase,
                "relative_error": _number(error),
                "verdict": verdict,
            }
            for order, first, second, phase, error, verdict in report.depth
        ],
        "rounding": [_number(bound) for bound in report.rounding],
        "outputs": [tensor_data(tensor) for tensor in report.outputs],
        "layers": [tensor_data(tensor) for tensor in report.layers],
        "training": [_finite(asdict(step)) for step in report.training],
        "timings": {key: _number(value) for key, value in report.timings.items()},
        "options": {
            key: value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
            for key, value in report.options.items()
        },
        "notes": list(report.notes),
        "precision": None if report.precision is None else _precision(report.precision),
    }


def _precision(result: PrecisionResult) -> dict[str, Any]:
    """Both models in half precision."""
    data = {**asdict(result), "band": result.band, "drift": result.drift}
    finite: dict[str, Any] = _finite(data)
    return finite


def _finite(data: Any) -> Any:
    """The same with infinite numbers as strings."""
    if isinstance(data, dict):
        return {name: _finite(member) for name, member in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(member) for member in data]
    return _number(data) if isinstance(data, float) else data


def finding_data(finding: Finding) -> dict[str, Any]:
    """One finding."""
    return {
        "phase": finding.phase,
        "verdict": finding.verdict,
        "cause": finding.cause,
        "cause_id": finding.cause_id,
        "reason": reason_data(finding.reason),
        "paddle_path": finding.paddle_path,
        "torch_path": finding.torch_path,
        "paddle_op": finding.paddle_op,
        "torch_op": finding.torch_op,
        "paddle_source": finding.paddle_source,
        "torch_source": finding.torch_source,
        "error": _number(finding.error),
        "relative": _number(finding.relative),
        "places": [list(place) for place in finding.places],
        "advice": finding.advice,
        "order": finding.order,
    }


def tensor_data(tensor: ComparedTensor) -> dict[str, Any]:
    """One compared tensor."""
    return {
        "paddle": tensor.first,
        "torch": tensor.second,
        "op": tensor.op,
        "verdict": tensor.verdict,
        "cosine": tensor.cosine,
        "relative_l2": _number(tensor.relative_l2),
        "error": _number(tensor.error),
        "index": list(tensor.index),
        "shape": list(tensor.shape),
    }


def parameter_data(row: ParameterRow) -> dict[str, Any]:
    """One row of the parameter map."""
    return {
        "paddle_name": row.first,
        "torch_names": list(dict.fromkeys(piece.second for piece in row.pieces)),
        "transform": row.transform,
        "status": row.status,
        "confidence": row.confidence,
        "reason": row.reason,
        "proved": row.proved,
    }


def unread_data(parameter: UnreadParameter) -> dict[str, Any]:
    """One parameter that neither run reads."""
    return {
        "paddle_name": parameter.first,
        "torch_name": parameter.second,
        "shape": list(parameter.shape),
        "equal": parameter.equal,
    }


def write_json(report: Report, path: str | os.PathLike[str] | None = None) -> str:
    """The report as JSON text; written to a file where one is named."""
    text = json_text(report_data(report))
    if path is not None:
        write_text(path, text)
    return text


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))
