"""A language model of each framework with a cross entropy on top, computed in float32."""

from __future__ import annotations

from typing import Any

import paddle
import torch

__all__ = ["with_loss"]


class PaddleLoss(paddle.nn.Layer):
    """The next token's cross entropy; `loss_held` = "low" leaves the upcast of the logits out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.__dict__["loss_held"] = "float32"

    def forward(self, **given: Any) -> Any:
        result = self.model(**given)
        logits = result[0] if isinstance(result, (tuple, list)) else result
        if self.__dict__["loss_held"] == "float32":
            logits = logits.astype("float32")
        wide = logits[:, :-1].reshape([-1, logits.shape[-1]])
        return paddle.nn.functional.cross_entropy(wide, given["input_ids"][:, 1:].reshape([-1]))


class TorchLoss(torch.nn.Module):
    """The same in torch."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, **given: Any) -> Any:
        logits = self.model(**given).logits.float()
        wide = logits[:, :-1].reshape(-1, logits.shape[-1])
        return torch.nn.functional.cross_entropy(wide, given["input_ids"][:, 1:].reshape(-1))


def with_loss(layer: Any, module: Any, examples: Any) -> tuple[Any, Any, Any]:
    """The pair with a loss on top."""
    first, second = PaddleLoss(layer), TorchLoss(module)
    first.eval()
    return first, second.eval(), examples
