"""Half precision: casts that are missing, early or late. In float32 none of these is a bug."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import paddle
import torch

from benchmarks.realbugs.case import Case, Pair, Right, Source, Twin
from benchmarks.realbugs.pairing import pair
from benchmarks.realbugs.parts import in_paddle, in_torch
from benchmarks.realbugs.parts.sizes import HEAD, ids

__all__ = ["CASES"]

NORMALISER = 55.4256
"""The square root of 3072, which bfloat16 rounds to 55.5."""
LATE = 400
"""Positions far out, where a rounded angle turns by a quarter."""
HALF = HEAD // 2
NORMS = ("norm", *(f"blocks.{at}.norm{which}" for at in (0, 1) for which in (1, 2)))
ATTENTION = ("blocks.0.attention", "blocks.1.attention")
CHANGES = ("rounded output",)


class TorchNorm(in_torch.RmsNorm):
    """RMSNorm as one of three: "cast" before the weight, "whole" in float32, "low" in none."""

    def __init__(self, how: str, plus: bool = False) -> None:
        super().__init__()
        self.how, self.plus = how, plus

    def forward(self, x: Any) -> Any:
        wide = x if self.how == "low" else x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        if self.how == "whole":
            weight = self.weight.float()
            return (wide * (1.0 + weight if self.plus else weight)).to(x.dtype)
        wide = wide.to(x.dtype)
        return wide * (1.0 + self.weight if self.plus else self.weight)


class PaddleNorm(in_paddle.RmsNorm):
    def __init__(self, how: str, plus: bool = False) -> None:
        super().__init__()
        self.how, self.plus = how, plus

    def forward(self, x: Any) -> Any:
        wide = x if self.how == "low" else x.astype("float32")
        wide = wide * paddle.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        if self.how == "whole":
            weight = self.weight.astype("float32")
            return (wide * (1.0 + weight if self.plus else weight)).astype(x.dtype)
        wide = wide.astype(x.dtype)
        return wide * (1.0 + self.weight if self.plus else self.weight)


class TorchScaled(in_torch.Decoder):
    """Word vectors times a number, which is rounded with them or stays Python's."""

    def __init__(self, rounded: bool) -> None:
        super().__init__()
        self.rounded = rounded

    def embedded(self, ids: Any) -> Any:
        x = self.embed(ids)
        return x * (torch.tensor(NORMALISER, dtype=x.dtype) if self.rounded else NORMALISER)


class PaddleScaled(in_paddle.Decoder):
    def __init__(self, rounded: bool) -> None:
        super().__init__()
        self.rounded = rounded

    def embedded(self, ids: Any) -> Any:
        x = self.embed(ids)
        if self.rounded:
            return x * paddle.to_tensor(NORMALISER, dtype="float32").astype(x.dtype)
        return x * NORMALISER


def places(length: int) -> Any:
    return np.arange(LATE, LATE + length, dtype="float32")


class TorchTurning(in_torch.Attention):
    """Angles in float32 ("wide"), in the model's precision ("low"), or as integers first."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def turned(self, x: Any) -> Any:
        exponent = torch.arange(HALF, dtype=torch.int64 if self.how == "whole" else torch.float32)
        speed = 1.0 / 10000.0 ** (exponent.float() / HALF)
        speed = speed.to(x.dtype) if self.how == "low" else speed
        at = torch.from_numpy(places(x.shape[2]))
        turn = (at.to(x.dtype) if self.how == "low" else at)[:, None] * speed[None]
        cos, sin = torch.cos(turn).to(x.dtype), torch.sin(turn).to(x.dtype)
        one, two = x[..., :HALF], x[..., HALF:]
        return torch.cat((one * cos - two * sin, two * cos + one * sin), -1)


class PaddleTurning(in_paddle.Attention):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def turned(self, x: Any) -> Any:
        exponent = paddle.arange(HALF, dtype="int64" if self.how == "whole" else "float32")
        speed = 1.0 / 10000.0 ** (exponent.astype("float32") / HALF)
        speed = speed.astype(x.dtype) if self.how == "low" else speed
        at = paddle.to_tensor(places(x.shape[2]))
        at = at.astype(x.dtype) if self.how == "low" else at
        turn = at.unsqueeze(1) * speed.unsqueeze(0)
        cos, sin = paddle.cos(turn).astype(x.dtype), paddle.sin(turn).astype(x.dtype)
        one, two = x[..., :HALF], x[..., HALF:]
        return paddle.concat((one * cos - two * sin, two * cos + one * sin), -1)


def norms(ours: tuple[str, bool], theirs: tuple[str, bool]) -> tuple[Any, Any]:
    """(pair, twin) builders of decoders whose norms are these; the healthy one has theirs twice."""

    def made(faulty: bool) -> Pair:
        layer = in_paddle.Decoder(partial(PaddleNorm, *(ours if faulty else theirs)))
        return pair(layer, in_torch.Decoder(partial(TorchNorm, *theirs)), {"ids": ids()})

    def twin(faulty: bool) -> Twin:
        reference = in_torch.Decoder(partial(TorchNorm, *theirs))
        port = in_torch.Decoder(partial(TorchNorm, *(ours if faulty else theirs)))
        port.load_state_dict(reference.state_dict())
        return Twin(port, reference)

    return made, twin


def scaled(faulty: bool) -> Pair:
    return pair(PaddleScaled(not faulty), TorchScaled(True), {"ids": ids()})


def scaled_twin(faulty: bool) -> Twin:
    reference, port = TorchScaled(True), TorchScaled(not faulty)
    port.load_state_dict(reference.state_dict())
    return Twin(port, reference)


def turning(ours: str) -> tuple[Any, Any]:
    """(pair, twin) builders of decoders whose angles are so."""

    def made(faulty: bool) -> Pair:
        layer = in_paddle.Decoder(attention=partial(PaddleTurning, ours if faulty else "wide"))
        module = in_torch.Decoder(attention=partial(TorchTurning, "wide"))
        return pair(layer, module, {"ids": ids()})

    def twin(faulty: bool) -> Twin:
        reference = in_torch.Decoder(attention=partial(TorchTurning, "wide"))
        port = in_torch.Decoder(attention=partial(TorchTurning, ours if faulty else "wide"))
        port.load_state_dict(reference.state_dict())
        return Twin(port, reference)

    return made, twin


GEMMA = norms(("cast", True), ("whole", True))
WEIGHT_LATE = norms(("whole", False), ("cast", False))
STATISTICS = norms(("low", False), ("cast", False))
ANGLES = turning("low")
INTEGERS = turning("whole")


def case(
    name: str,
    sources: tuple[Source, ...],
    mechanism: str,
    builders: tuple[Any, Any],
    places: tuple[str, ...],
    causes: tuple[str, ...],
) -> Case:
    """One that shows in bfloat16 alone."""
    words = ("bfloat16", "precision", "cast")
    return Case(
        name,
        sources,
        mechanism,
        "port",
        CHANGES,
        builders[0],
        Right("different", places, causes, words),
        precision="bfloat16",
        twin=builders[1],
    )


CASES = (
    case(
        "gemma_normaliser_not_rounded",
        (
            Source(
                "huggingface/transformers",
                29402,
                "Gemma's normaliser is rounded to the model's precision, 55.4256 to 55.5; the "
                "port's was not",
            ),
        ),
        "word vectors are multiplied by an exact number where the model was trained with a rounded "
        "one",
        (scaled, scaled_twin),
        ("",),
        ("precision.constant",),
    ),
    case(
        "vllm_gemma_norm_weight",
        (
            Source(
                "vllm-project/vllm",
                3653,
                "the norm's (1 + weight) is multiplied in bfloat16 where the model has float32",
            ),
        ),
        "the norm is cast before it is multiplied with 1 + weight, not behind",
        GEMMA,
        NORMS,
        ("precision.weight", "precision.computed"),
    ),
    case(
        "rms_weight_before_cast",
        (
            Source(
                "NVIDIA/TransformerEngine",
                1132,
                "the fused norm is cast behind the weight, the reference before it",
            ),
            Source("huggingface/transformers", 33133, "the same, reported to the reference"),
            Source("huggingface/transformers", 38131, "weight and cast of norms", read=False),
        ),
        "the norm is multiplied with its weight in float32 and cast behind, not before",
        WEIGHT_LATE,
        NORMS,
        ("precision.weight", "precision.computed"),
    ),
    case(
        "minimind_norm_in_half",
        (
            Source(
                "jingyaogong/minimind",
                301,
                "squares and mean were taken of values that were not cast to float32 first",
            ),
            Source("meta-llama/llama", 1048, "what that does to what a model writes"),
        ),
        "the norm's statistics are computed in half precision",
        STATISTICS,
        NORMS,
        ("precision.computed",),
    ),
    case(
        "rotary_angles_in_half",
        (
            Source(
                "huggingface/transformers",
                29285,
                "in bfloat16 positions and angles lose what tells late places apart",
            ),
            Source("sgl-project/sglang-jax", 1473, "the frequencies were cast too early"),
            Source("vllm-project/vllm", 863, "sine and cosine belong in float32"),
            Source("keras-team/keras-hub", 1497, "the same in Keras"),
        ),
        "angles of the rotary embedding are computed in half precision",
        ANGLES,
        ATTENTION,
        ("precision.computed",),
    ),
    Case(
        "gemma_rotary_integers",
        (
            Source(
                "vllm-project/vllm",
                7638,
                "Gemma's own rotary embedding counts in integers first; it is the plain one",
            ),
        ),
        "frequencies from integers that are cast, not from floats: the same numbers",
        "nobody",
        (),
        INTEGERS[0],
        Right("none"),
        precision="bfloat16",
        twin=INTEGERS[1],
    ),
)
