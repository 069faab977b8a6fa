"""Programs that a plain capture gets wrong, forward or backward.

The certificate must hold for each.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.capture_errors import UnfaithfulCaptureError
from padiff_graph.capture.certificate import certify
from padiff_graph.capture.torch import trace as tracing
from padiff_graph.capture.torch.engine import TorchEngine as engine
from padiff_graph.capture.torch.trace import trace

EXAMPLE_RUNG = tracing.RUNGS[1]

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(7))


class Net(nn.Module):
    def __init__(self, body, **members):
        super().__init__()
        self.lin = nn.Linear(4, 4)
        for name, member in members.items():
            setattr(self, name, member)
        self.body = body

    def forward(self, x):
        return self.body(self, x)


class Doubled(torch.autograd.Function):
    """A backward that is not the forward's."""

    @staticmethod
    def forward(ctx, x, factor):
        return x * factor

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 7, None


class Outer(torch.autograd.Function):
    """One whose forward uses another one."""

    @staticmethod
    def forward(ctx, x):
        return doubled(x, 2) + 1

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 3


class SetUp(torch.autograd.Function):
    """In the later style: the context is filled apart from the forward."""

    @staticmethod
    def forward(x, factor=2):
        return x * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None


doubled, outer, set_up = Doubled.apply, Outer.apply, SetUp.apply
"""Names bound before any capture."""


def write_to_column(self, x):
    y = self.lin(x)
    y[:, 0] = x[:, 1]
    return y


def write_through_two_views(self, x):
    y = self.lin(x)
    y.view(2, 6).t()[1:3].mul_(3)
    return y


def read_view_after_write(self, x):
    y = self.lin(x) * 1
    view = y[:, :2]
    y.mul_(2)
    return view + 1


def write_to_part(self, x):
    first, second = (self.lin(x) * 1).split([1, 3], dim=1)
    second = second * 1
    second.relu_()
    return torch.cat([second, first], 1)


def write_to_clone_only(self, x):
    y = self.lin(x)
    z = y.clone()
    z.add_(10)
    return y * z


def masked(self, x):
    y = self.lin(x) * 1
    y[x > 0] = 0.5
    return y


def chain(self, x):
    y = self.lin(x)
    y += x
    y.clamp_(min=0).add_(1)
    return y * 2


def inplace_into_eval_dropout(self, x):
    y = self.lin(x) * 1
    z = self.drop(y)
    z += 1
    return y + z


def hidden_write(self, x):
    y = self.lin(x) * 1
    with torch.no_grad():
        y.mul_(3)
    return y * y


def detached_write(self, x):
    y = self.lin(x) * 1
    y.detach().add_(1)
    return y * y


def shape_in_place(self, x):
    y = self.lin(x) * 1
    y.unsqueeze_(0)
    y.transpose_(1, 2)
    return y * 2


def write_to_input(self, x):
    x.mul_(2)
    return self.lin(x)


def out_argument(self, x):
    y = torch.empty_like(x)
    torch.add(self.lin(x).detach(), x.detach(), out=y)
    return y + self.lin(x)


def functions_by_alias(self, x):
    return doubled(self.lin(x), 3) * outer(x) + set_up(x)


def hook(self, x):
    y = self.lin(x)
    before = y * 2
    y.register_hook(lambda gradient: gradient * 3)
    return before + y.tanh()


def two_hooks_on_a_parameter_and_a_view(self, x):
    y = self.lin(x)
    part = y[:, 1]
    part.register_hook(lambda gradient: gradient * 3)
    y.register_hook(lambda gradient: gradient.clamp(-0.1, 0.1))
    y.register_hook(lambda gradient: gradient + 1)
    return y + part[:, None]


def removed_hook(self, x):
    y = self.lin(x)
    y.register_hook(lambda gradient: gradient * 3).remove()
    return y


def custom_function(self, x):
    return Doubled.apply(self.lin(x), 2.0) + self.lin(x)


def without_gradient(self, x):
    with torch.no_grad():
        y = self.lin(x) * 2
    return y + self.lin(x).detach() * x + self.lin(x).tanh()


def checkpointed(self, x):
    from torch.utils.checkpoint import checkpoint

    return checkpoint(self.lin, x, use_reentrant=True) + checkpoint(
        self.lin, x, use_reentrant=False
    )


def constant_only(self, x):
    mask = torch.zeros(4, 4)
    mask[1:, :2] = -1
    mask.fill_diagonal_(2)
    return self.lin(x) @ mask


def branch(self, x):
    y = self.lin(x)
    if y.sum() > 1000:
        return y
    return y * int(x.abs().max().item() + 3)


def autocast(self, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = self.lin(x)
    return y.float() * 2


def written_data(self, x):
    y = self.lin(x) * 1
    y.data.mul_(3)
    z = self.lin(x) * 1
    z.data = x * 2
    return y * y + z * z


def written_list(self, x):
    ys = [self.lin(x) * 1, self.lin(x) * 2]
    torch._foreach_add_(ys, 1.0)
    return ys[0] * ys[1]


def functional_names(self, x):
    y = self.lin(x) * 1
    y **= 2
    y.transpose_(0, 1).neg_()
    return nn.functional.dropout(y, 0.0, inplace=True).requires_grad_()


def narrower_in_place(self, x):
    y = self.lin(x).half()
    y += x
    return y.float()


def complex_numbers(self, x):
    return torch.fft.rfft(self.lin(x)) * 1j


TRAPS = [
    functional_names,
    written_data,
    written_list,
    narrower_in_place,
    complex_numbers,
    write_to_column,
    write_through_two_views,
    read_view_after_write,
    write_to_part,
    write_to_clone_only,
    masked,
    chain,
    inplace_into_eval_dropout,
    hidden_write,
    detached_write,
    shape_in_place,
    write_to_input,
    out_argument,
    hook,
    two_hooks_on_a_parameter_and_a_view,
    removed_hook,
    custom_function,
    functions_by_alias,
    without_gradient,
    checkpointed,
    constant_only,
    branch,
    autocast,
]


@pytest.mark.parametrize("rung", ["", "torch.export"])
@pytest.mark.parametrize("body", TRAPS, ids=lambda body: body.__name__)
def test_trap(body, rung):
    model = Net(body, drop=nn.Dropout(0.5).eval())
    graph = trace(model, {"x": X}, below=rung)
    found = certify(graph, engine(model), {"x": X})
    assert found.valid, found.reasons
    assert found.counts["output"] == 1
    assert found.counts["input gradient"] == 1 and found.counts["parameter gradient"] == 2
    if body is not branch:
        assert not any("not captured by" in note for note in graph.notes), graph.notes


def test_marks_say_what_only_the_backward_sees():
    def marks(body):
        return {
            mark
            for node in capture_graph(Net(body), {"x": X}).of_kind("operation")
            for mark in node.marks
        }

    assert "gradient_hook" in marks(hook)
    assert "custom_function" in marks(custom_function)
    assert "no_grad" in marks(without_gradient)
    assert "inplace" in marks(chain)
    assert "gradient_hook" not in marks(removed_hook)


def test_in_place_operators_go_by_their_functional_names():
    operations = capture_graph(Net(functional_names), {"x": X}).of_kind("operation")
    assert [node.op for node in operations if "inplace" in node.marks] == [
        "aten.pow.Tensor_Scalar",
        "aten.transpose.int",
        "aten.neg.default",
        "aten.dropout.default",
    ]


def test_module_backward_hooks_replay():
    model = Net(lambda self, x: self.lin(x).relu())
    model.lin.register_full_backward_hook(lambda module, inputs, outputs: (inputs[0] * 5,))
    model.lin.register_full_backward_pre_hook(lambda module, outputs: (outputs[0] * 0.5,))
    graph = capture_graph(model, {"x": X})
    assert graph.certificate.valid
    assert [node.path for node in graph.of_kind("operation") if "gradient_hook" in node.marks] == [
        "lin",
        "lin",
    ]


def test_module_forward_hooks_are_in_the_graph():
    model = Net(lambda self, x: self.lin(x))
    model.lin.register_forward_hook(lambda module, args, out: out * 3)
    model.lin.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    graph = capture_graph(model, {"x": X})
    assert graph.certificate.valid
    assert [node.op for node in graph.of_kind("operation")] == [
        "aten.add.Tensor",
        "aten.linear.default",
        "aten.mul.Tensor",
    ]


def test_batch_norm_moves_its_statistics():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4, momentum=None), nn.Dropout(0.5))
    graph = capture_graph(model, {"input": X})
    assert graph.certificate.valid, graph.certificate.reasons
    assert graph.certificate.counts["buffer"] == 6
    assert set(graph.updates) == {
        f"{i}.{name}"
        for i in (0, 1)
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert any("random" in node.marks for node in graph.of_kind("operation"))


def broken(model, wanted, **change):
    """A capture with one operation changed, certified."""
    graph = capture_graph(model, {"x": X}, certify=False)
    node = next(node for node in graph.of_kind("operation") if wanted in node.op)
    graph.nodes[node.id]["record"] = replace(node, **change)
    return certify(graph, engine(model), {"x": X})


def test_a_wrong_attribute_is_not_certified_and_its_module_named():
    model = Net(
        lambda self, x: self.after(self.act(self.lin(x))), act=nn.Hardtanh(), after=nn.Linear(4, 4)
    )
    found = broken(model, "hardtanh", attrs={"min_val": 0.0, "max_val": 1.0})
    assert not found.valid and found.certified and "output" in found.reasons[0]
    assert any("the forward departs in act (aten.hardtanh" in reason for reason in found.reasons)


def test_a_lost_hook_is_not_certified_and_its_place_named():
    found = broken(
        Net(hook),
        "gradient_hook",
        op="aten.alias.default",
        roles=("self",),
        attrs={},
        marks=frozenset(),
    )
    assert not found.valid and found.errors["output"] == 0 and found.errors["input gradient"] > 0.1
    assert any(
        "gradients differ up to aten.linear.default in lin" in reason for reason in found.reasons
    )


def test_a_lost_buffer_update_is_not_certified():
    model = nn.Sequential(nn.BatchNorm1d(4))
    graph = capture_graph(model, {"input": X}, certify=False)
    del graph.updates["0.running_var"]
    found = certify(graph, engine(model), {"input": X})
    assert not found.valid and "buffer 0.running_var" in found.reasons[0]


class Moving(nn.Module):
    """Buffers written in every way that published code writes them."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)
        for name in ("assigned", "copied", "blended", "counted"):
            self.register_buffer(name, torch.zeros(4))

    def forward(self, x):
        y = self.lin(x)
        self.assigned = self.assigned * 0.9 + y.detach().mean(0)
        self.copied.data.copy_(y.mean(0))
        with torch.no_grad():
            self.blended.mul_(0.9).add_(y.mean(0), alpha=0.1)
        torch.add(self.counted, 1, out=self.counted)
        return y * self.copied + self.blended * self.counted - self.assigned


@pytest.mark.parametrize("rung", ["", "torch.export"])
def test_written_buffers(rung):
    model = Moving()
    graph = trace(model, {"x": X}, below=rung)
    found = certify(graph, engine(model), {"x": X})
    assert found.valid, found.reasons
    assert (
        set(graph.updates) == {"assigned", "copied", "blended", "counted"}
        and found.counts["buffer"] == 4
    )
    assert not any("not captured by" in note for note in graph.notes), graph.notes


@pytest.mark.parametrize(
    "body",
    [
        lambda self, x: torch.vmap(self.lin)(x),
        lambda self, x: torch.autograd.grad((self.lin(x) ** 2).sum(), x, create_graph=True)[0],
        lambda self, x: self.lin(x)[(x[:, 0] > 0).nonzero()[:, 0]],
        lambda self, x: self.lin(x) * float(x.detach().numpy().sum()),
    ],
    ids=["vmap", "gradient inside forward", "nonzero", "numpy"],
)
def test_a_lower_rung_takes_over(body):
    graph = capture_graph(Net(body), {"x": X})
    assert graph.certificate.valid and graph.certificate.counts["parameter gradient"]
    assert graph.session.rung != "torch.export"
    assert any(
        note.startswith(("not captured by torch.export", "a capture by torch.export"))
        for note in graph.notes
    )


def losing_hooks(flat, tensors):
    """A way of capturing that drops gradient hooks, as plain tracers do."""
    traced = EXAMPLE_RUNG.capture(flat, tensors)
    for node in traced.module.graph.find_nodes(
        op="call_function", target=torch.ops.padiff_graph.gradient_hook.default
    ):
        traced.module.graph.erase_node(node)
    return traced


LOSING = tracing.Rung("losing", losing_hooks, tried="first", why="in no way")


def test_a_lower_rung_repairs(monkeypatch):
    monkeypatch.setattr(tracing, "RUNGS", [LOSING, EXAMPLE_RUNG])
    graph = capture_graph(Net(hook), {"x": X})
    assert graph.certificate.valid and graph.session.rung == EXAMPLE_RUNG.name
    assert any("losing was refused" in note and "gradients differ" in note for note in graph.notes)


def test_no_faithful_capture_left_is_an_error(monkeypatch):
    monkeypatch.setattr(tracing, "RUNGS", [LOSING])
    with pytest.raises(UnfaithfulCaptureError, match="gradients differ up to"):
        capture_graph(Net(hook), {"x": X})


def force(net, x):
    """The gradient of an energy, which is differentiated once more."""
    x = x.detach().requires_grad_(True)
    energy = torch.tanh(net.lin(x)).square().sum()
    return net.out(torch.autograd.grad(energy, x, create_graph=True)[0])


def force_cut(net, x):
    """The same, cut behind the gradient by the model itself."""
    x = x.detach().requires_grad_(True)
    energy = torch.sigmoid(net.lin(x)).sum()
    return net.out(torch.autograd.grad(energy, x, create_graph=True)[0].detach())


@pytest.mark.parametrize("body", [force, force_cut])
def test_a_gradient_inside_forward_is_differentiated_through(body):
    graph = capture_graph(Net(body, out=nn.Linear(4, 2)), {"x": X})
    assert graph.certificate.valid, graph.certificate.reasons
    cut = [node for node in graph.of_kind("operation") if node.op == "aten.detach.default"]
    assert len(cut) == (1 if body is force else 2)
