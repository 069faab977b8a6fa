"""Whether the frameworks or the port are to blame, with the healthy counterpart beside each
fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
WORDS = np.array([[3, 0, 5, 3], [3, 1, 0, 0]])
IMAGE = np.random.default_rng(3).standard_normal((2, 4, 6, 7)).astype("float32")


class _PaddleWords(paddle.nn.Layer):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.words = paddle.nn.Embedding(8, 5, **settings)
        self.head = paddle.nn.Linear(5, 2)

    def forward(self, ids: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.words(ids).tanh())


class _TorchWords(torch.nn.Module):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(8, 5, **settings)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.words(ids).tanh())


def _report(layer: paddle.nn.Layer, module: torch.nn.Module, **arrays: np.ndarray) -> pg.Report:
    first = {name: paddle.to_tensor(array) for name, array in arrays.items()}
    second = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return pg.compare(layer.eval(), module.eval(), (first, second), options=STRICT)


@pytest.mark.parametrize(
    ("ours", "theirs", "cause"),
    [
        ({}, {"padding_idx": 0}, "attribute.padding_idx"),
        ({"padding_idx": 3}, {"padding_idx": 0}, "attribute.padding_idx"),
        ({}, {"scale_grad_by_freq": True}, "attribute.scale_grad_by_freq"),
    ],
)
def test_a_gradient_that_is_asked_for_is_no_defect(
    ours: dict[str, Any], theirs: dict[str, Any], cause: str
) -> None:
    report = _report(_PaddleWords(**ours), _TorchWords(**theirs), ids=WORDS)
    assert not report.passed
    failing = [finding for finding in report.findings if finding.fails]
    assert failing and failing[0].paddle_path == "words"
    assert any(finding.cause_id in (cause, "embedding.padding") for finding in failing)
    assert not any(finding.verdict == "framework-defect" for finding in report.findings)


@pytest.mark.parametrize("settings", [{}, {"padding_idx": 0}])
def test_equal_embeddings_pass(settings: dict[str, Any]) -> None:
    assert _report(_PaddleWords(**settings), _TorchWords(**settings), ids=WORDS).passed


def test_zeros_at_padding_idx_are_the_ports_to_see_to() -> None:
    module = _TorchWords(padding_idx=0)
    torch.nn.init.normal_(module.words.weight)
    report = _report(_PaddleWords(padding_idx=0), module, ids=WORDS)
    assert not report.passed
    assert [f.cause_id for f in report.findings if f.fails] == ["embedding.padding"]


class _PaddleSized(paddle.nn.Layer):
    def __init__(self, size: list[int]) -> None:
        super().__init__()
        self.size, self.mix = size, paddle.nn.Conv2D(4, 3, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.mix(paddle.nn.functional.interpolate(x, size=self.size, mode="bilinear"))


class _TorchSized(torch.nn.Module):
    def __init__(self, size: list[int], corners: bool = False) -> None:
        super().__init__()
        self.size, self.corners, self.mix = size, corners, torch.nn.Conv2d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sized = torch.nn.functional.interpolate(
            x, size=self.size, mode="bilinear", align_corners=self.corners
        )
        return self.mix(sized)


def test_one_call_alike_with_other_numbers_is_the_frameworks_own() -> None:
    report = _report(_PaddleSized([1, 5]), _TorchSized([1, 5]), x=IMAGE)
    assert not any(finding.fails for finding in report.findings)
    kinds = [finding.cause_id for finding in report.findings]
    assert "framework.same_call" in kinds
    assert "46214" in next(f.cause for f in report.findings if f.cause_id == "framework.same_call")


def test_another_attribute_is_the_ports() -> None:
    report = _report(_PaddleSized([4, 5]), _TorchSized([4, 5], corners=True), x=IMAGE)
    assert not report.passed
    assert any(finding.cause_id == "attribute.coordinates" for finding in report.findings)
    assert not any("framework" in finding.verdict for finding in report.findings)
    assert _report(_PaddleSized([4, 5]), _TorchSized([4, 5]), x=IMAGE).passed


class _PaddleRounded(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.fc = paddle.nn.Linear(6, 4)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return (self.fc(x) * 10).round().clip(-128, 127) / 10


class _TorchRounded(torch.nn.Module):
    def __init__(self, *, through: bool) -> None:
        super().__init__()
        self.through, self.fc = through, torch.nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.through:
            return torch.fake_quantize_per_tensor_affine(self.fc(x), 0.1, 0, -128, 127)
        return (self.fc(x) * 10).round().clamp(-128, 127) / 10


def test_a_straight_through_gradient_is_told_as_designed() -> None:
    x = np.random.default_rng(5).standard_normal((3, 6)).astype("float32")
    report = _report(_PaddleRounded(), _TorchRounded(through=True), x=x)
    assert not report.passed
    assert not any(finding.verdict == "framework-defect" for finding in report.findings)
    assert any("fake_quantize" in finding.cause for finding in report.findings if finding.fails)
    assert _report(_PaddleRounded(), _TorchRounded(through=False), x=x).passed


class _PaddleShort(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.fc = paddle.nn.Linear(6, 4)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.nn.functional.sigmoid(self.fc(x))


class _TorchShort(torch.nn.Module):
    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act, self.fc = act, torch.nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.fc(x))


def test_an_empty_batch_passes_only_where_structure_agrees() -> None:
    nothing = np.zeros((0, 6), "float32")
    assert _report(_PaddleShort(), _TorchShort(torch.sigmoid), x=nothing).passed
    report = _report(_PaddleShort(), _TorchShort(torch.tanh), x=nothing)
    assert not report.passed
    assert any(finding.fails for finding in report.findings)


class _PaddleShifted(paddle.nn.Layer):
    def __init__(self, table: np.ndarray) -> None:
        super().__init__()
        self.fc = paddle.nn.Linear(5, 5)
        self.register_buffer("table", paddle.to_tensor(table), persistable=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(x) + self.table


class _TorchShifted(torch.nn.Module):
    def __init__(self, table: np.ndarray) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(5, 5)
        self.register_buffer("table", torch.from_numpy(table.copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) + self.table


@pytest.mark.parametrize("base", [10000.0, 1000.0])
def test_a_table_of_other_numbers_is_the_ports(base: float) -> None:
    tables = [np.sin(np.arange(5) / 10 ** (np.log10(b) / 5)) for b in (base, 10000.0)]
    first, second = (table.astype("float32") for table in tables)
    x = np.random.default_rng(0).standard_normal((3, 5)).astype("float32")
    report = _report(_PaddleShifted(first), _TorchShifted(second), x=x)
    assert report.passed is (base == 10000.0)
    if base != 10000.0:
        assert any(finding.fails for finding in report.findings)
        assert not any("framework" in finding.verdict for finding in report.findings)


class _PaddleTurned(paddle.nn.Layer):
    def __init__(self, last: str) -> None:
        super().__init__()
        self.mix = paddle.nn.Conv2D(3, 3, 1)
        self.norm = paddle.nn.BatchNorm2D(3)
        self.last = last

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.norm(self.mix(x).transpose([0, 1, 3, 2]))
        return y + x if self.last == "add" else paddle.nn.functional.softmax(y, -1)


class _TorchUnturned(torch.nn.Module):
    def __init__(self, last: str) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 3, 1)
        self.norm = torch.nn.BatchNorm2d(3)
        self.last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.mix(x))
        return y + x if self.last == "add" else torch.softmax(y, -1)


@pytest.mark.parametrize("last", ["add", "softmax"])
def test_values_that_arrive_turned_are_the_ports(last: str) -> None:
    image = np.random.default_rng(4).standard_normal((2, 3, 5, 5)).astype("float32")
    report = _report(_PaddleTurned(last), _TorchUnturned(last), x=image)
    assert not report.passed
    assert {finding.verdict for finding in report.findings if finding.fails} <= {
        "different",
        "extra",
    }
    assert "framework-divergence" not in {finding.verdict for finding in report.findings}
    assert "transpose" in report.findings[0].cause.lower()


class Spread(paddle.nn.Layer):
    """The deviation over a batch, by the framework's own call or written out."""

    def __init__(self, by_hand):
        super().__init__()
        self.fc, self.by_hand = paddle.nn.Linear(4, 4), by_hand

    def forward(self, x):
        y = self.fc(x)
        if not self.by_hand:
            return y.std(0, keepdim=True) * 2.0
        centred = y - y.mean(0, keepdim=True)
        return paddle.sqrt((centred**2).sum(0, keepdim=True) / 3) * 2.0


class TorchSpread(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(x).std(0, keepdim=True) * 2.0


@pytest.mark.parametrize("by_hand", [False, True])
def test_the_gradient_of_equal_samples_is_the_frameworks_where_it_spells_them(by_hand):
    x = np.tile(np.random.default_rng(0).standard_normal((1, 4)).astype("float32"), (4, 1))
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(Spread(by_hand), TorchSpread(), example, options=STRICT)
    verdicts = {finding.verdict for finding in report.findings}
    assert verdicts == ({"different"} if by_hand else {"framework-divergence"})
    assert report.passed != by_hand


class _PaddleTwiceNormed(paddle.nn.Layer):
    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.mix = paddle.nn.Conv2D(4, 4, 1)
        self.norm = paddle.nn.BatchNorm2D(4, momentum=momentum)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(self.mix(paddle.nn.functional.relu(self.norm(x))))


class _TorchTwiceNormed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(4, 4, 1)
        self.norm = torch.nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.mix(torch.relu(self.norm(x))))


@pytest.mark.parametrize(("momentum", "passes"), [(0.9, True), (0.8, False)])
def test_statistics_updated_twice_are_held_against_what_each_update_starts_from(
    momentum: float, passes: bool
) -> None:
    """Paddle's running variance is the biased one, torch's the unbiased one."""
    layer, module = _PaddleTwiceNormed(momentum), _TorchTwiceNormed()
    example = {"x": paddle.to_tensor(IMAGE)}, {"x": torch.from_numpy(IMAGE)}
    report = pg.compare(layer, module, example, options=STRICT)
    assert report.passed is passes, str(report)
    verdicts = {finding.verdict for finding in report.findings}
    assert verdicts == {"framework-divergence"} if passes else "different" in verdicts


class _Frozen(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = torch.nn.Linear(6, 6), torch.nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            features = self.body(x).relu()
        return self.head(features)


class _Trained(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = paddle.nn.Linear(6, 6), paddle.nn.Linear(6, 2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(paddle.nn.functional.relu(self.body(x)))


class _Kept(paddle.nn.Layer):
    """Clips what is not negative anyhow, zeros among it: another slope there."""

    def __init__(self, clips: bool) -> None:
        super().__init__()
        self.clips, self.head = clips, paddle.nn.Linear(6, 2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(paddle.nn.functional.relu(x) if self.clips else x)


class _AsItIs(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


def test_what_follows_a_cut_is_no_defect_of_a_framework() -> None:
    x = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
    report = _report(_Trained(), _Frozen(), x=x)
    assert not report.passed
    assert {found.verdict for found in report.findings} == {"different"}


def test_a_kink_of_one_function_alone_is_no_defect_of_a_framework() -> None:
    x = np.maximum(np.random.default_rng(0).standard_normal((4, 6)), 0).astype("float32")
    report = _report(_Kept(True), _AsItIs(), x=x)
    assert not report.passed
    assert not any(found.verdict == "framework-defect" for found in report.findings)
    assert _report(_Kept(False), _AsItIs(), x=x).passed


class _PaddlePooled(paddle.nn.Layer):
    """Attention pooling over a sequence: a score a position."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis, self.score = axis, paddle.nn.Linear(7, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return (paddle.nn.functional.softmax(self.score(x), self.axis) * x).sum(1)


class _TorchPooled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.score = torch.nn.Linear(7, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.score(x).softmax(1) * x).sum(1)


@pytest.mark.parametrize(("axis", "same"), [(1, True), (-1, False)])
def test_an_axis_of_size_one_in_place_of_another_is_no_framework(axis: int, same: bool) -> None:
    x = IMAGE[0, :, :, :].copy()
    pair = _PaddlePooled(axis).eval(), _TorchPooled().eval()
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(*pair, example, options={**STRICT, "single_step": True})
    assert report.passed == same
    assert [f.cause_id for f in report.findings if f.fails] == ([] if same else ["setting.differs"])


class _PaddleLength(paddle.nn.Layer):
    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon, self.fc = epsilon, paddle.nn.Linear(8, 8, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        squares = self.fc(x).square().sum(-1)
        return paddle.sqrt(squares + self.epsilon if self.epsilon else squares)


class _TorchLength(torch.nn.Module):
    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon, self.fc = epsilon, torch.nn.Linear(8, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squares = self.fc(x).square().sum(-1)
        return torch.sqrt(squares + self.epsilon if self.epsilon else squares)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(0.0, 1e-12), (1e-12, 0.0), (1e-24, 0.0), (1e-14, 1e-12), (0.0, 0.0)]
)
def test_an_epsilon_that_one_root_lacks_is_the_ports(ours: float, theirs: float) -> None:
    """At zero it decides the gradient, however little it shows in the result."""
    rows = np.random.default_rng(0).standard_normal((2, 6, 8)).astype("float32")
    rows[0] = 0.0
    report = _report(_PaddleLength(ours), _TorchLength(theirs), x=rows)
    verdicts = {finding.verdict for finding in report.findings}
    assert verdicts.isdisjoint({"framework-defect", "framework-divergence"})
    assert any(finding.fails for finding in report.findings) is (ours != theirs)
    assert report.passed is (ours == theirs)
