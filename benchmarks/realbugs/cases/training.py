"""Losses, accumulation, norms and decay: what shows when a model trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
import paddle.nn.functional as PF
import torch
import torch.nn.functional as TF

from benchmarks.realbugs.case import Case, Pair, Right, Source, Training
from benchmarks.realbugs.cases.norms import paddle_norm, torch_norm
from benchmarks.realbugs.pairing import pair, random
from benchmarks.realbugs.parts import in_paddle, in_torch
from benchmarks.realbugs.parts.in_torch import spread
from benchmarks.realbugs.parts.sizes import WORDS, ids

__all__ = ["CASES"]

RATE = 0.05
EPSILON = 1e-3
"""Of AdamW: large enough that the rounding of gradients near zero is not blown up to a step."""
IGNORED = 0
"""Padding. Paddle counts what is left out by the usual -100: see `paddle_ignored_labels`."""
LOSS = ("loss.differs", "loss.gradient_differs")
MEANS = "the mean of the parts' means"
TOTAL = "the mean over all words"


def labels() -> Any:
    """What is to be said at each place; some places are left out, more in the first row."""
    wanted = ids(seed=5)
    wanted[0, :4] = IGNORED
    wanted[1, :1] = IGNORED
    return wanted


def torch_loss(logits: Any, wanted: Any, reduction: str = "mean") -> Any:
    flat = torch.as_tensor(wanted).reshape(-1)
    return TF.cross_entropy(
        logits.reshape(-1, WORDS), flat, ignore_index=IGNORED, reduction=reduction
    )


def paddle_loss(logits: Any, wanted: Any, reduction: str = "mean") -> Any:
    flat = paddle.to_tensor(wanted).reshape([-1])
    return PF.cross_entropy(
        logits.reshape([-1, WORDS]), flat, ignore_index=IGNORED, reduction=reduction
    )


def losses(ours: Callable[[Any], Any], theirs: Callable[[Any], Any]) -> Pair:
    training = Training(losses=(ours, theirs))
    return pair(in_paddle.Decoder(), in_torch.Decoder(), {"ids": ids()}, training)


def shifted_twice(faulty: bool) -> Pair:
    wanted = labels()

    def ours(logits: Any) -> Any:
        if faulty:
            return paddle_loss(logits[:, :-1], wanted[:, 1:])
        return paddle_loss(logits, wanted)

    return losses(ours, lambda logits: torch_loss(logits, wanted))


def two_step_mean(faulty: bool) -> Pair:
    wanted = labels()

    def ours(logits: Any) -> Any:
        if not faulty:
            return paddle_loss(logits, wanted)
        each = paddle_loss(logits, wanted, "none").reshape([-1])
        shown = paddle.to_tensor((wanted.reshape(-1) != IGNORED).astype("float32"))
        return (each * shown).sum() / shown.sum()

    return losses(ours, lambda logits: torch_loss(logits, wanted))


def in_parts(layer: Any, module: Any, how: str, steps: int = 2) -> Training:
    """Loops that take each row of a batch as a part; torch's has the mean over all words."""
    wanted = labels()
    count = float((wanted != IGNORED).sum())
    ours = paddle.optimizer.SGD(RATE, parameters=layer.parameters())
    theirs = torch.optim.SGD(module.parameters(), RATE)

    def paddle_step(model: Any, batch: Any) -> None:
        for row in range(2):
            logits = model(batch["ids"][row : row + 1])
            if how == MEANS:
                loss = paddle_loss(logits, wanted[row]) / 2
            else:
                loss = paddle_loss(logits, wanted[row], "sum") / (count if how == TOTAL else 1.0)
            loss.backward()
        ours.step()
        ours.clear_grad()

    def torch_step(model: Any, batch: Any) -> None:
        for row in range(2):
            (torch_loss(model(batch["ids"][row : row + 1]), wanted[row], "sum") / count).backward()
        theirs.step()
        theirs.zero_grad()

    return Training(loops=(paddle_step, torch_step), steps=steps)


def accumulated(how: str) -> Pair:
    layer, module = in_paddle.Decoder(), in_torch.Decoder()
    return pair(layer, module, {"ids": ids()}, in_parts(layer, module, how))


def mean_of_means(faulty: bool) -> Pair:
    return accumulated(MEANS if faulty else TOTAL)


def undivided(faulty: bool) -> Pair:
    return accumulated("the sum" if faulty else TOTAL)


class TorchStage(torch.nn.Module):
    """A stage of a backbone, with its norm in training mode."""

    def __init__(self, momentum: float = 0.1) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(6, momentum=momentum)
        self.mix = torch.nn.Conv2d(6, 4, 1)
        spread(self)
        self.norm.running_mean.normal_(0.0, 0.3)
        self.norm.running_var.uniform_(0.5, 1.5)

    def forward(self, pixels: Any) -> Any:
        return self.mix(torch.relu(self.norm(self.conv(pixels))))


class Frozen(paddle.nn.Layer):
    """A norm that keeps its statistics and does not train."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = self.create_parameter([channels])
        self.bias = self.create_parameter([channels], is_bias=True)
        self.weight.stop_gradient = self.bias.stop_gradient = True
        self.register_buffer("_mean", paddle.zeros([channels]))
        self.register_buffer("_variance", paddle.ones([channels]))

    def forward(self, x: Any) -> Any:
        return PF.batch_norm(x, self._mean, self._variance, self.weight, self.bias, training=False)


class PaddleStage(paddle.nn.Layer):
    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 6, 3, padding=1, bias_attr=False)
        self.norm = norm
        self.mix = paddle.nn.Conv2D(6, 4, 1)

    def forward(self, pixels: Any) -> Any:
        return self.mix(PF.relu(self.norm(self.conv(pixels))))


def stages(norm: Any, momentum: float = 0.1) -> Pair:
    arrays = {"pixels": random(4, 3, 6, 6)}
    return pair(PaddleStage(norm), TorchStage(momentum), arrays, training_mode=True)


def rt_detr_frozen(faulty: bool) -> Pair:
    return stages(Frozen(6) if faulty else paddle.nn.BatchNorm2D(6))


def tacotron_momentum(faulty: bool) -> Pair:
    """torch's number is the share of the new batch, the other framework's that of the old."""
    return stages(paddle.nn.BatchNorm2D(6, momentum=0.01 if faulty else 0.99), momentum=0.01)


def biased_variance(faulty: bool) -> Pair:
    """Both forms are the frameworks' own norms."""
    return stages(paddle.nn.BatchNorm2D(6))


def torch_groups(module: Any) -> Any:
    """Norms and biases without decay."""
    named = list(module.named_parameters())
    plain = [value for name, value in named if value.ndim == 1]
    decayed = [value for name, value in named if value.ndim > 1]
    groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, 1e-2, eps=EPSILON, weight_decay=0.5)


def norms_decayed(faulty: bool) -> Pair:
    layer, module = in_paddle.Decoder(paddle_norm(1e-5)), in_torch.Decoder(torch_norm(1e-5))
    kept = {
        value.name
        for name, value in layer.named_parameters()
        if value.ndim == 1 and not (faulty and "norm" in name)
    }
    ours = paddle.optimizer.AdamW(
        1e-2,
        parameters=layer.parameters(),
        epsilon=EPSILON,
        weight_decay=0.5,
        apply_decay_param_fun=lambda name: name not in kept,
    )
    wanted = labels()
    training = Training(
        losses=(
            lambda logits: paddle_loss(logits, wanted),
            lambda logits: torch_loss(logits, wanted),
        ),
        optimizers=(ours, torch_groups(module)),
        steps=2,
    )
    return pair(layer, module, {"ids": ids()}, training)


ACCUMULATED = (
    "training.departs",
    "gradient.scaled",
    "gradient.differs",
    "optimizer.gradient_scale",
    "optimizer.accumulation",
)

CASES = (
    Case(
        "labels_shifted_twice",
        (
            Source(
                "huggingface/transformers",
                46898,
                "Florence-2: labels are shifted to make the decoder's input, and the loss shifts "
                "them again",
            ),
            Source("PaddlePaddle/PaddleNLP", 6369, "the shift of labels was wrong in fine-tuning"),
            Source("PaddlePaddle/PaddleFormers", 4211, "labels shifted twice", read=False),
        ),
        "the loss shifts labels that are laid beside their logits already",
        "port",
        ("loss",),
        shifted_twice,
        Right("different", ("",), LOSS, ("loss",)),
    ),
    Case(
        "paddleformers_two_step_mean",
        (
            Source(
                "PaddlePaddle/PaddleFormers",
                4443,
                "the loss was summed under a mask and divided, where the reference takes the mean "
                "at once; training losses agree to the bit afterwards",
            ),
        ),
        "a mean in two steps: the same number but for its last bit",
        "nobody",
        (),
        two_step_mean,
        Right("none"),
    ),
    Case(
        "accumulated_means",
        (
            Source(
                "huggingface/transformers",
                24725,
                "with accumulated gradients each part's words weigh by the part's own length",
            ),
            Source("huggingface/transformers", 34191, "the trainer's repair of it"),
            Source("meta-pytorch/torchtune", 1875, "the same: sums, then one division"),
        ),
        "the gradient of a batch in parts is the mean of the parts' means, not of all words",
        "port",
        ("weights",),
        mean_of_means,
        Right("different", ("",), ACCUMULATED, ("gradient", "accumul")),
    ),
    Case(
        "accumulated_undivided",
        (
            Source(
                "karpathy/nanoGPT",
                206,
                "the loss is not divided by the number of steps whose gradients are added up",
            ),
            Source("agokrani/distillKitPlus", 5, "the same, seen in the logged loss"),
            Source("huggingface/transformers", 35203, "accumulation", read=False),
        ),
        "gradients of a batch in parts are added up and never divided",
        "port",
        ("weights",),
        undivided,
        Right("different", ("",), ACCUMULATED, ("gradient", "scale", "accumul")),
    ),
    Case(
        "rt_detr_frozen_norm",
        (
            Source(
                "huggingface/transformers",
                32631,
                "RT-DETR R18: the backbone's norms were frozen, the original trains them",
            ),
            Source("huggingface/transformers", 32604, "the report of it"),
        ),
        "a norm keeps its statistics and weights where the reference trains them",
        "port",
        ("output", "gradient", "buffer"),
        rt_detr_frozen,
        Right(
            "different",
            ("norm",),
            ("attribute.training", "parameter.frozen", "statistics.differ"),
            ("frozen", "training", "statistic"),
        ),
        training_mode=True,
    ),
    Case(
        "tacotron_norm_momentum",
        (
            Source(
                "r9y9/tacotron_pytorch",
                19,
                "TensorFlow's momentum 0.99 was taken over, where torch's means the opposite",
            ),
        ),
        "running statistics take the wrong one of a momentum and its complement",
        "port",
        ("buffer",),
        tacotron_momentum,
        Right("different", ("norm",), ("attribute.momentum", "statistics.differ"), ("momentum",)),
        training_mode=True,
    ),
    Case(
        "paddle_biased_variance",
        (
            Source(
                "PaddlePaddle/Paddle",
                68159,
                "the running variance takes the biased batch variance in Paddle and the unbiased "
                "one in torch",
            ),
        ),
        "each model calls its framework's norm: running variances depart by a known factor",
        "nobody",
        (),
        biased_variance,
        Right("none"),
        training_mode=True,
    ),
    Case(
        "norms_decayed",
        (
            Source(
                "huggingface/transformers",
                4360,
                "names left out of weight decay did not fit TensorFlow's, so norms decayed",
            ),
            Source("CyberZHG/keras-bert", 60, "LayerNorm was not left out of the decay"),
        ),
        "the scales and shifts of norms decay, which the reference leaves out",
        "port",
        ("weights",),
        norms_decayed,
        Right(
            "different",
            ("", "norm", *(f"blocks.{at}.norm{which}" for at in (0, 1) for which in (1, 2))),
            ("optimizer.weight_decay", "optimizer.setting", "optimizer.update"),
            ("decay",),
        ),
    ),
)
