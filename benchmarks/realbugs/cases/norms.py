"""Norms and activations: an epsilon, a kind of GELU, a scale."""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
import paddle.nn.functional as PF
import torch
import torch.nn.functional as TF

from benchmarks.realbugs.case import Case, Pair, Right, Source
from benchmarks.realbugs.pairing import pair, random
from benchmarks.realbugs.parts import in_paddle, in_torch
from benchmarks.realbugs.parts.sizes import HEAD, WIDTH, ids

__all__ = ["CASES"]

NORMS = ("blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.1.norm2")
EPSILON = ("epsilon", "eps")


def torch_norm(epsilon: float) -> Any:
    return partial(torch.nn.LayerNorm, WIDTH, eps=epsilon)


def paddle_norm(epsilon: float) -> Any:
    return partial(paddle.nn.LayerNorm, WIDTH, epsilon=epsilon)


def keras_hub_encoder(faulty: bool) -> Pair:
    module = in_torch.Encoder(torch_norm(1e-12))
    layer = in_paddle.Encoder(paddle_norm(1e-5 if faulty else 1e-12), first=paddle_norm(1e-12))
    return pair(layer, module, {"ids": ids()})


def candle_llama(faulty: bool) -> Pair:
    module = in_torch.Decoder(partial(in_torch.RmsNorm, 1e-6))
    layer = in_paddle.Decoder(partial(in_paddle.RmsNorm, 1e-5 if faulty else 1e-6))
    return pair(layer, module, {"ids": ids()})


def gluon_transformer_xl(faulty: bool) -> Pair:
    module = in_torch.Decoder(torch_norm(1e-12 if faulty else 1e-5))
    layer = in_paddle.Decoder(paddle_norm(1e-5))
    return pair(layer, module, {"ids": ids()})


class TorchPatches(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = torch.nn.Conv2d(3, WIDTH, 4, 4)
        self.norm = torch.nn.LayerNorm(WIDTH, eps=1e-5)
        self.mlp = in_torch.Mlp(TF.gelu)
        in_torch.spread(self)

    def forward(self, pixels: Any) -> Any:
        x = self.norm(self.project(pixels).flatten(2).transpose(1, 2))
        return x + self.mlp(x)


class PaddlePatches(paddle.nn.Layer):
    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.project = paddle.nn.Conv2D(3, WIDTH, 4, 4)
        self.norm = paddle.nn.LayerNorm(WIDTH, epsilon=epsilon)
        self.mlp = in_paddle.Mlp(PF.gelu)

    def forward(self, pixels: Any) -> Any:
        x = self.norm(self.project(pixels).flatten(2).transpose([0, 2, 1]))
        return x + self.mlp(x)


def keras_hub_patches(faulty: bool) -> Pair:
    layer = PaddlePatches(1e-3 if faulty else 1e-5)
    return pair(layer, TorchPatches(), {"pixels": random(2, 3, 8, 8)})


def gemma_gelu(faulty: bool) -> Pair:
    module = in_torch.Decoder(mlp=partial(in_torch.Mlp, partial(TF.gelu, approximate="tanh")))
    act = partial(PF.gelu, approximate=not faulty)
    return pair(in_paddle.Decoder(mlp=partial(in_paddle.Mlp, act)), module, {"ids": ids()})


class TorchWideQuery(in_torch.Attention):
    def __init__(self) -> None:
        super().__init__()
        self.scale = (2 * HEAD) ** -0.5


class PaddleWideQuery(in_paddle.Attention):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale


def gemma2_query_scale(faulty: bool) -> Pair:
    scale = (HEAD if faulty else 2 * HEAD) ** -0.5
    layer = in_paddle.Decoder(attention=partial(PaddleWideQuery, scale))
    return pair(layer, in_torch.Decoder(attention=TorchWideQuery), {"ids": ids()})


class TorchSpatial(torch.nn.Module):
    """The frame of a diffusion model's spatial transformer: norm, projections, what was before."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = torch.nn.GroupNorm(4, WIDTH, eps=1e-5)
        self.conv = torch.nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.norm = torch.nn.GroupNorm(4, WIDTH, eps=1e-6)
        self.inner = torch.nn.Conv2d(WIDTH, WIDTH, 1)
        in_torch.spread(self)
        self.conv.weight.data.mul_(0.05)
        self.conv.bias.data.mul_(0.05)

    def forward(self, x: Any) -> Any:
        x = self.conv(TF.silu(self.resnet(x)))
        return x + self.inner(self.norm(x))


class PaddleSpatial(paddle.nn.Layer):
    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.resnet = paddle.nn.GroupNorm(4, WIDTH, epsilon=1e-5)
        self.conv = paddle.nn.Conv2D(WIDTH, WIDTH, 3, padding=1)
        self.norm = paddle.nn.GroupNorm(4, WIDTH, epsilon=epsilon)
        self.inner = paddle.nn.Conv2D(WIDTH, WIDTH, 1)

    def forward(self, x: Any) -> Any:
        x = self.conv(PF.silu(self.resnet(x)))
        return x + self.inner(self.norm(x))


def mlx_group_norm(faulty: bool) -> Pair:
    layer = PaddleSpatial(1e-5 if faulty else 1e-6)
    return pair(layer, TorchSpatial(), {"x": random(2, WIDTH, 4, 4)})


class TorchSinkhorn(torch.nn.Module):
    """Streams mixed by a matrix whose rows and columns are brought to sum one by turns."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.logits = torch.nn.Linear(WIDTH, 16)
        self.epsilon = epsilon

    def forward(self, x: Any) -> Any:
        mixed = torch.exp(self.logits(x) - 4.0).reshape(-1, 4, 4)
        for _ in range(3):
            mixed = mixed / (mixed.sum(-1, keepdim=True) + self.epsilon)
            mixed = mixed / (mixed.sum(-2, keepdim=True) + self.epsilon)
        return mixed


class PaddleSinkhorn(paddle.nn.Layer):
    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.logits = paddle.nn.Linear(WIDTH, 16)
        self.epsilon = epsilon

    def forward(self, x: Any) -> Any:
        mixed = paddle.exp(self.logits(x) - 4.0).reshape([-1, 4, 4])
        for _ in range(3):
            mixed = mixed / (mixed.sum(-1, keepdim=True) + self.epsilon)
            mixed = mixed / (mixed.sum(-2, keepdim=True) + self.epsilon)
        return mixed


def sinkhorn(faulty: bool) -> Pair:
    layer = PaddleSinkhorn(1e-4 if faulty else 1e-6)
    return pair(layer, TorchSinkhorn(1e-6), {"x": random(3, WIDTH)})


CASES = (
    Case(
        "keras_hub_encoder_epsilon",
        (
            Source(
                "keras-team/keras-hub",
                728,
                "all backbones: the norm behind the embeddings is given the checkpoint's epsilon, "
                "the Transformer layers keep their default",
            ),
            Source("keras-team/keras-hub", 642, "the same of BERT: 1e-5 where it is 1e-12"),
        ),
        "the encoder layers' LayerNorms keep the default epsilon 1e-5 where the model has 1e-12",
        "port",
        ("output", "gradient"),
        keras_hub_encoder,
        Right("different", NORMS, ("attribute.epsilon",), EPSILON),
    ),
    Case(
        "candle_rms_epsilon",
        (
            Source("huggingface/candle", 271, "Llama's norm had 1e-5 where transformers has 1e-6"),
            Source("foundation-model-stack/foundation-model-stack", 99, "the default was 1e-6"),
        ),
        "every RMSNorm has the epsilon of another release of the model",
        "port",
        ("output", "gradient"),
        candle_llama,
        Right("different", (*NORMS, "norm"), ("attribute.epsilon", "shift"), EPSILON),
    ),
    Case(
        "gluon_wrong_reference",
        (
            Source(
                "dmlc/gluon-nlp",
                1005,
                "Transformer-XL's LayerNorm epsilon is 1e-5; the implementation it was compared "
                "with had 1e-12 and was wrong",
            ),
        ),
        "the reference's LayerNorms have epsilon 1e-12 where the original model has 1e-5",
        "reference",
        ("output", "gradient"),
        gluon_transformer_xl,
        Right("different", (*NORMS, "norm"), ("attribute.epsilon",), EPSILON),
    ),
    Case(
        "keras_hub_patch_epsilon",
        (
            Source(
                "keras-team/keras-hub",
                2298,
                "Swin's patch embedding used Keras's default epsilon 1e-3 in the place of 1e-5",
            ),
        ),
        "the norm of the patch embedding keeps the framework's own default epsilon",
        "port",
        ("output", "gradient"),
        keras_hub_patches,
        Right("different", ("norm",), ("attribute.epsilon",), EPSILON),
    ),
    Case(
        "gemma_exact_gelu",
        (
            Source("vllm-project/vllm", 3411, "Gemma is to use the tanh form of GELU"),
            Source("Lightning-AI/litgpt", 999, "the reference itself was changed to the tanh form"),
            Source("google/gemma_pytorch", 37, "GELU was the exact one", read=False),
        ),
        "the MLP computes the exact GELU where the model was trained with its tanh form",
        "port",
        ("output", "gradient"),
        gemma_gelu,
        Right(
            "different",
            ("blocks.0.mlp", "blocks.1.mlp"),
            ("attribute.approximate",),
            ("approximate", "tanh"),
        ),
    ),
    Case(
        "gemma2_query_scale",
        (
            Source(
                "keras-team/keras-hub",
                1701,
                "Gemma 2 scales its queries by the head's size in one model size and by the "
                "hidden size over the heads in another",
            ),
        ),
        "scores are scaled by the head's size where the checkpoint asks for another number",
        "port",
        ("output", "gradient"),
        gemma2_query_scale,
        Right(
            "different",
            ("blocks.0.attention", "blocks.1.attention"),
            ("scale", "values.scaled"),
            ("scale",),
        ),
    ),
    Case(
        "mlx_group_norm_epsilon",
        (
            Source(
                "ml-explore/mlx-examples",
                1434,
                "of the norms of a diffusion model this one alone has 1e-6; the port left it at "
                "the framework's 1e-5",
            ),
            Source("ml-explore/mlx-examples", 1435, "the same, reported again"),
        ),
        "one GroupNorm of several keeps the framework's default epsilon",
        "port",
        ("output", "gradient"),
        mlx_group_norm,
        Right("different", ("norm",), ("attribute.epsilon",), EPSILON),
    ),
    Case(
        "paddlefleet_sinkhorn_epsilon",
        (Source("PaddlePaddle/PaddleFleet", 1318, "the epsilon of a sinkhorn", read=False),),
        "sums of rows and columns are divided by with another epsilon",
        "port",
        ("output", "gradient"),
        sinkhorn,
        Right("different", ("",), ("shift", "values.shifted", "attribute.epsilon"), EPSILON),
    ),
)
