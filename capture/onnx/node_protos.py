"""What an ONNX node says, in plain Python: roles, attributes, names read from outside, place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper

from padiff_graph.capture.onnx.load import schema_of

__all__ = ["attributes_of", "captured_names", "place_of", "roles_of"]

SCOPES = "pkg.torch.onnx.name_scopes"
"""Metadata of torch's exporter (seen in torch 2.6 and 2.13): module paths around a node, as the
text of a list of which the last entry is the node itself."""

STACK = "pkg.torch.onnx.stack_trace"
"""Metadata of torch's exporter: the Python stack that made a node."""

FRAME = re.compile(r'File "([^"]+)", line (\d+)')

Formal = onnx.defs.OpSchema.FormalParameterOption


def roles_of(node: onnx.NodeProto, versions: Mapping[str, int]) -> list[str]:
    """The schema's names of a node's operands; positions where no schema is known."""
    schema = schema_of(node, versions)
    formals = [] if schema is None else list(schema.inputs)
    if not formals:
        return [str(position) for position in range(len(node.input))]
    roles = []
    for position in range(len(node.input)):
        formal = formals[min(position, len(formals) - 1)]
        role = formal.name
        if formal.option == Formal.Variadic:
            role += f"[{position - len(formals) + 1}]"
        roles.append(role)
    return roles


def attributes_of(node: onnx.NodeProto, versions: Mapping[str, int]) -> dict[str, Any]:
    """A node's attributes, the schema's defaults filled in."""
    schema = schema_of(node, versions)
    attrs: dict[str, Any] = {}
    if schema is not None:
        for attribute in schema.attributes.values():
            default = _plain(attribute.default_value)
            if default is not None:
                attrs[attribute.name] = default
    attrs.update({attribute.name: _plain(attribute) for attribute in node.attribute})
    return attrs


def captured_names(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node's sub-graphs read from outside, each once."""
    seen = {"", *node.input}
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for name in _read_outside(graph):
                if name not in seen:
                    seen.add(name)
                    yield name


def _read_outside(graph: onnx.GraphProto) -> Iterator[str]:
    inside = {entry.name for entry in (*graph.input, *graph.initializer)}
    for node in graph.node:
        yield from (name for name in (*node.input, *captured_names(node)) if name not in inside)
        inside.update(node.output)
    yield from (entry.name for entry in graph.output if entry.name not in inside)


def _plain(attribute: onnx.AttributeProto) -> Any:
    """An attribute as plain Python; a tensor as numpy, a sub-graph as its name."""
    if attribute.type == onnx.AttributeProto.UNDEFINED:
        return None
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, onnx.GraphProto):
        return f"graph {value.name}"
    if hasattr(value, "__len__") and not isinstance(value, (str, bytes, np.ndarray)):
        return tuple(_text(entry) for entry in value)
    return _text(value)


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _scopes(written: str) -> list[str]:
    """The module paths around a node; none where the text is another one."""
    try:
        around = ast.literal_eval(written)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    if not isinstance(around, list) or not all(isinstance(path, str) for path in around):
        return []
    return around[:-1]


def place_of(node: onnx.NodeProto) -> tuple[str, str]:
    """Module path and source line: by torch's exporter, else the path from a scoped node name."""
    metadata = {entry.key: entry.value for entry in node.metadata_props}
    source = ""
    for file, line in FRAME.findall(metadata.get(STACK, "")):
        if "/torch/" not in file:
            source = f"{file}:{line}"
    if metadata.get(SCOPES):
        return next((path for path in reversed(_scopes(metadata[SCOPES])) if path), ""), source
    path = ""
    if node.name.startswith("/"):
        for part in node.name.split("/")[1:-1]:
            inner = not path or part.startswith(f"{path}.")
            path = part if inner else f"{path}.{part}"
    return path, source
