"""A decoder of 80 blocks and 64 billion parameters that no memory holds: captured, matched and
diffed from shapes alone.

    python benchmarks/large.py [--blocks 80] [--width 8192] [--bug]

The torch side (meta device) packs query, key and value, and gate and up; the Paddle side
(LazyGuard) keeps them apart. Prints seconds by step and the peak memory of the process; `--bug`
puts one wrong epsilon into the middle block of the Paddle side.
"""

from __future__ import annotations

import argparse
import resource
import time

import paddle
import torch
from torch.nn import functional as F

import padiff_graph as pg


class TorchBlock(torch.nn.Module):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_in = torch.nn.RMSNorm(width, eps=1e-6)
        self.qkv = torch.nn.Linear(width, 3 * width, bias=False)
        self.out = torch.nn.Linear(width, width, bias=False)
        self.norm_mid = torch.nn.RMSNorm(width, eps=1e-6)
        self.gate_up = torch.nn.Linear(width, 2 * inner, bias=False)
        self.down = torch.nn.Linear(inner, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = (
            t.view(batch, length, self.heads, -1).transpose(1, 2)
            for t in self.qkv(self.norm_in(x)).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.norm_mid(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class TorchDecoder(torch.nn.Module):
    def __init__(self, blocks: int, width: int, inner: int, heads: int, words: int) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(words, width)
        self.blocks = torch.nn.ModuleList(TorchBlock(width, inner, heads) for _ in range(blocks))
        self.norm = torch.nn.RMSNorm(width, eps=1e-6)
        self.head = torch.nn.Linear(width, words, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class RootMeanSquare(paddle.nn.Layer):
    def __init__(self, width: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.scale = self.create_parameter(
            [width], default_initializer=paddle.nn.initializer.Constant(1.0)
        )
        self.epsilon = epsilon

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return (
            x * paddle.rsqrt(paddle.mean(x * x, axis=-1, keepdim=True) + self.epsilon) * self.scale
        )


class PaddleBlock(paddle.nn.Layer):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.down_proj = paddle.nn.Linear(inner, width, bias_attr=False)
        self.up_proj = paddle.nn.Linear(width, inner, bias_attr=False)
        self.gate_proj = paddle.nn.Linear(width, inner, bias_attr=False)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            paddle.nn.Linear(width, width, bias_attr=False) for _ in range(4)
        )
        self.input_norm, self.post_norm = RootMeanSquare(width), RootMeanSquare(width)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        batch, length, width = x.shape
        y = self.input_norm(x)
        q, k, v = (
            p(y).reshape([batch, length, self.heads, -1]).transpose([0, 2, 1, 3])
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = paddle.matmul(q * (q.shape[-1] ** -0.5), k, transpose_y=True)
        scores = scores + paddle.triu(paddle.full([length, length], float("-inf")), 1)
        mixed = paddle.matmul(paddle.nn.functional.softmax(scores, axis=-1), v)
        x = x + self.o_proj(mixed.transpose([0, 2, 1, 3]).reshape([batch, length, width]))
        y = self.post_norm(x)
        return x + self.down_proj(paddle.nn.functional.silu(self.gate_proj(y)) * self.up_proj(y))


class PaddleDecoder(paddle.nn.Layer):
    def __init__(self, blocks: int, width: int, inner: int, heads: int, words: int) -> None:
        super().__init__()
        self.lm_head = paddle.nn.Linear(width, words, bias_attr=False)
        self.final_norm = RootMeanSquare(width)
        self.layers = paddle.nn.LayerList([PaddleBlock(width, inner, heads) for _ in range(blocks)])
        self.word_embeddings = paddle.nn.Embedding(words, width)

    def forward(self, input_ids: paddle.Tensor) -> paddle.Tensor:
        x = self.word_embeddings(input_ids)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.final_norm(x))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=80)
    parser.add_argument("--width", type=int, default=8192)
    parser.add_argument("--bug", action="store_true")
    arguments = parser.parse_args()
    sizes = (
        arguments.blocks,
        arguments.width,
        arguments.width * 43 // 16,
        arguments.width // 128,
        32000,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with torch.device("meta"):
        module = TorchDecoder(*sizes)
    with paddle.LazyGuard():
        layer = PaddleDecoder(*sizes)
    if arguments.bug:
        layer.layers[arguments.blocks // 2].post_norm.epsilon = 1e-5
    built = time.perf_counter()
    example = (
        {"input_ids": paddle.static.InputSpec([1, 16], "int64")},
        {"ids": torch.empty(1, 16, dtype=torch.int64, device="meta")},
    )
    found = pg.structural_diff(layer, module, example)
    done = time.perf_counter()
    count = sum(parameter.numel() for parameter in module.parameters())
    print(
        f"parameters {count / 1e9:.1f} billion; built in {built - started:.1f} s; captured, matched"
        f" and diffed in {done - built:.1f} s"
    )
    print(
        f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, of which"
        f" {before / 1e6:.2f} GB stood before"
    )
    print(f"identical: {found.identical}; findings: {len(found.findings)}")
    for finding in found.findings[:10]:
        print(f"  {finding.verdict} {finding.paddle_path} / {finding.torch_path}: {finding.cause}")


if __name__ == "__main__":
    main()
