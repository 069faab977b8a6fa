"""The last layer: tied or not, centred, scaled, how it starts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as PF
import torch
import torch.nn.functional as TF

from benchmarks.realbugs.case import Case, Pair, Right, Source
from benchmarks.realbugs.pairing import pair
from benchmarks.realbugs.parts import in_paddle, in_torch
from benchmarks.realbugs.parts.sizes import ids

__all__ = ["CASES"]

BOTH = ("output", "gradient")
SCALING = 8.0


class TorchTied(in_torch.Decoder):
    """Logits from the word vectors; no head of its own."""

    def __init__(self) -> None:
        super().__init__()
        del self.head

    def logits(self, x: Any) -> Any:
        return x @ self.embed.weight.t()


class PaddleTied(in_paddle.Decoder):
    def __init__(self) -> None:
        super().__init__()
        del self.head

    def logits(self, x: Any) -> Any:
        return paddle.matmul(x, self.embed.weight, transpose_y=True)


class PaddleUntied(PaddleTied):
    """Logits from a table of its own, which a loader fills with the word vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.table = self.create_parameter(self.embed.weight.shape)

    def logits(self, x: Any) -> Any:
        return paddle.matmul(x, self.table, transpose_y=True)


def galvatron_tied(faulty: bool) -> Pair:
    layer = PaddleTied() if faulty else in_paddle.Decoder()
    return pair(layer, in_torch.Decoder(), {"ids": ids()})


def with_table(fill: str) -> Pair:
    """The untied port: its table holds the word vectors, or what it was made with."""
    module, layer = TorchTied(), PaddleUntied()
    module.register_parameter("table", torch.nn.Parameter(module.embed.weight.detach().clone()))
    fresh = layer.table.numpy().copy()
    made = pair(layer, module, {"ids": ids()}, copied=False)
    del module.table
    if fill == "fresh":
        layer.table.set_value(fresh)
    return made


def tied_alike() -> Pair:
    return pair(PaddleTied(), TorchTied(), {"ids": ids()}, copied=False)


def mistral_head(faulty: bool) -> Pair:
    return with_table("fresh") if faulty else tied_alike()


def paddlenlp_copy(faulty: bool) -> Pair:
    return with_table("copied") if faulty else tied_alike()


class TorchSure(in_torch.Decoder):
    def logits(self, x: Any) -> Any:
        return TF.log_softmax(self.head(x), -1)


class PaddleSure(in_paddle.Decoder):
    def logits(self, x: Any) -> Any:
        return PF.log_softmax(self.head(x), -1)


def centred_head(faulty: bool) -> Pair:
    made = pair(PaddleSure(), TorchSure(), {"ids": ids()}, copied=False)
    if faulty:
        weight = made.layer.head.weight
        weight.set_value(weight - weight.mean(1, keepdim=True))
    return made


class TorchDivided(in_torch.Decoder):
    def logits(self, x: Any) -> Any:
        return self.head(x) / SCALING


class PaddleDivided(in_paddle.Decoder):
    def __init__(self, divided: bool) -> None:
        super().__init__()
        self.divided = divided

    def logits(self, x: Any) -> Any:
        return self.head(x) / SCALING if self.divided else self.head(x)


def granite_scaling(faulty: bool) -> Pair:
    return pair(PaddleDivided(not faulty), TorchDivided(), {"ids": ids()})


class TorchBoxes(torch.nn.Module):
    """A detector's head; training starts from a small probability of every class."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Linear(8, 8)
        self.score = torch.nn.Linear(8, 4)
        torch.nn.init.constant_(self.score.bias, -math.log(99.0))

    def forward(self, x: Any) -> Any:
        return self.score(TF.relu(self.mix(x)))


class PaddleBoxes(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.mix = paddle.nn.Linear(8, 8)
        self.score = paddle.nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        return self.score(PF.relu(self.mix(x)))


def detr_start(faulty: bool) -> Pair:
    inputs = np.random.RandomState(3).standard_normal((5, 8)).astype("float32")
    made = pair(PaddleBoxes(), TorchBoxes(), {"x": inputs}, copied=False)
    if faulty:
        made.layer.score.bias.set_value(np.zeros(4, "float32"))
    return made


CASES = (
    Case(
        "galvatron_tied_head",
        (
            Source(
                "PKU-DAIR/Hetu-Galvatron",
                78,
                "Mixtral's embedding and head were tied, which the model has apart",
            ),
        ),
        "logits are computed from the word vectors where the model has a head of its own",
        "port",
        BOTH,
        galvatron_tied,
        Right(
            "different",
            ("", "head", "embed"),
            ("parameter.shared", "parameter.missing", "parameter.unmapped"),
            ("tied", "shared"),
        ),
    ),
    Case(
        "mistral3_untied_head",
        (
            Source(
                "huggingface/transformers",
                43429,
                "a configuration's flag was not set, so that the head was not tied and kept its "
                "random start",
            ),
        ),
        "the head is not tied to the word vectors and keeps the numbers it was made with",
        "port",
        BOTH,
        mistral_head,
        Right(
            "different",
            ("", "head", "embed"),
            ("weights.differ", "weights.initial", "parameter.shared"),
            ("tied", "shared", "different values", "weight"),
        ),
    ),
    Case(
        "paddlenlp_untied_copy",
        (
            Source("PaddlePaddle/PaddleNLP", 6136, "an output layer that is not tied", read=False),
            Source(
                "PaddlePaddle/PaddleNLP",
                5571,
                "how heads are tied was changed, so that both forms give the same results",
            ),
        ),
        "the head is a copy of the word vectors: outputs agree, and the word vectors miss the "
        "head's share of the gradient",
        "port",
        ("gradient",),
        paddlenlp_copy,
        Right(
            "different",
            ("", "head", "embed"),
            ("parameter.shared", "gradient.differs"),
            ("tied", "shared", "gradient"),
        ),
    ),
    Case(
        "transformer_lens_centred_head",
        (
            Source(
                "TransformerLensOrg/TransformerLens",
                693,
                "logits differ from the reference's by a number for each word place; that is the "
                "centred unembedding, and probabilities agree",
            ),
        ),
        "the head's weights are centred over the classes, which softmax forgets",
        "nobody",
        (),
        centred_head,
        Right("none"),
    ),
    Case(
        "vllm_logits_scaling",
        (
            Source(
                "vllm-project/vllm",
                52158,
                "Granite: logits were not divided by the configuration's scaling; no word changes "
                "its rank, so nobody saw it",
            ),
            Source("linkedin/Liger-Kernel", 1477, "Falcon-H1: the head's multiplier is left out"),
        ),
        "logits are not divided by the configuration's number",
        "port",
        BOTH,
        granite_scaling,
        Right(
            "different",
            ("", "head"),
            ("scale", "values.scaled", "operation.missing"),
            ("scale", "times"),
        ),
    ),
    Case(
        "rt_detr_start",
        (
            Source(
                "huggingface/transformers",
                31724,
                "RT-DETR: the class head was out of reach of the initialization, which made "
                "training unstable",
            ),
        ),
        "the class head's bias starts at zero instead of the log-odds of a small probability",
        "port",
        ("output",),
        detr_start,
        Right(
            "different",
            ("score",),
            ("weights.differ", "weights.initial"),
            ("bias", "values", "initial"),
        ),
    ),
)
