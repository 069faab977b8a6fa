"""Published pairs with their usual losses: classification, tokens of a decoder, CTC of a text
recogniser, segmentation of a text detector, a diffusion model's noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as PF
import torch
import torch.nn.functional as TF
from training_recipes import Recipe

__all__ = ["SUBJECTS", "Subject"]

BATCH = 4
"""Members of a batch."""


@dataclass(frozen=True)
class Subject:
    """A published pair as it is trained.

    Attributes:
        pair: its name in `pairs.PAIRS`.
        family: of its loss.
        loss: by framework, a function (recipe, output, labels) -> scalar.
        labels: the right answers of a batch, from a random generator and the inputs.
    """

    pair: str
    family: str
    loss: Mapping[str, Callable[[Recipe, Any, Any], Any]]
    labels: Callable[[np.random.Generator, Mapping[str, Any]], Any]


def _classes(random: np.random.Generator, _: Mapping[str, Any]) -> Any:
    return random.integers(0, 10, BATCH)


def _one_tensor(output: Any) -> Any:
    """The logits, however a model returns them."""
    for name in ("logits", "sample", "maps"):
        if hasattr(output, name):
            return getattr(output, name)
        if isinstance(output, Mapping) and name in output:
            return output[name]
    return output[0] if isinstance(output, (list, tuple)) else output


def _class_weights() -> Any:
    return np.linspace(0.5, 1.5, 10).astype(np.float32)


# -- classification


def _paddle_classes(recipe: Recipe, output: Any, labels: Any) -> Any:
    logits, labels = _one_tensor(output), paddle.to_tensor(labels)
    if recipe.half:
        logits = logits.astype("bfloat16").astype("float32")
    if recipe.twice:
        logits = PF.softmax(logits)
    weight = paddle.to_tensor(_class_weights()) if recipe.weighted else None
    loss = PF.cross_entropy(
        logits, labels, weight=weight, reduction=recipe.reduction, label_smoothing=recipe.smoothing
    )
    return loss + recipe.auxiliary * (logits**2).mean() if recipe.auxiliary else loss


def _torch_classes(recipe: Recipe, output: Any, labels: Any) -> Any:
    logits, labels = _one_tensor(output), torch.from_numpy(labels)
    if recipe.half:
        logits = logits.bfloat16().float()
    if recipe.twice:
        logits = logits.softmax(-1)
    weight = torch.from_numpy(_class_weights()) if recipe.weighted else None
    loss = TF.cross_entropy(
        logits, labels, weight=weight, reduction=recipe.reduction, label_smoothing=recipe.smoothing
    )
    return loss + recipe.auxiliary * logits.square().mean() if recipe.auxiliary else loss


# -- tokens


def _tokens(random: np.random.Generator, inputs: Mapping[str, Any]) -> Any:
    """The next tokens; the ends of the rows are padding."""
    labels = np.array(inputs["input_ids"])
    for row in range(len(labels)):
        labels[row, labels.shape[1] - 1 - row % 3 :] = -100
    return labels


def _paddle_tokens(recipe: Recipe, output: Any, labels: Any) -> Any:
    logits, labels = _one_tensor(output), paddle.to_tensor(labels)
    if recipe.half:
        logits = logits.astype("bfloat16").astype("float32")
    if recipe.ignore != -100:
        labels = paddle.where(labels == -100, paddle.zeros_like(labels), labels)
    if recipe.shift:
        logits, labels = logits[:, : -recipe.shift], labels[:, recipe.shift :]
    flat = logits.reshape([-1, logits.shape[-1]]), labels.reshape([-1])
    if recipe.reduction == "framework":
        return PF.cross_entropy(*flat, ignore_index=-100)
    counted = (labels != -100).astype("float32")
    safe = paddle.where(flat[1] == -100, paddle.zeros_like(flat[1]), flat[1])
    rows = PF.cross_entropy(flat[0], safe, reduction="none", label_smoothing=recipe.smoothing)
    rows = rows.reshape(labels.shape) * counted
    if recipe.reduction == "sum":
        losses = rows.sum()
    elif recipe.reduction == "sentence":
        losses = (rows.sum(1) / counted.sum(1)).mean()
    else:
        losses = rows.sum() / counted.sum()
    if recipe.auxiliary:
        losses = losses + recipe.auxiliary * (logits.logsumexp(-1) ** 2).mean()
    return losses


def _torch_tokens(recipe: Recipe, output: Any, labels: Any) -> Any:
    logits, labels = _one_tensor(output), torch.from_numpy(labels)
    if recipe.half:
        logits = logits.bfloat16().float()
    if recipe.ignore != -100:
        labels = torch.where(labels == -100, 0, labels)
    if recipe.shift:
        logits, labels = logits[:, : -recipe.shift], labels[:, recipe.shift :]
    losses = TF.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        labels.reshape(-1),
        ignore_index=-100 if recipe.ignore is None else recipe.ignore,
        reduction="mean" if recipe.reduction == "mean" else "none",
        label_smoothing=recipe.smoothing,
    )
    if recipe.reduction == "sum":
        losses = losses.sum()
    elif recipe.reduction == "sentence":
        rows, counted = losses.reshape(labels.shape), (labels != -100).float()
        losses = ((rows * counted).sum(1) / counted.sum(1)).mean()
    if recipe.auxiliary:
        losses = losses + recipe.auxiliary * logits.logsumexp(-1).square().mean()
    return losses


# -- CTC


def _texts(random: np.random.Generator, _: Mapping[str, Any]) -> Any:
    return random.integers(1, 36, (BATCH, 5)).astype(np.int32)


def _paddle_ctc(recipe: Recipe, output: Any, labels: Any) -> Any:
    logits, labels = _one_tensor(output), paddle.to_tensor(labels)
    if recipe.half:
        logits = logits.astype("bfloat16").astype("float32")
    if recipe.twice:
        logits = PF.softmax(logits)
    loss = PF.ctc_loss(
        logits.transpose([1, 0, 2]),
        labels,
        paddle.full([logits.shape[0]], logits.shape[1], "int64"),
        paddle.full([logits.shape[0]], labels.shape[1], "int64"),
        blank=recipe.blank,
        reduction=recipe.reduction,
    )
    return loss + recipe.auxiliary * (logits**2).mean() if recipe.auxiliary else loss


def _torch_ctc(recipe: Recipe, output: Any, labels: Any) -> Any:
    logits, labels = _one_tensor(output), torch.from_numpy(labels)
    if recipe.half:
        logits = logits.bfloat16().float()
    if recipe.twice:
        logits = logits.softmax(-1)
    loss = TF.ctc_loss(
        logits.transpose(0, 1).log_softmax(-1),
        labels,
        torch.full((logits.shape[0],), logits.shape[1], dtype=torch.int64),
        torch.full((logits.shape[0],), labels.shape[1], dtype=torch.int64),
        blank=recipe.blank,
        reduction=recipe.reduction,
    )
    return loss + recipe.auxiliary * logits.square().mean() if recipe.auxiliary else loss


# -- segmentation: what DB trains on, cross entropy and distance of maps, and their overlap


def _masks(random: np.random.Generator, inputs: Mapping[str, Any]) -> Any:
    height, width = next(iter(inputs.values())).shape[-2:]
    return (random.random((BATCH, height, width)) > 0.7).astype(np.float32)


def _paddle_masks(recipe: Recipe, output: Any, labels: Any) -> Any:
    maps, labels = _one_tensor(output), paddle.to_tensor(labels)
    if recipe.half:
        maps = maps.astype("bfloat16").astype("float32")
    weight = 1 + 2 * labels if recipe.weighted else None
    crossed = PF.binary_cross_entropy(maps[:, 0], labels, weight=weight, reduction=recipe.reduction)
    apart = (maps[:, 1] - labels).abs() if recipe.distance == "l1" else (maps[:, 1] - labels) ** 2
    shared = (maps[:, 2] * labels).sum()
    overlap = 1 - 2 * shared / (maps[:, 2].sum() + labels.sum() + 1e-6)
    return crossed + apart.mean() * (10 + recipe.auxiliary) + recipe.region * overlap


def _torch_masks(recipe: Recipe, output: Any, labels: Any) -> Any:
    maps, labels = _one_tensor(output), torch.from_numpy(labels)
    if recipe.half:
        maps = maps.bfloat16().float()
    weight = 1 + 2 * labels if recipe.weighted else None
    crossed = TF.binary_cross_entropy(maps[:, 0], labels, weight=weight, reduction=recipe.reduction)
    apart = (maps[:, 1] - labels).abs() if recipe.distance == "l1" else (maps[:, 1] - labels) ** 2
    shared = (maps[:, 2] * labels).sum()
    overlap = 1 - 2 * shared / (maps[:, 2].sum() + labels.sum() + 1e-6)
    return crossed + apart.mean() * (10 + recipe.auxiliary) + recipe.region * overlap


# -- diffusion: the distance of the predicted from the true noise


def _noise(random: np.random.Generator, inputs: Mapping[str, Any]) -> Any:
    return random.standard_normal(inputs["sample"].shape).astype(np.float32)


def _steepness() -> Any:
    return np.linspace(0.5, 2.0, BATCH).astype(np.float32).reshape(-1, 1, 1, 1)


def _paddle_noise(recipe: Recipe, output: Any, labels: Any) -> Any:
    noise, labels = _one_tensor(output), paddle.to_tensor(labels)
    if recipe.half:
        noise = noise.astype("bfloat16").astype("float32")
    distance = PF.l1_loss if recipe.distance == "l1" else PF.mse_loss
    if recipe.weighted:
        weight = paddle.to_tensor(_steepness()[: noise.shape[0]])
        return (distance(noise, labels, reduction="none") * weight).mean()
    loss = distance(noise, labels, reduction=recipe.reduction)
    return loss + recipe.auxiliary * (noise**2).mean() if recipe.auxiliary else loss


def _torch_noise(recipe: Recipe, output: Any, labels: Any) -> Any:
    noise, labels = _one_tensor(output), torch.from_numpy(labels)
    if recipe.half:
        noise = noise.bfloat16().float()
    distance = TF.l1_loss if recipe.distance == "l1" else TF.mse_loss
    if recipe.weighted:
        weight = torch.from_numpy(_steepness()[: noise.shape[0]])
        return (distance(noise, labels, reduction="none") * weight).mean()
    loss = distance(noise, labels, reduction=recipe.reduction)
    return loss + recipe.auxiliary * noise.square().mean() if recipe.auxiliary else loss


def _subject(pair: str, family: str, ours: Any, theirs: Any, labels: Any) -> Subject:
    return Subject(pair, family, {"paddle": ours, "torch": theirs}, labels)


SUBJECTS = {
    subject.pair: subject
    for subject in (
        _subject("timm_convnext_tiny", "classes", _paddle_classes, _torch_classes, _classes),
        _subject("nlp_llama", "tokens", _paddle_tokens, _torch_tokens, _tokens),
        _subject("ocr_rec_crnn_mbv3", "ctc", _paddle_ctc, _torch_ctc, _texts),
        _subject("ocr_det_mbv3_db", "masks", _paddle_masks, _torch_masks, _masks),
        _subject("df_unet2d", "noise", _paddle_noise, _torch_noise, _noise),
        _subject(
            "timm_mobilenetv4_conv_small", "classes", _paddle_classes, _torch_classes, _classes
        ),
        _subject("timm_vit_base_patch16_224", "classes", _paddle_classes, _torch_classes, _classes),
    )
}
