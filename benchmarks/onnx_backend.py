"""Every model of the onnx package's own backend test suite: captured and replayed equal, or refused
with a reason.

    python benchmarks/onnx_backend.py [--only NAME]

Replays each captured graph node by node and holds it against a run of the whole model. Prints the
counts and every model that was refused or that replays unequal (which the certificate refuses).
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx.backend.test.loader import load_node_model_tests

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.onnx.engine import OnnxEngine
from padiff_graph.capture.onnx.trace import trace


def equal(replayed: Any, whole: Any) -> bool:
    """Whether two results agree, sequences and strings included."""
    if isinstance(whole, (list, tuple)):
        return len(replayed) == len(whole) and all(
            equal(one, two) for one, two in zip(replayed, whole, strict=True)
        )
    if whole is None or replayed is None:
        return whole is replayed
    one, two = np.asarray(replayed), np.asarray(whole)
    if one.dtype.kind in "OUS":
        return bool(one.tolist() == two.tolist())
    if one.dtype.kind in "biu":
        return bool(np.array_equal(one, two))
    return one.shape == two.shape and bool(
        np.allclose(
            one.astype(complex if one.dtype.kind == "c" else float),
            two.astype(complex if two.dtype.kind == "c" else float),
            rtol=1e-3,
            atol=1e-5,
            equal_nan=True,
        )
    )


def verdict(model: onnx.ModelProto, example: dict[str, Any]) -> tuple[str, str]:
    """One model: "equal", "random", "unequal" or "refused", with the reason."""
    try:
        graph = trace(model, example)
    except CaptureError as error:
        return "refused", str(error)
    engine = OnnxEngine(model)
    constants = engine.parameters()
    values: dict[int, tuple[Any, ...]] = {}
    for node in graph.records():
        if node.kind == "input":
            values[node.id] = (example[node.name],)
        elif node.kind in ("parameter", "constant"):
            values[node.id] = (constants[node.name],)
        elif node.kind == "operation":
            values[node.id] = engine.run(
                node,
                [
                    None if operand is None else values[operand.node][operand.output]
                    for operand in node.inputs
                ],
            )
    if any("random" in node.marks for node in graph.records()):
        return "random", ""
    whole = engine.forward(example, grad=False).structure
    for node in graph.of_kind("output"):
        source = node.inputs[0]
        assert source is not None
        if not equal(values[source.node][source.output], whole[node.name]):
            return "unequal", f"output {node.name}"
    return "equal", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    only = parser.parse_args().only
    counts: Counter[str] = Counter()
    for case in load_node_model_tests():
        if only not in case.name or case.model is None or not case.data_sets:
            continue
        arrays = [
            onnx.numpy_helper.to_array(entry) if isinstance(entry, onnx.TensorProto) else entry
            for entry in case.data_sets[0][0]
        ]
        said, reason = verdict(
            case.model,
            dict(zip([entry.name for entry in case.model.graph.input], arrays, strict=True)),
        )
        counts[said] += 1
        if reason:
            print(f"{said:8} {case.name}: {reason}")
    print(dict(counts), "of", sum(counts.values()))


if __name__ == "__main__":
    main()
