"""Rotary embeddings: other frequencies, another pairing, other positions, left out."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import paddle
import torch

from benchmarks.realbugs.case import Case, Pair, Right, Source
from benchmarks.realbugs.pairing import pair
from benchmarks.realbugs.parts import in_paddle, in_torch
from benchmarks.realbugs.parts.sizes import HEAD, HEADS, LENGTH, ids

__all__ = ["CASES"]

HALF = HEAD // 2
ATTENTION = ("blocks.0.attention", "blocks.1.attention")
TURNED = ("blocks.0.attention.rotary", "blocks.1.attention.rotary", *ATTENTION)
NUMBERS = ("scale", "values.scaled", "values.partial", "values.table", "attribute.exponent")
"""Ids that say that a table differs, or in which way its numbers do."""


def frequencies(base: float = 10000.0) -> Any:
    return 1.0 / base ** (np.arange(HALF) / HALF)


class TorchRotary(torch.nn.Module):
    """cos and sin of every place; the frequencies are a buffer that no checkpoint holds."""

    def __init__(self, inverse: Any, scale: float = 1.0, positions: Any = None) -> None:
        super().__init__()
        made = torch.as_tensor(np.asarray(inverse, "float32"))
        self.register_buffer("frequency", made, persistent=False)
        self.scale, self.positions = scale, positions

    def forward(self, x: Any) -> Any:
        places = torch.arange(x.shape[2], dtype=torch.float32)
        if self.positions is not None:
            places = torch.as_tensor(np.asarray(self.positions, "float32"))
        turn = places[:, None] * self.frequency.float()[None]
        return torch.cos(turn) * self.scale, torch.sin(turn) * self.scale


class PaddleRotary(paddle.nn.Layer):
    def __init__(self, inverse: Any, scale: float = 1.0, positions: Any = None) -> None:
        super().__init__()
        made = paddle.to_tensor(np.asarray(inverse, "float32"))
        self.register_buffer("frequency", made, persistable=False)
        self.scale, self.positions = scale, positions

    def forward(self, x: Any) -> Any:
        places = paddle.arange(x.shape[2], dtype="float32")
        if self.positions is not None:
            places = paddle.to_tensor(np.asarray(self.positions, "float32"))
        turn = places.unsqueeze(1) * self.frequency.astype("float32").unsqueeze(0)
        return paddle.cos(turn) * self.scale, paddle.sin(turn) * self.scale


class TorchTurning(in_torch.Attention):
    """Halves of a head are turned against each other, or its neighbours."""

    def __init__(self, rotary: Any, neighbours: bool = False) -> None:
        super().__init__()
        self.rotary = TorchRotary(**rotary)
        self.neighbours = neighbours

    def turned(self, x: Any) -> Any:
        cos, sin = self.rotary(x)
        if self.neighbours:
            one, two = x[..., ::2], x[..., 1::2]
            both = torch.stack((one * cos - two * sin, two * cos + one * sin), -1)
            return both.flatten(-2)
        one, two = x[..., :HALF], x[..., HALF:]
        return torch.cat((one * cos - two * sin, two * cos + one * sin), -1)


class PaddleTurning(in_paddle.Attention):
    def __init__(self, rotary: Any, neighbours: bool = False) -> None:
        super().__init__()
        self.rotary = PaddleRotary(**rotary)
        self.neighbours = neighbours

    def turned(self, x: Any) -> Any:
        cos, sin = self.rotary(x)
        if self.neighbours:
            one, two = x[..., ::2], x[..., 1::2]
            both = paddle.stack((one * cos - two * sin, two * cos + one * sin), -1)
            return both.flatten(-2)
        one, two = x[..., :HALF], x[..., HALF:]
        return paddle.concat((one * cos - two * sin, two * cos + one * sin), -1)


def decoders(
    ours: Any,
    theirs: Any,
    neighbours: tuple[bool, bool] = (False, False),
    copied: bool = True,
) -> Pair:
    """A pair whose rotaries are made from these arguments."""
    layer = in_paddle.Decoder(attention=partial(PaddleTurning, ours, neighbours[0]))
    module = in_torch.Decoder(attention=partial(TorchTurning, theirs, neighbours[1]))
    return pair(layer, module, {"ids": ids()}, copied=copied)


def by_parts(
    factor: float = 8.0, low: float = 1.0, high: float = 4.0, trained: float = 64.0
) -> Any:
    """Llama 3.1's frequencies: slow ones divided by the factor, those between smoothed."""
    plain = frequencies(1000.0)
    waves = 2 * math.pi / plain
    smooth = np.clip((trained / waves - low) / (high - low), 0.0, 1.0)
    return (1 - smooth) * plain / factor + smooth * plain


def transformers_llama31(faulty: bool) -> Pair:
    plain = frequencies(1000.0)
    return decoders({"inverse": plain if faulty else by_parts()}, {"inverse": by_parts()})


def transformer_lens_low(faulty: bool) -> Pair:
    ours = by_parts(low=2.0) if faulty else by_parts()
    return decoders({"inverse": ours}, {"inverse": by_parts()})


def easy_lm_base(faulty: bool) -> Pair:
    ours = frequencies() if faulty else frequencies(500000.0)
    return decoders({"inverse": ours}, {"inverse": frequencies(500000.0)})


def vllm_longrope(faulty: bool) -> Pair:
    grown, trained = 32.0, 4096.0
    right = math.sqrt(1.0 + math.log(grown) / math.log(trained))
    theirs = {"inverse": frequencies() / 2.0, "scale": right}
    return decoders(theirs | {"scale": 1.1 if faulty else right}, theirs)


def transformer_lens_pairing(faulty: bool) -> Pair:
    """With the weights as they were loaded: reordered ones would make up for the other pairing."""
    made = {"inverse": frequencies()}
    return decoders(made, made, (not faulty, True), copied=False)


def llama_pairing(faulty: bool) -> Pair:
    """Neighbours against halves, each with the rows of q and k in its own order."""
    made = {"inverse": frequencies()}
    if not faulty:
        return decoders(made, made)
    port = decoders(made, made, (False, True), copied=True)
    order = np.concatenate([np.arange(0, HEAD, 2), np.arange(1, HEAD, 2)])
    rows = np.concatenate([order + HEAD * head for head in range(HEADS)])
    named = dict(port.layer.named_parameters())
    turned = [name for name in named if name.endswith(("q.weight", "k.weight"))]
    for name in turned:
        named[name].set_value(named[name].numpy()[:, rows])
    return replace(port, rows=dict.fromkeys(turned, rows))


def galvatron_skipped(faulty: bool) -> Pair:
    made = {"inverse": frequencies()}
    if not faulty:
        return decoders(made, made)
    module = in_torch.Decoder(attention=partial(TorchTurning, made))
    return pair(in_paddle.Decoder(), module, {"ids": ids()})


def mlx_text_positions(faulty: bool) -> Pair:
    """Six places of which the middle three are one picture: text behind it goes on at its end."""
    right = [0, 1, 1, 1, 2, 3]
    ours = list(range(LENGTH)) if faulty else right
    made = {"inverse": frequencies()}
    return decoders(made | {"positions": ours}, made | {"positions": right})


def mlx_global_scaling(faulty: bool) -> Pair:
    theirs = frequencies() / 8.0
    return decoders({"inverse": frequencies() if faulty else theirs}, {"inverse": theirs})


BOTH = ("output", "gradient")

CASES = (
    Case(
        "transformers_llama31_frequencies",
        (
            Source(
                "huggingface/transformers",
                32330,
                "Llama 3.1: the frequencies were computed by parts and the plain ones returned",
            ),
            Source(
                "TransformerLensOrg/TransformerLens", 764, "the frequencies by parts were missing"
            ),
        ),
        "the plain frequencies are used where slow ones are to be divided by a factor",
        "port",
        BOTH,
        transformers_llama31,
        Right("different", TURNED, NUMBERS, ("frequenc", "scale", "constant")),
    ),
    Case(
        "transformer_lens_low_factor",
        (
            Source(
                "TransformerLensOrg/TransformerLens",
                910,
                "Llama 3: the scaling factors of the rotary embedding were not the reference's",
            ),
            Source(
                "TransformerLensOrg/TransformerLens", 764, "how the low frequencies are divided"
            ),
        ),
        "the bound below which frequencies are divided is another one, so only some differ",
        "port",
        BOTH,
        transformer_lens_low,
        Right("different", TURNED, NUMBERS, ("frequenc", "scale", "constant")),
    ),
    Case(
        "easylm_rope_base",
        (
            Source(
                "young-geng/EasyLM",
                117,
                "the base of the rotary embedding was in the configuration and never passed on",
            ),
        ),
        "the rotary base is the function's default 10000 where the model has 500000",
        "port",
        BOTH,
        easy_lm_base,
        Right("different", TURNED, NUMBERS, ("frequenc", "scale", "constant")),
    ),
    Case(
        "vllm_longrope_scale",
        (
            Source(
                "vllm-project/vllm",
                5628,
                "Phi-3: cosine and sine were scaled by hard-coded numbers where the reference "
                "computes them from the lengths",
            ),
        ),
        "cos and sin are multiplied by a fixed number instead of the one that follows from the "
        "configuration",
        "port",
        BOTH,
        vllm_longrope,
        Right("different", TURNED, ("scale", "values.scaled"), ("scale",)),
    ),
    Case(
        "transformer_lens_pairing",
        (
            Source(
                "TransformerLensOrg/TransformerLens",
                365,
                "a trailing comma made the condition always true, so that GPT-J's neighbours were "
                "turned as halves",
            ),
        ),
        "halves of a head are turned against each other where neighbours should be",
        "port",
        BOTH,
        transformer_lens_pairing,
        # reordering the rows of q and k mends it as well: that they are in another order than these
        # models compute with is the same truth, told at the weights
        Right(
            "different",
            (*ATTENTION, *(f"{path}.{part}" for path in ATTENTION for part in "qk")),
            (
                "operand.reordered",
                "values.permuted",
                "values.interleaved",
                "values.slices_permuted",
                "weights.permuted",
                "weights.read_in_another_order",
            ),
            ("order", "interleav", "permut"),
        ),
    ),
    Case(
        "llama_rotary_order",
        (
            Source(
                "huggingface/transformers",
                25199,
                "Llama's neighbours are turned as halves in transformers; the rows of q and k "
                "were put in another order for it, and results agree",
            ),
        ),
        "halves are turned in the place of neighbours, with weights in the order that goes with it",
        "nobody",
        (),
        llama_pairing,
        Right("none"),
    ),
    Case(
        "galvatron_rotary_skipped",
        (
            Source(
                "PKU-DAIR/Hetu-Galvatron",
                78,
                "a default meant for decoding made training skip the rotary embedding",
            ),
        ),
        "queries and keys are not turned at all",
        "port",
        BOTH,
        galvatron_skipped,
        Right(
            "different",
            ATTENTION,
            ("operation.missing", "operands.rewired", "operand.count", "construction.operations"),
            ("missing",),
        ),
    ),
    Case(
        "mlx_vlm_text_positions",
        (
            Source(
                "Blaizzy/mlx-vlm",
                319,
                "Qwen2-VL took positions from the cache's offset instead of the picture's index",
            ),
            Source("Blaizzy/mlx-vlm", 672, "positions of text", read=False),
        ),
        "text behind a picture goes on counting places, where the picture takes one step only",
        "port",
        BOTH,
        mlx_text_positions,
        Right(
            "different",
            TURNED,
            (*NUMBERS, "values.shifted", "shift"),
            ("position", "constant"),
        ),
    ),
    Case(
        "mlx_vlm_global_scaling",
        (
            Source(
                "Blaizzy/mlx-vlm",
                1709,
                "Gemma 3: the global layers' linear scaling of positions was read and not applied",
            ),
        ),
        "the angles are eight times too large",
        "port",
        BOTH,
        mlx_global_scaling,
        Right("different", TURNED, NUMBERS, ("scale", "frequenc", "constant")),
    ),
)
