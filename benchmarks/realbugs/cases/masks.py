"""Attention: a mask that is not read or not turned into numbers, a scale, dropout that stays."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import paddle.nn.functional as PF
import torch.nn.functional as TF

from benchmarks.realbugs.case import Case, Pair, Right, Source
from benchmarks.realbugs.cases.norms import paddle_norm, torch_norm
from benchmarks.realbugs.pairing import pair
from benchmarks.realbugs.parts import in_paddle, in_torch
from benchmarks.realbugs.parts.sizes import LENGTH, ids

__all__ = ["CASES"]

ATTENTION = ("blocks.0.attention", "blocks.1.attention")
BOTH = ("output", "gradient")
RATE = 0.3


def seen() -> Any:
    """1 for a word, 0 for padding: the second half of each row is padding, as in the report."""
    shown = np.ones((2, LENGTH), "float32")
    shown[0, LENGTH // 2 :] = 0.0
    shown[1, -1] = 0.0
    return shown


class TorchMasked(in_torch.Attention):
    """The mask of words, as numbers that are added."""

    def hidden(self, x: Any, mask: Any) -> Any:
        return (1.0 - mask[:, None, None, :]) * -10000.0


class PaddleMasked(in_paddle.Attention):
    def __init__(self, as_it_is: bool = False) -> None:
        super().__init__()
        self.as_it_is = as_it_is

    def hidden(self, x: Any, mask: Any) -> Any:
        shown = mask.unsqueeze([1, 2])
        return shown if self.as_it_is else (1.0 - shown) * -10000.0


class PaddleUnmasked(in_paddle.Attention):
    """What the kernel computed: no mask at all."""

    def forward(self, x: Any, mask: Any = None) -> Any:
        q, k = self.split(self.q(x)), self.split(self.k(x))
        scores = q @ k.transpose([0, 1, 3, 2]) * self.scale
        mixed = self.weights(scores) @ self.split(self.v(x))
        return self.out(mixed.transpose([0, 2, 1, 3]).reshape(x.shape))


def encoders(attention: Any) -> Pair:
    layer = in_paddle.Encoder(paddle_norm(1e-12), attention=attention)
    module = in_torch.Encoder(torch_norm(1e-12), attention=TorchMasked)
    return pair(layer, module, {"ids": ids(), "mask": seen()})


def deepspeed_ignored(faulty: bool) -> Pair:
    return encoders(PaddleUnmasked if faulty else PaddleMasked)


def deepspeed_as_it_is(faulty: bool) -> Pair:
    return encoders(partial(PaddleMasked, faulty))


class TorchUnscaled(in_torch.Attention):
    def __init__(self) -> None:
        super().__init__()
        self.scale = 1.0


class PaddleScaled(in_paddle.Attention):
    def __init__(self, scaled: bool) -> None:
        super().__init__()
        if not scaled:
            self.scale = 1.0


def vllm_unscaled(faulty: bool) -> Pair:
    layer = in_paddle.Decoder(attention=partial(PaddleScaled, faulty))
    return pair(layer, in_torch.Decoder(attention=TorchUnscaled), {"ids": ids()})


class TorchDropping(in_torch.Attention):
    def weights(self, scores: Any) -> Any:
        return TF.dropout(TF.softmax(scores, dim=-1), RATE, training=self.training)


class PaddleDropping(in_paddle.Attention):
    def __init__(self, always: bool) -> None:
        super().__init__()
        self.always = always

    def weights(self, scores: Any) -> Any:
        return PF.dropout(PF.softmax(scores), RATE, training=self.always or self.training)


def timm_dropout(faulty: bool) -> Pair:
    layer = in_paddle.Decoder(attention=partial(PaddleDropping, faulty))
    return pair(layer, in_torch.Decoder(attention=TorchDropping), {"ids": ids()})


CASES = (
    Case(
        "deepspeed_mask_ignored",
        (
            Source(
                "deepspeedai/DeepSpeed",
                1967,
                "with padding the Transformer kernel's output departs from BERT's layer; without "
                "it they agree",
            ),
            Source(
                "deepspeedai/DeepSpeed",
                1913,
                "the given mask was overwritten, so that padding took part in the softmax",
            ),
        ),
        "the kernel reads no mask, and padding takes part in the softmax",
        "port",
        BOTH,
        deepspeed_ignored,
        Right(
            "different",
            ATTENTION,
            ("operand.missing", "operation.missing", "operand.count", "values.term_missing"),
            ("mask", "missing"),
        ),
    ),
    Case(
        "deepspeed_mask_as_it_is",
        (
            Source(
                "deepspeedai/DeepSpeed",
                1913,
                "zeros of the mask were not replaced by -1e4 before it was added",
            ),
            Source("deepspeedai/DeepSpeed", 1466, "a padded batch has very different logits"),
        ),
        "the mask of ones and zeros is added to the scores as it is",
        "port",
        BOTH,
        deepspeed_as_it_is,
        Right(
            "different",
            ATTENTION,
            (
                "operation.missing",
                "scale",
                "shift",
                "mask.inverted",
                "values.scaled",
                "values.affine",
            ),
            ("mask", "missing", "scale"),
        ),
    ),
    Case(
        "vllm_attention_unscaled",
        (
            Source(
                "vllm-project/vllm",
                36637,
                "GPTBigCode: the scale of attention was hard-coded, the configuration's flag for "
                "none was not read",
            ),
        ),
        "scores are scaled where the configuration asks for no scale",
        "port",
        BOTH,
        vllm_unscaled,
        Right("different", ATTENTION, ("scale", "values.scaled", "operation.extra"), ("scale",)),
    ),
    Case(
        "timm_dropout_in_evaluation",
        (
            Source(
                "huggingface/pytorch-image-models",
                1978,
                "the rate of dropout was handed to the attention function in evaluation as well",
            ),
            Source("pytorch/pytorch", 124464, "the functional form drops whenever its rate is set"),
            Source("huggingface/transformers", 33844, "the same of every model copied from Bart"),
        ),
        "attention weights are dropped in evaluation",
        "port",
        BOTH,
        timm_dropout,
        Right(
            "different",
            ATTENTION,
            ("operation.extra", "attribute.ratio", "attribute.training"),
            ("dropout",),
        ),
    ),
)
