"""Operations paired by what they read, where structure left them open."""

from dataclasses import replace

import paddle
import torch

from padiff_graph.alignment.align import align
from padiff_graph.matching.result import Matching
from padiff_graph.precision.same_readers import with_same_readers


class Router(paddle.nn.Layer):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.gate, self.heads = paddle.nn.Linear(4, 6), heads

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        logits = self.gate(x)
        return sum(paddle.nn.functional.softmax(logits, axis) for axis in range(self.heads))


class TorchRouter(torch.nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.gate, self.heads = torch.nn.Linear(4, 6), heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.gate(x)
        return sum(torch.softmax(logits, axis) for axis in range(self.heads))


def softmaxes(matching: Matching) -> set[int]:
    return {node.id for node in matching.first.nodes if node.op == "Softmax"}


def without_softmax(heads: int) -> Matching:
    layer, module = Router(heads), TorchRouter(heads)
    example = {"x": paddle.ones([6, 4])}, {"x": torch.ones(6, 4)}
    matching = align(layer, module, example, certify=False, evidence=False).matching
    lost = softmaxes(matching)
    assert len(lost) == heads
    kept = tuple(match for match in matching.matches if match.first not in lost)
    return replace(matching, matches=kept)


def test_the_one_softmax_of_matched_logits_is_paired() -> None:
    matching = with_same_readers(without_softmax(1))
    pairs = [match for match in matching.matches if match.first in softmaxes(matching)]
    assert [matching.second.nodes[match.second].op for match in pairs] == ["Softmax"]


def test_of_two_none_is_taken() -> None:
    matching = with_same_readers(without_softmax(2))
    assert softmaxes(matching).isdisjoint(matching.partner())
