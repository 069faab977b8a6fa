"""The first finding of a planted bug.

At the operation that is wrong, with what is wrong about it.
"""

import math

import paddle
import paddle.nn.functional as F
import pytest
import torch
import torch.nn.functional as TF

import padiff_graph as pg
from padiff_graph.check.end_to_end import WholeCheck
from padiff_graph.check.verdict import Measured, judge
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.referee.tolerance import Quantity
from padiff_graph.request.options import Options
from tests.models.breakable_pairs import batch, paired, rng

LOOSE = {"atol": 1e-4, "rtol": 1e-3}
OTHER_AXIS = (
    "axis -2 against -1: with axis=-1 in pd_op.softmax of the Paddle side, both sides agree"
)


class After(paddle.nn.Layer):
    """A layer whose result is changed."""

    def __init__(self, own, change):
        super().__init__()
        self.own, self.change = own, change

    def forward(self, x):
        return self.change(self.own(x))


class Block(paddle.nn.Layer):
    """Masked attention with a residual.

    `changes` alters the result of a layer or a value by name.
    """

    def __init__(self, changes):
        super().__init__()
        for name in ("q", "k", "v", "out"):
            own = paddle.nn.Linear(16, 16)
            setattr(self, name, After(own, changes[name]) if name in changes else own)
        self.norm = paddle.nn.LayerNorm(16)
        self.changes = changes

    def at(self, name, value):
        return self.changes.get(name, lambda x: x)(value)

    def forward(self, x, mask):
        q, k, v = (
            one(x).reshape([x.shape[0], 6, 2, 8]).transpose([0, 2, 1, 3])
            for one in (self.q, self.k, self.v)
        )
        scores = paddle.matmul(
            q * math.sqrt(1 / 8), self.at("keys", k), transpose_y=True
        ) + self.at("mask", mask)
        weights = F.softmax(scores, axis=self.changes.get("axis", -1))
        y = self.out(
            paddle.matmul(self.at("weights", weights), v).transpose([0, 2, 1, 3]).reshape(x.shape)
        )
        return self.norm(x + y) if "residual" not in self.changes else self.norm(x)


class Net(paddle.nn.Layer):
    """Two blocks between linears; the changes are those of the second block."""

    def __init__(self, **changes):
        super().__init__()
        self.blocks = paddle.nn.LayerList([Block({}), Block(changes)])
        self.head = paddle.nn.Linear(16, 4)

    def forward(self, x, mask):
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x)


class TorchBlock(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (torch.nn.Linear(16, 16) for _ in range(4))
        self.norm = torch.nn.LayerNorm(16)

    def forward(self, x, mask):
        q, k, v = (
            one(x).view(x.shape[0], 6, 2, 8).transpose(1, 2) for one in (self.q, self.k, self.v)
        )
        y = TF.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.norm(x + self.out(y.transpose(1, 2).reshape(x.shape)))


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([TorchBlock(), TorchBlock()])
        self.head = torch.nn.Linear(16, 4)

    def forward(self, x, mask):
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x)


def attended(**changes):
    paddle.seed(3)
    torch.manual_seed(3)
    masks = paired(
        (rng(2).integers(0, 2, (3, 1, 6, 6)) * -1e4 * (1 - torch.eye(6).numpy())).astype("float32"),
        "mask",
        "mask",
    )
    example = tuple({**one, **mask} for one, mask in zip(batch(3, 6, 16), masks, strict=True))
    return Net(**changes), TorchNet(), example


def first(report):
    return next(finding for finding in report.findings if finding.fails)


def told(report):
    return "\n".join(
        f"{finding.phase} {finding.verdict} {finding.paddle_path} | {finding.torch_path}:"
        f" {finding.cause}"
        for finding in report.findings
    )


def test_the_healthy_pair_has_no_finding():
    report = pg.compare(*attended(), options=LOOSE)
    assert report.passed and not report.findings, told(report)


def unbiased(norm):
    def forward(x):
        mean = x.mean(axis=-1, keepdim=True)
        return (x - mean) / paddle.sqrt(
            x.var(axis=-1, keepdim=True) + norm._epsilon
        ) * norm.weight + norm.bias

    return forward


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"k": lambda y: y * 1.01}, "blocks.1.k", "scaled"),
        ({"v": lambda y: y * 1.01}, "blocks.1.v", "1.01"),
        ({"out": lambda y: paddle.flip(y, [-1])}, "blocks.1.out", "extra Flip"),
        ({"mask": lambda mask: -mask}, "blocks.1", "scaled by -1"),
        ({"mask": lambda mask: mask * 0.0}, "blocks.1", "scaled by 0"),
        ({"mask": lambda mask: paddle.ones_like(mask) - mask}, "blocks.1", "-1"),
        ({"mask": F.relu}, "blocks.1", "Relu"),
        ({"weights": lambda weights: paddle.roll(weights, 1, -1)}, "blocks.1", "extra Roll"),
        (
            {"weights": lambda weights: weights.transpose([0, 1, 3, 2])},
            "blocks.1",
            "extra Transpose",
        ),
        ({"axis": -2}, "blocks.1", OTHER_AXIS),
        ({"residual": True}, "blocks.1", "missing"),
    ],
    ids=[
        "factor-on-a-key",
        "factor-behind-a-product",
        "flip",
        "mask-negated",
        "mask-of-zeros",
        "mask-inverted",
        "mask-cut-off",
        "operand-rolled",
        "operand-transposed",
        "softmax-axis",
        "branch-not-used",
    ],
)
def test_a_bug_stands_where_it_was_made(changes, place, words):
    report = pg.compare(*attended(**changes), options=LOOSE)
    finding = first(report)
    assert not report.passed and finding.paddle_path == place, told(report)
    assert words in finding.cause, told(report)
    assert finding.torch_path.startswith("blocks.1"), told(report)


def test_an_unbiased_variance_is_named():
    layer, module, example = attended()
    norm = layer.blocks[1].norm
    norm.forward = unbiased(norm)
    report = pg.compare(layer, module, example, options=LOOSE)
    assert (first(report).paddle_path, first(report).torch_path) == (
        "blocks.1.norm",
        "blocks.1.norm",
    ), told(report)
    assert "correction 1 against 0" in first(report).cause, told(report)


def test_one_parameter_in_the_place_of_two_is_one_finding():
    layer, module, example = attended()
    layer.blocks[1].k.weight = layer.blocks[0].q.weight
    report = pg.compare(layer, module, example, options=LOOSE)
    failing = [finding for finding in report.findings if finding.fails]
    assert len(failing) == 1 and failing[0].paddle_path in ("blocks.1.k", "blocks.0.q"), told(
        report
    )
    assert failing[0].cause_id == "parameter.shared", told(report)
    assert "blocks.1.k.weight" in failing[0].cause, told(report)


def test_equal_weights_that_are_computed_with_in_another_order():
    """The map gives the last weight its elements flipped; the flip is what is wrong."""
    layer, module, example = Late(lambda y: paddle.flip(y, [-1])), TorchLate(), batch(4, 16)
    for own, other in ((layer.entry.own, module.start), (layer.last, module.end)):
        own.weight.set_value(paddle.to_tensor(other.weight.detach().numpy().T.copy()))
        own.bias.set_value(paddle.to_tensor(other.bias.detach().numpy()))
    report = pg.compare(layer, module, example, auto_weights=False, options=LOOSE)
    assert not report.passed and first(report).paddle_path == "entry", told(report)
    assert (
        "holds the values of end.weight" in first(report).cause and "flipped" in first(report).cause
    ), told(report)


def test_weights_whose_rows_stand_in_another_order():
    layer, module, example = attended()
    pg.assign_weight(layer, module, example_inp=example)
    layer.blocks[0].v.weight.set_value(paddle.flip(layer.blocks[0].v.weight, [0]))
    report = pg.compare(layer, module, example, auto_weights=False, options=LOOSE)
    assert first(report).paddle_path == "blocks.0.v" and "another order" in first(report).cause, (
        told(report)
    )


class Listed(torch.nn.Module):
    """Defines first what it reads last, as a table of a module beside its layers is."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(8))
        self.entry = torch.nn.Linear(16, 8)

    def forward(self, x):
        return self.entry(x) + self.table


def test_of_several_wrong_weights_the_one_that_is_read_first_stands_first():
    layer, module = Listed(), Listed()
    example = batch(4, 16)[1]
    layer.table.data = module.table.data.flip(0)
    layer.entry.weight.data = -module.entry.weight.data
    layer.entry.bias.data = module.entry.bias.data
    report = pg.compare(layer, module, (example, example), auto_weights=False, options=LOOSE)
    assert [finding.paddle_path for finding in report.findings if finding.fails] == [
        "entry",
        "",
    ], told(report)


def test_a_setting_of_the_whole_optimizer_stands_at_the_first_parameter_of_the_program():
    layer, module, example = Late(), TorchLate(), batch(4, 16)
    optimizer = [
        paddle.optimizer.AdamW(1e-3, parameters=layer.parameters(), weight_decay=0.05),
        torch.optim.AdamW(module.parameters(), 1e-3, weight_decay=0.01),
    ]
    report = pg.compare(layer, module, example, optimizer=optimizer, steps=2, options={"atol": 1.0})
    assert (first(report).paddle_path, first(report).torch_path) == ("entry", "start"), told(report)


class Beside(paddle.nn.Layer):
    """Two branches side by side; the port runs the second one first."""

    def __init__(self):
        super().__init__()
        self.one, self.other = paddle.nn.Linear(16, 8), paddle.nn.Linear(16, 8)

    def forward(self, x):
        other = F.relu(self.other(x))
        return F.gelu(self.one(x)) * other


class TorchBeside(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = torch.nn.Linear(16, 8), torch.nn.Linear(16, 8)

    def forward(self, x):
        one = TF.gelu(self.one(x))
        return one * TF.relu(self.other(x))


def test_a_setting_stands_at_what_the_port_runs_first():
    layer, module = Beside(), TorchBeside()
    optimizer = [
        paddle.optimizer.AdamW(1e-3, parameters=layer.parameters(), weight_decay=0.05),
        torch.optim.AdamW(module.parameters(), 1e-3, weight_decay=0.01),
    ]
    found = first(
        pg.compare(layer, module, batch(4, 16), optimizer=optimizer, steps=2, options={"atol": 1.0})
    )
    assert (found.paddle_path, found.torch_path) == ("other", "other")


class Late(paddle.nn.Layer):
    """Defines last what runs first."""

    def __init__(self, change=None):
        super().__init__()
        self.last = paddle.nn.Linear(8, 4)
        self.entry = (
            paddle.nn.Linear(16, 8) if change is None else After(paddle.nn.Linear(16, 8), change)
        )

    def forward(self, x):
        return self.last(F.relu(self.entry(x)))


class TorchLate(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.end = torch.nn.Linear(8, 4)
        self.start = torch.nn.Linear(16, 8)

    def forward(self, x):
        return self.end(TF.relu(self.start(x)))


class Image(paddle.nn.Layer):
    """Convolutions around a layer norm over channels; the first may swap height and width."""

    def __init__(self, swap):
        super().__init__()
        own = paddle.nn.Conv2D(3, 8, 3, padding=1)
        self.stem = After(own, lambda y: y.transpose([0, 1, 3, 2])) if swap else own
        self.norm = paddle.nn.LayerNorm(8)
        self.depth = paddle.nn.Conv2D(8, 8, 3, padding=1, groups=8)

    def forward(self, x):
        return self.depth(self.norm(self.stem(x).transpose([0, 2, 3, 1])).transpose([0, 3, 1, 2]))


class TorchImage(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.LayerNorm(8)
        self.depth = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)

    def forward(self, x):
        return self.depth(self.norm(self.stem(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


@pytest.mark.parametrize("swap", [False, True])
def test_height_and_width_swapped_are_told_where_they_are(swap):
    report = pg.compare(Image(swap), TorchImage(), batch(2, 3, 6, 6), options=LOOSE)
    assert report.passed is not swap, told(report)
    if swap:
        assert first(report).paddle_path == "stem" and "extra Transpose" in first(report).cause, (
            told(report)
        )


class Positions(paddle.nn.Layer):
    """A frozen table that is added."""

    def __init__(self):
        super().__init__()
        self.table = paddle.nn.Embedding(6, 16)
        self.table.weight.stop_gradient = True
        self.fc = paddle.nn.Linear(16, 4)

    def forward(self, x):
        return self.fc(x + self.table(paddle.arange(6)))


class TorchPositions(torch.nn.Module):
    """The same, read without a gradient."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(6, 16)
        self.table.weight.requires_grad = False
        self.fc = torch.nn.Linear(16, 4)

    def forward(self, x):
        with torch.no_grad():
            positions = self.table(torch.arange(6))
        return self.fc(x + positions)


def test_no_path_to_what_neither_model_trains_is_no_difference():
    report = pg.compare(Positions(), TorchPositions(), batch(3, 6, 16), options=LOOSE)
    assert report.passed and not any(finding.fails for finding in report.findings), told(report)


def test_weights_without_a_map_do_not_pass_unseen():
    """All that is held agrees, but the gradients of such weights are held against nothing."""
    equal = WholeCheck((Quantity("output", "output", "output", 0.0, 0.0, 1.0, 0.0, 0.0, True),))
    for phase, passes in (("both", False), ("forward", True)):
        assert (
            judge(
                Measured(
                    Options(diff_phase=phase),
                    equal,
                    loose=Cause.of("parameter.unmapped", first_some=("w",), second_some=("v",)),
                ),
                (),
            ).passed
            is passes
        )
        assert judge(Measured(Options(diff_phase=phase), equal), ()).passed


def test_a_difference_in_structure_that_numbers_could_not_decide_does_not_pass():
    """Outputs within a tolerance may hide it."""
    equal = WholeCheck((Quantity("output", "output", "output", 0.0, 0.0, 1.0, 0.0, 0.0, True),))
    for phase, passes in (("structure", False), ("backward", True)):
        assert (
            judge(
                Measured(Options(), equal),
                [Finding(phase, "not-comparable", Cause.of("region.not_compared", text="no"))],
            ).passed
            is passes
        )


class Acted(paddle.nn.Layer):
    """Norms that hold their activation, as older Paddle code has them; one may be left out."""

    def __init__(self, without=None):
        super().__init__()
        self.blocks = paddle.nn.LayerList()
        for number in range(3):
            norm = paddle.nn.Identity() if number == without else paddle.nn.BatchNorm(6, act="relu")
            self.blocks.append(
                paddle.nn.Sequential(
                    ("conv", paddle.nn.Conv2D(6, 6, 3, padding=1)), ("normed", norm)
                )
            )

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x


class TorchActed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList()
        for _ in range(3):
            block = torch.nn.Module()
            block.conv, block.norm, block.act = (
                torch.nn.Conv2d(6, 6, 3, padding=1),
                torch.nn.BatchNorm2d(6),
                torch.nn.ReLU(),
            )
            self.blocks.append(block)

    def forward(self, x):
        for block in self.blocks:
            x = x + block.act(block.norm(block.conv(x)))
        return x


def test_one_empty_module_in_the_place_of_two():
    layer, module = Acted(without=1), TorchActed()
    layer.eval()
    module.eval()
    found = first(pg.compare(layer, module, batch(2, 6, 5, 5), options=LOOSE))
    assert (found.verdict, found.cause, found.paddle_path) == (
        "missing",
        "missing BatchNormalization, Relu in the Paddle model",
        "blocks.1.normed",
    )


class Causal(Net):
    """A mask that the model itself makes of the input's shape, once for both blocks."""

    def forward(self, x):
        length = paddle.shape(x)[1]
        return super().forward(x, (paddle.tril(paddle.ones([length, length])) - 1.0) * 10000.0)


class TorchCausal(TorchNet):
    def forward(self, x):
        return super().forward(x, (torch.ones(x.shape[1], x.shape[1]).tril() - 1.0) * 10000.0)


def test_what_many_operations_read_is_no_sign_of_where_one_of_them_stands():
    assert pg.compare(Causal(), TorchCausal(), batch(3, 6, 16), options=LOOSE).passed
    report = pg.compare(Causal(axis=-2), TorchCausal(), batch(3, 6, 16), options=LOOSE)
    assert first(report).paddle_path == "blocks.1" and first(report).cause.startswith(OTHER_AXIS), (
        told(report)
    )


class Crossed(paddle.nn.Layer):
    """Rows that look at columns of another number; the softmax over `axis`."""

    def __init__(self, axis=-1):
        super().__init__()
        self.q, self.k, self.v = (paddle.nn.Linear(16, 16) for _ in range(3))
        self.axis = axis

    def forward(self, x):
        rows = self.q(x[:, :4])
        return paddle.matmul(
            F.softmax(paddle.matmul(rows, self.k(x), transpose_y=True), axis=self.axis), self.v(x)
        )


class TorchCrossed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (torch.nn.Linear(16, 16) for _ in range(3))

    def forward(self, x):
        return TF.softmax(self.q(x[:, :4]) @ self.k(x).transpose(1, 2), dim=-1) @ self.v(x)


def test_a_softmax_over_an_axis_of_another_length():
    assert pg.compare(Crossed(), TorchCrossed(), batch(2, 6, 16), options=LOOSE).passed
    report = pg.compare(Crossed(-2), TorchCrossed(), batch(2, 6, 16), options=LOOSE)
    assert first(report).cause.startswith(OTHER_AXIS), told(report)


class Rotated(paddle.nn.Layer):
    """Halves turned into each other, as rotary embeddings do; `turned` says how."""

    def __init__(self, turned):
        super().__init__()
        self.inner, self.outer = paddle.nn.Linear(16, 16), paddle.nn.Linear(16, 4)
        self.turned = turned

    def forward(self, x):
        y = self.inner(x)
        return self.outer(y * x + paddle.concat(self.turned(y[..., :8], y[..., 8:]), -1))


class TorchRotated(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(16, 16), torch.nn.Linear(16, 4)

    def forward(self, x):
        y = self.inner(x)
        return self.outer(y * x + torch.cat([-y[..., 8:], y[..., :8]], -1))


@pytest.mark.parametrize(
    ("turned", "cause"),
    [
        (lambda one, other: [-other, one], ""),
        (
            lambda one, other: [one, -other],
            "Concat takes its parts in another order: 2, 1 against 1, 2",
        ),
        (lambda one, other: [other, -one], "operand of Concat scaled"),
    ],
)
def test_parts_in_another_order_are_told_from_signs(turned, cause):
    report = pg.compare(Rotated(turned), TorchRotated(), batch(2, 5, 16), options=LOOSE)
    assert report.passed is not bool(cause), told(report)
    assert not cause or (
        first(report).cause.startswith(cause) and first(report).paddle_path in ("", "inner")
    ), told(report)


@pytest.mark.parametrize("inside", [False, True])
def test_the_mean_of_what_cancels_is_rounding(inside):
    """The running mean of a centred value.

    Frameworks add it up in other precisions, and nothing is left.
    """
    layer = (
        paddle.nn.Sequential(paddle.nn.BatchNorm2D(4))
        if not inside
        else paddle.nn.Sequential(paddle.nn.Flatten(2), paddle.nn.BatchNorm1D(4))
    )
    module = (
        torch.nn.Sequential(torch.nn.BatchNorm2d(4))
        if not inside
        else torch.nn.Sequential(torch.nn.Flatten(2), torch.nn.BatchNorm1d(4))
    )
    module[-1].running_mean.copy_(torch.randn(4) * 1e-9)
    x = rng(5).standard_normal((2, 4, 32, 32)).astype("float32")
    x -= x.astype("float64").mean((0, 2, 3), keepdims=True).astype("float32")
    report = pg.compare(layer, module, paired(x, "input", "input"), options=LOOSE)
    assert not any(finding.fails for finding in report.findings), told(report)


class Scaled(paddle.nn.Layer):
    """Branches scaled by nearly nothing, as deep transformers begin with.

    The last may be left out.
    """

    def __init__(self, branches=2):
        super().__init__()
        self.branches = paddle.nn.LayerList([paddle.nn.Linear(8, 8) for _ in range(2)])
        self.gammas = paddle.nn.ParameterList(
            [
                paddle.create_parameter(
                    [8], "float32", default_initializer=paddle.nn.initializer.Constant(1e-7)
                )
                for _ in range(2)
            ]
        )
        self.head = paddle.nn.Linear(8, 4)
        self.count = branches

    def forward(self, x):
        for branch, gamma, act in list(
            zip(self.branches, self.gammas, (paddle.tanh, F.gelu), strict=True)
        )[: self.count]:
            x = x + gamma * act(branch(x))
        return self.head(x)


class TorchScaled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.branches = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(2)])
        self.gammas = torch.nn.ParameterList(
            [torch.nn.Parameter(torch.full((8,), 1e-7)) for _ in range(2)]
        )
        self.head = torch.nn.Linear(8, 4)

    def forward(self, x):
        for branch, gamma, act in zip(
            self.branches, self.gammas, (torch.tanh, TF.gelu), strict=True
        ):
            x = x + gamma * act(branch(x))
        return self.head(x)


def test_a_missing_branch_shows_however_small_its_scale():
    assert pg.compare(Scaled(), TorchScaled(), batch(3, 8), options=LOOSE).passed
    report = pg.compare(Scaled(1), TorchScaled(), batch(3, 8), options=LOOSE)
    assert any(
        finding.fails and finding.verdict == "missing" and "Add" in finding.cause
        for finding in report.findings
    ), told(report)


class Averaged(paddle.nn.Layer):
    """Blocks that average what they read with what they make of it, with an activation that the net
    owns; the first leaves out what it made."""

    def __init__(self, lost=False):
        super().__init__()
        self.act = paddle.nn.Silu()
        self.middle = paddle.nn.Layer()
        self.middle.blocks = paddle.nn.LayerList([Averaging(lost), Averaging()])
        self.head = paddle.nn.Linear(16, 4)

    def forward(self, x):
        for block in self.middle.blocks:
            x = block(x, self.act)
        return self.head(x)


class Averaging(paddle.nn.Layer):
    def __init__(self, lost=False):
        super().__init__()
        self.norm, self.fc, self.lost = paddle.nn.LayerNorm(16), paddle.nn.Linear(16, 16), lost

    def forward(self, x, act):
        y = act(self.fc(self.norm(x)))
        return (x if self.lost else x + y) * 0.7


class TorchAveraged(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.middle = torch.nn.Module()
        self.middle.blocks = torch.nn.ModuleList([TorchAveraging(), TorchAveraging()])
        self.head = torch.nn.Linear(16, 4)

    def forward(self, x):
        for block in self.middle.blocks:
            x = block(x)
        return self.head(x)


class TorchAveraging(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.fc = torch.nn.LayerNorm(16), torch.nn.Linear(16, 16)

    def forward(self, x):
        return (x + TF.silu(self.fc(self.norm(x)))) * 0.7


def test_a_lost_branch_is_told_at_the_block_that_only_scales_now():
    report = pg.compare(Averaged(lost=True), TorchAveraged(), batch(3, 16), options=LOOSE)
    assert not report.passed
    assert (
        report.findings[0].verdict,
        report.findings[0].paddle_path,
        report.findings[0].torch_path,
    ) == ("missing", "middle.blocks.0", "middle.blocks.0")
