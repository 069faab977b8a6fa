"""Published models against their ONNX exports: healthy, and with an epsilon or a weight changed
after the export.

    python benchmarks/onnx_pairs.py [NAME ...]

torchvision models through torch.onnx.export, paddle.vision models through paddle2onnx, and the
torch model against the Paddle model's file. Needs the environment of `pairs/` with onnxruntime,
onnxscript and paddle2onnx (`pip install --no-deps paddle2onnx onnxoptimizer polygraphy`: it pins an
old onnx, which it does not need here).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import torch

sys.path.insert(0, str(Path(__file__).parent / "pairs"))
import compat  # noqa: F401  torchvision beside a CPU torch
import torchvision

import padiff_graph as pg

NAMES = tuple(sys.argv[1:]) or ("resnet18", "mobilenet_v2", "densenet121", "shufflenet_v2_x1_0")
OPTIONS = {"rtol": 1e-3, "atol": 1e-5}


def torch_export(module: Any, image: torch.Tensor) -> onnx.ModelProto:
    return torch.onnx.export(
        module, (image,), dynamo=True, verbose=False, optimize=True
    ).model_proto


def paddle_export(layer: Any, image: torch.Tensor) -> onnx.ModelProto:
    import paddle2onnx

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model"
        paddle.jit.save(layer, path, [paddle.static.InputSpec(list(image.shape), "float32", "x")])
        paddle2onnx.export(f"{path}.json", f"{path}.pdiparams", f"{path}.onnx", 17)
        return onnx.load(f"{path}.onnx")


def copied(proto: onnx.ModelProto) -> onnx.ModelProto:
    fresh = onnx.ModelProto()
    fresh.CopyFrom(proto)
    return fresh


def other_weight(proto: onnx.ModelProto) -> str:
    """The largest convolution weight, one filter scaled."""
    tensor = max(
        (one for one in proto.graph.initializer if len(one.dims) == 4),
        key=lambda one: int(np.prod(one.dims)),
    )
    array = onnx.numpy_helper.to_array(tensor).copy()
    array[0] *= 1.5
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return f"weight {tensor.name}"


def other_kernel(proto: onnx.ModelProto) -> str:
    """A Relu in the middle left out: its readers read what it read."""
    relus = [node for node in proto.graph.node if node.op_type in ("Relu", "Clip")]
    node = relus[len(relus) // 2]
    for reader in proto.graph.node:
        for at, name in enumerate(reader.input):
            if name == node.output[0]:
                reader.input[at] = node.input[0]
    proto.graph.node.remove(node)
    return f"{node.op_type} {node.name} left out"


def check(words: str, first: Any, second: Any, example: Any, expected: bool) -> bool:
    started = time.perf_counter()
    report = pg.compare(first, second, example, options=OPTIONS)
    right = (
        report.passed is expected
        and (expected or any(finding.fails for finding in report.findings))
        and report.compared.outputs > 0
    )
    failing = next((finding for finding in report.findings if finding.fails), None)
    print(
        f"{words:60s} {'right' if right else 'WRONG'} {time.perf_counter() - started:5.1f} s "
        f" {dict(report.regions)} {failing.cause[:90] if failing else ''}",
        flush=True,
    )
    return right


def main() -> None:
    scored: list[bool] = []
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    edits: tuple[Callable[[onnx.ModelProto], str], ...] = (other_weight, other_kernel)
    for name in NAMES:
        torch.manual_seed(0)
        paddle.seed(0)
        module, layer = (
            getattr(torchvision.models, name)(weights=None).eval(),
            getattr(paddle.vision.models, name)(),
        )
        layer.eval()
        for framework, model, export, given in (
            ("torch", module, torch_export, image),
            ("Paddle", layer, paddle_export, paddle.to_tensor(image.numpy())),
        ):
            proto = export(model, image)
            pair = (
                {model.forward.__code__.co_varnames[1]: given},
                {proto.graph.input[0].name: image.numpy()},
            )
            scored.append(check(f"{framework} {name} against its export", model, proto, pair, True))
            for edit in edits:
                damaged = copied(proto)
                words = edit(damaged)
                scored.append(check(f"  {words}", model, damaged, pair, False))
            if framework == "Paddle":  # the torch model against the file of its Paddle port
                pg.assign_weight(
                    layer,
                    module,
                    example_inp=(
                        {model.forward.__code__.co_varnames[1]: given},
                        {module.forward.__code__.co_varnames[1]: image},
                    ),
                )
                ported = paddle_export(layer, image)
                across = (
                    {module.forward.__code__.co_varnames[1]: image},
                    {ported.graph.input[0].name: image.numpy()},
                )
                scored.append(
                    check(
                        f"torch {name} against its Paddle port's export",
                        module,
                        ported,
                        across,
                        True,
                    )
                )
    print(f"{sum(scored)} of {len(scored)} right")


if __name__ == "__main__":
    main()
