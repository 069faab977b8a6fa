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
)
