"""Reading an ONNX model: checked, complete, functions inlined, one opset table.

Every way in which a file can be bad ends in a `CaptureError` that says what to do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.onnx.structure import check_functions, check_structure, inner_graphs

__all__ = ["inferred", "load", "opsets", "schema_of"]

OLDEST = 7
"""Oldest default-domain opset read; older ones broadcast by an attribute."""
NEWEST = 2**31 - 1
"""Largest version that onnx can be asked for; the format holds 64 bits."""


def load(model: Any) -> onnx.ModelProto:
    """The model, whole: from a ModelProto or a path, external data read, local functions inlined.

    Raises:
        CaptureError: the file is missing, truncated, of another type, lacks its external data, is
            invalid, or uses an operator that no schema or function defines.
    """
    proto = _read(Path(model)) if isinstance(model, (str, os.PathLike)) else model
    if not proto.HasField("graph") or not proto.opset_import:
        raise CaptureError(
            "expected an ONNX model with a graph and an opset; found none;"
            " was the file written completely?"
        )
    version = opsets(proto).get("", OLDEST)
    if version < OLDEST:
        raise CaptureError(
            f"expected opset {OLDEST} or newer; found {version};"
            " convert the model with onnx.version_converter first"
        )
    if proto.functions:
        check_functions(proto)
        proto = onnx.inliner.inline_local_functions(proto)
    _known(proto)
    check_structure(proto.graph)
    return proto


def opsets(proto: onnx.ModelProto) -> dict[str, int]:
    """Opset version by domain; the default domain is ""."""
    return {_domain(entry.domain): entry.version for entry in proto.opset_import}


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def schema_of(node: onnx.NodeProto, versions: Mapping[str, int]) -> onnx.defs.OpSchema | None:
    """The schema that defines a node's operator, None where there is none."""
    domain = _domain(node.domain)
    version = versions.get(domain, 1)
    if version > NEWEST or not isinstance(node.op_type, str):  # bytes where it is no text
        return None
    try:
        return onnx.defs.get_schema(node.op_type, version, domain)
    except onnx.defs.SchemaError:
        return None


def inferred(model: onnx.ModelProto, *, values: bool = False) -> onnx.ModelProto:
    """The model with the types that shape inference finds; with `values`, through shapes too.

    Raises:
        CaptureError: its shapes do not fit together.
    """
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=values)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise CaptureError(
            f"the model's shapes do not fit together: {error};"
            " check the example's shapes and the model with onnx.checker"
        ) from error


def _read(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise CaptureError(f"expected an ONNX file at {path}; there is none; check the path")
    try:
        proto = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, UnicodeDecodeError) as error:
        raise CaptureError(
            f"expected an ONNX model in {path};"
            f" the file is truncated or of another type ({error}); export the model again"
        ) from error
    try:
        onnx.load_external_data_for_model(proto, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise CaptureError(
            f"expected the external data of {path} beside it; {error};"
            " copy the data file next to the model"
        ) from error
    return proto


def _known(proto: onnx.ModelProto) -> None:
    """Refuses operators that nothing defines, naming all of them."""
    versions = opsets(proto)
    unknown: set[str] = set()

    def visit(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if schema_of(node, versions) is None:
                unknown.add(f"{node.domain or 'ai.onnx'}.{node.op_type}")
            for inner in inner_graphs(node):
                visit(inner)

    visit(proto.graph)
    if unknown:
        raise CaptureError(
            f"expected operators that the installed onnx package {onnx.__version__} defines;"
            f" found {', '.join(sorted(unknown))}; bring their definition as local functions"
            " in the model, or export without custom operators"
        )
