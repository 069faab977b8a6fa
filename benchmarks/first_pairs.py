"""The first pairs: healthy and with three planted bugs each, verdict and place, seconds against a
bare run.

    python benchmarks/first_pairs.py [--only NAME]

Pairs: two MLPs of another definition order and other class names; paddle.vision's resnet18 and
resnet50 against transformers' ResNet, in evaluation and training; nn.TransformerEncoder of both
(fused against separate query, key, value). Needs transformers.
"""

from __future__ import annotations

import argparse
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as PF
import torch

import padiff_graph as pg

OPTIONS = {"rtol": 1e-3, "atol": 1e-5}


class PaddleMlp(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.right, self.left = (
            paddle.nn.Linear(32, 4),
            paddle.nn.Linear(16, 32),
            paddle.nn.Linear(16, 32),
        )
        self.norm = paddle.nn.LayerNorm(32)

    def mix(self, a: Any, b: Any) -> Any:
        return a - b

    def join(self, x: Any, y: Any) -> Any:
        return x + y

    def forward(self, x: Any) -> Any:
        y = self.norm(self.mix(PF.relu(self.left(x)), PF.gelu(self.right(x))))
        return self.head(self.join(PF.relu(y), y))


class TorchPerceptron(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(16, 32), torch.nn.Linear(16, 32)
        self.scale = torch.nn.LayerNorm(32)
        self.out = torch.nn.Linear(32, 4)

    def forward(self, data: Any) -> Any:
        z = self.scale(torch.relu(self.a(data)) - torch.nn.functional.gelu(self.b(data)))
        return self.out(torch.relu(z) + z)


def mlp() -> Any:
    values = np.random.default_rng(0).standard_normal((8, 16)).astype("float32")
    return (
        PaddleMlp(),
        TorchPerceptron(),
        ({"x": paddle.to_tensor(values)}, {"data": torch.from_numpy(values)}),
    )


def resnet(depth: int, training: bool) -> Callable[[], Any]:
    def make() -> Any:
        from transformers import ResNetConfig, ResNetForImageClassification

        kind = {
            18: ("basic", [64, 128, 256, 512], [2, 2, 2, 2]),
            50: ("bottleneck", [256, 512, 1024, 2048], [3, 4, 6, 3]),
        }[depth]
        module = ResNetForImageClassification(
            ResNetConfig(layer_type=kind[0], hidden_sizes=kind[1], depths=kind[2], num_labels=10)
        )
        layer = getattr(paddle.vision.models, f"resnet{depth}")(num_classes=10)
        images = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype("float32")
        layer.train() if training else layer.eval()
        module.train(training)
        return (
            layer,
            module,
            ({"x": paddle.to_tensor(images)}, {"pixel_values": torch.from_numpy(images)}),
        )

    return make


def encoder() -> Any:
    layer = paddle.nn.TransformerEncoder(
        paddle.nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0), 3
    )
    module = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True),
        3,
        enable_nested_tensor=False,
    )
    values = np.random.default_rng(0).standard_normal((2, 10, 64)).astype("float32")
    return layer, module, ({"src": paddle.to_tensor(values)}, {"src": torch.from_numpy(values)})


def bind(layer: Any, forward: Callable[..., Any]) -> None:
    layer.forward = types.MethodType(forward, layer)


# -- the bugs: each is put into the Paddle side and answers with the path where it stands


def mlp_epsilon(layer: Any) -> str:
    layer.norm._epsilon = 1e-4
    return "norm"


def mlp_residual(layer: Any) -> str:
    layer.join = lambda x, y: x
    return ""


def mlp_operand(layer: Any) -> str:
    layer.mix = lambda a, b: b - a
    return ""


def resnet_epsilon(layer: Any) -> str:
    layer.layer2[1].bn1._epsilon = 1e-3
    return "layer2.1.bn1"


def resnet_residual(layer: Any) -> str:
    def forward(block: Any, x: Any) -> Any:
        y = block.relu(block.bn1(block.conv1(x)))
        y = block.bn2(block.conv2(y))
        if hasattr(block, "conv3"):
            y = block.bn3(block.conv3(block.relu(y)))
        return block.relu(y)

    bind(layer.layer2[1], forward)
    return "layer2.1"


def resnet_operand(layer: Any) -> str:
    """The head reads the input of the last stage's block twice: y + y instead of y + identity."""

    def forward(block: Any, x: Any) -> Any:
        y = block.relu(block.bn1(block.conv1(x)))
        y = block.bn2(block.conv2(y))
        if hasattr(block, "conv3"):
            y = block.bn3(block.conv3(block.relu(y)))
        return block.relu(y + y)

    bind(layer.layer2[1], forward)
    return "layer2.1"


def encoder_epsilon(layer: Any) -> str:
    layer.layers[1].norm1._epsilon = 1e-4
    return "layers.1.norm1"


def encoder_residual(layer: Any) -> str:
    def forward(block: Any, src: Any, src_mask: Any = None, cache: Any = None) -> Any:
        src = block.norm1(src + block.dropout1(block.self_attn(src, src, src, src_mask)))
        return block.norm2(
            block.dropout2(block.linear2(block.dropout(block.activation(block.linear1(src)))))
        )

    bind(layer.layers[1], forward)
    return "layers.1"


def encoder_operand(layer: Any) -> str:
    """Attention sums the keys, not the values."""
    attention = layer.layers[1].self_attn

    def forward(
        own: Any,
        query: Any,
        key: Any = None,
        value: Any = None,
        attn_mask: Any = None,
        cache: Any = None,
    ) -> Any:
        q, k, _ = own._prepare_qkv(query, key, value, cache)
        weights = PF.softmax(paddle.matmul(q * own.head_dim**-0.5, k, transpose_y=True))
        out = paddle.matmul(weights, k).transpose([0, 2, 1, 3])
        return own.out_proj(out.reshape([0, 0, out.shape[2] * out.shape[3]]))

    bind(attention, forward)
    return "layers.1.self_attn"


RESNET = {
    "epsilon": resnet_epsilon,
    "missing residual": resnet_residual,
    "swapped operand": resnet_operand,
}
PAIRS: dict[str, tuple[Callable[[], Any], dict[str, Callable[[Any], str]]]] = {
    "mlp": (
        mlp,
        {"epsilon": mlp_epsilon, "missing residual": mlp_residual, "swapped operand": mlp_operand},
    ),
    "resnet18 eval": (resnet(18, False), RESNET),
    "resnet18 train": (resnet(18, True), RESNET),
    "resnet50 eval": (resnet(50, False), RESNET),
    "resnet50 train": (resnet(50, True), RESNET),
    "encoder": (
        encoder,
        {
            "epsilon": encoder_epsilon,
            "missing residual": encoder_residual,
            "swapped operand": encoder_operand,
        },
    ),
}


def bare(layer: Any, module: Any, example: Any) -> float:
    """Seconds of one forward and backward of both models, the second time."""
    spent = 0.0
    for _ in range(2):
        start = time.perf_counter()
        out = layer(**example[0])
        (out if isinstance(out, paddle.Tensor) else out[0]).mean().backward()
        found = module(**example[1])
        (found if isinstance(found, torch.Tensor) else found[0]).mean().backward()
        spent = time.perf_counter() - start
        layer.clear_gradients()
        module.zero_grad(set_to_none=True)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="")
    only = parser.parse_args().only
    print("| pair | case | verdict | first finding's place (wanted) | cause | seconds | x bare |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, (make, bugs) in PAIRS.items():
        if only not in name:
            continue
        for case, plant in {"healthy": None, **bugs}.items():
            paddle.seed(0)
            torch.manual_seed(0)
            layer, module, example = make()
            plain = bare(layer, module, example)
            wanted = plant(layer) if plant else ""
            start = time.perf_counter()
            report = pg.compare(layer, module, example, options=OPTIONS)
            spent = time.perf_counter() - start
            failing = [finding for finding in report.findings if finding.fails]
            place = (
                f"{failing[0].paddle_path or '(root)'}"
                f" ({'exact' if failing[0].paddle_path == wanted else wanted})"
                if failing
                else "-"
            )
            print(
                f"| {name} | {case} | {'aligned' if report.passed else 'not aligned'} | {place} |"
                f" {failing[0].cause[:70] if failing else ''} | {spent:.1f} |"
                f" {spent / plain:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
