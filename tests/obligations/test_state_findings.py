"""What runs leave behind, held against each other: attributes, buffers, parameters, inputs, hooks,
a second call; healthy counterparts beside each."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

OPTIONS = {"atol": 1e-5, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")


def built(side, deed):
    """A layer, and what the deed does around it."""
    lib, base = (paddle, paddle.nn.Layer) if side == "paddle" else (torch, torch.nn.Module)

    class Model(base):
        def __init__(self):
            super().__init__()
            self.fc = lib.nn.Linear(6, 6)
            deed.setup(self, lib)

        def forward(self, x):
            return deed.forward(self, lib, x)

    return Model()


class Deed:
    """Does nothing besides; those below differ by one factor."""

    def __init__(self, factor):
        self.factor = factor

    def setup(self, model, lib):
        pass

    def forward(self, model, lib, x):
        return model.fc(x)


class CountsInAnObject(Deed):
    cause = "state.attribute"

    def setup(self, model, lib):
        model.stats = {"calls": [0]}

    def forward(self, model, lib, x):
        model.stats["calls"][0] += self.factor
        return model.fc(x)


class KeepsAverages(Deed):
    cause = "state.attribute"

    def setup(self, model, lib):
        model.memory = []

    def forward(self, model, lib, x):
        y = model.fc(x)
        model.memory.append(y.detach() * self.factor)
        return y


class WritesABuffer(Deed):
    cause = "buffer.written"

    def setup(self, model, lib):
        model.register_buffer("peak", lib.zeros([6]))

    def forward(self, model, lib, x):
        y = model.fc(x)
        peak = y.detach().abs().max(0)
        peak = peak if lib is paddle else peak.values
        model.peak.copy_(peak * self.factor) if lib is torch else model.peak.set_value(
            peak * self.factor
        )
        return y


class WritesItsInput(Deed):
    cause = "state.input_written"

    def forward(self, model, lib, x):
        y = model.fc(x * 1.0)
        if self.factor == 1:
            return y + x * 3
        return y + (x.scale_(3.0) if lib is paddle else x.mul_(3.0))


class HooksItsBias(Deed):
    cause = "gradient.hook"

    def setup(self, model, lib):
        model.fc.bias.register_hook(lambda gradient: gradient * (0.25 * self.factor))


DEEDS = [CountsInAnObject, KeepsAverages, WritesABuffer, WritesItsInput, HooksItsBias]


def compared(first, second):
    pair = built("paddle", first), built("torch", second)
    for model in pair:
        model.eval()
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    return padiff_graph.compare(*pair, example, options=OPTIONS)


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("factors", [(1, 2), (2, 1)])
def test_a_difference_in_what_is_left_behind(deed, factors):
    report = compared(*map(deed, factors))
    failing = [finding.cause_id for finding in report.findings if finding.fails]
    assert not report.passed
    assert failing == [deed.cause]


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("factor", [1, 2])
def test_the_same_left_behind_on_both_sides(deed, factor):
    report = compared(deed(factor), deed(factor))
    assert report.passed
    assert not report.findings


class Caches(Deed):
    """A norm of the weights, kept from the first call on where the factor is 2."""

    def setup(self, model, lib):
        model.scale = None

    def forward(self, model, lib, x):
        if model.scale is None or self.factor == 1:
            model.scale = model.fc.weight.detach().abs().sum()
        return model.fc(x) / model.scale


@pytest.mark.parametrize("factors", [(1, 2), (2, 1)])
def test_a_cache_that_goes_stale_shows_in_the_second_call(factors):
    report = compared(*map(Caches, factors))
    assert not report.passed
    assert "state.second_call" in [f.cause_id for f in report.findings if f.fails]


@pytest.mark.parametrize("factor", [1, 2])
def test_caches_alike(factor):
    assert compared(Caches(factor), Caches(factor)).passed


class Fills(Deed):
    """Keeps what each call yields, up to a number of calls: a cache of a fixed size."""

    def setup(self, model, lib):
        model.kept = 0

    def forward(self, model, lib, x):
        if model.kept == self.factor:
            raise IndexError("the cache is full")
        model.kept += 1
        return model.fc(x)


def test_a_call_that_neither_model_answers_ends_the_calls():
    report = compared(Fills(2), Fills(2))
    assert report.passed and not report.findings


@pytest.mark.parametrize("side", [0, 1])
def test_a_call_that_one_model_answers_is_told(side):
    report = compared(*((Fills(2), Fills(9)) if side == 0 else (Fills(9), Fills(2))))
    (found,) = [finding for finding in report.findings if finding.fails]
    assert not report.passed and found.cause_id == "state.call_raises"
    assert (found.reason.get("side"), found.reason.get("call")) == (side, 3)
    assert "IndexError: the cache is full" in found.cause


class ChangesAtTheThirdCall(Deed):
    """Counts its calls in the model or beside it; a factor above one doubles the third."""

    def __init__(self, factor, beside):
        super().__init__(factor)
        self.counts, self.beside = {"calls": 0}, beside

    def setup(self, model, lib):
        model.counts = {"calls": 0}

    def forward(self, model, lib, x):
        counts = self.counts if self.beside else model.counts
        counts["calls"] += 1
        return model.fc(x) * (self.factor if counts["calls"] > 2 else 1)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("factors", [(2, 1), (2, 2)])
def test_what_only_the_third_call_does_is_told(factors, beside):
    report = compared(*(ChangesAtTheThirdCall(factor, beside) for factor in factors))
    told = [found.reason for found in report.findings if found.cause_id == "state.second_call"]
    assert report.passed == (factors[0] == factors[1]) == (not told)
    assert beside or not told or told[0].get("call") == 3


class EveryOtherCall(Deed):
    """Counts beside the model; a factor above one multiplies every other call, the whole run's
    among them."""

    def __init__(self, factor):
        super().__init__(factor)
        self.calls = 0

    def forward(self, model, lib, x):
        self.calls += 1
        return model.fc(x) * (self.factor if self.calls % 2 == 0 else 1)


@pytest.mark.parametrize("factors", [(1, 2), (2, 2)])
def test_a_run_that_departs_alone_is_no_rounding(factors):
    report = compared(*map(EveryOtherCall, factors))
    failing = [found.cause_id for found in report.findings if found.fails]
    assert report.passed == (factors[0] == factors[1]) == (not failing)
    assert not any(found.verdict == "rounding" for found in report.findings)


class PointsIntoAQueue(Deed):
    """Writes at a pointer that one model keeps in its computation and the other reads as a number;
    a factor above one moves the pointer further."""

    def setup(self, model, lib):
        model.register_buffer("queue", lib.zeros([8, 6]))
        model.register_buffer("at", lib.zeros([1], dtype=lib.int64))

    def forward(self, model, lib, x):
        y = model.fc(x)
        at = int(model.at.item())
        model.queue[at : at + 4] = y.detach()
        if lib is paddle:
            model.at.set_value((model.at + 4 * self.factor) % 8)
        else:
            model.at[0] = (at + 4) % 8
        return y


@pytest.mark.parametrize("factor", [1, 2])
def test_a_pointer_that_one_model_reads_as_a_number(factor):
    report = compared(PointsIntoAQueue(factor), PointsIntoAQueue(1))
    assert report.passed == (factor == 1)
    assert any(found.fails for found in report.findings) == (factor == 2)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_an_average_over_all_calls_is_no_last_value(momentum):
    norm = paddle.nn.BatchNorm1D(6, momentum=momentum)
    other = torch.nn.BatchNorm1d(6, momentum=None if momentum == 0.0 else 0.1)
    layer = paddle.nn.Sequential(paddle.nn.Linear(6, 6), norm)
    module = torch.nn.Sequential(torch.nn.Linear(6, 6), other)
    example = {"input": paddle.to_tensor(X)}, {"input": torch.from_numpy(X)}
    report = padiff_graph.compare(layer, module, example, options=OPTIONS)
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert causes == (["state.second_call"] if momentum == 0.0 else [])
    assert report.passed == (momentum > 0.0)


class RemembersUnderDropout(Deed):
    """Keeps the doubled weight of its first call; a factor above one makes it anew each time."""

    def setup(self, model, lib):
        model.doubled, model.drop = None, lib.nn.Dropout(0.25)

    def forward(self, model, lib, x):
        if model.doubled is None or self.factor > 1:
            model.doubled = (model.fc.weight * 2.0).detach()
        return model.drop(model.fc(x)) + model.doubled.sum()


@pytest.mark.parametrize("factors", [(1, 2), (2, 1), (1, 1), (2, 2)])
def test_a_cache_that_goes_stale_shows_under_dropout_too(factors):
    layer, module = (
        built(side, RemembersUnderDropout(factor))
        for side, factor in zip(("paddle", "torch"), factors, strict=True)
    )
    layer.train(), module.train()
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = padiff_graph.compare(layer, module, example, options=OPTIONS)
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert causes == (["state.second_call"] if factors[0] != factors[1] else [])
    assert report.passed == (factors[0] == factors[1])
    assert layer.training and module.drop.training
    state = {entry.name: entry for entry in report.obligations}["state"]
    assert state.status == ("shown" if report.passed else "not shown")


class ShrinksItsWeight(Deed):
    """Writes its weight before it reads it; the gradient is that of what is read."""

    def forward(self, model, lib, x):
        smaller = model.fc.weight.detach() * (1 - 0.1 * self.factor)
        if lib is paddle:
            model.fc.weight.set_value(smaller)
        else:
            model.fc.weight.data.copy_(smaller)
        return model.fc(x)


class ShrinksItWithoutGradient(ShrinksItsWeight):
    """The same inside of no_grad, which holds for the write alone."""

    def forward(self, model, lib, x):
        with lib.no_grad():
            super().forward(model, lib, x[:1])
        return model.fc(x).tanh()


@pytest.mark.parametrize("deed", [ShrinksItsWeight, ShrinksItWithoutGradient])
@pytest.mark.parametrize("factors", [(1, 3), (3, 1), (2, 2)])
def test_a_weight_that_is_written_before_it_is_read(deed, factors):
    report = compared(*map(deed, factors))
    assert report.passed == (factors[0] == factors[1]), [f.cause for f in report.findings]
    assert any(finding.fails for finding in report.findings) != report.passed


class ClipsFarOut(Deed):
    """A hook that clips a gradient at a number no ordinary one reaches; none where it is 1."""

    def setup(self, model, lib):
        if self.factor > 1:
            model.fc.bias.register_hook(lambda gradient: gradient.clip(-self.factor, self.factor))


@pytest.mark.parametrize("factors", [(5, 1), (1, 5), (500, 5), (5, 5), (1, 1)])
def test_a_hook_that_clips_far_out_is_noticed(factors):
    report = compared(*map(ClipsFarOut, factors))
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert causes == (["gradient.hook"] if factors[0] != factors[1] else [])
    assert report.passed == (factors[0] == factors[1])


class TurnsAGradient(Deed):
    """A hook that rearranges a gradient, which shows on none that is the same throughout."""

    def setup(self, model, lib):
        if self.factor > 1:
            model.fc.weight.register_hook(lambda gradient: gradient.flip([0]).flip([1]))


@pytest.mark.parametrize("factors", [(2, 1), (1, 2), (2, 2), (1, 1)])
def test_a_hook_that_turns_a_gradient_is_noticed(factors):
    report = compared(*map(TurnsAGradient, factors))
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert causes == (["gradient.hook"] if factors[0] != factors[1] else [])
    assert report.passed == (factors[0] == factors[1])


class KeepsItsHidden(Deed):
    """Keeps an array, turned over along its rows where the factor is 2, its axes turned where 3."""

    def forward(self, model, lib, x):
        kept = x.detach()
        if self.factor == 2:
            kept = kept.flip([0])
        model.kept = kept.T if self.factor == 3 else kept
        return model.fc(x)


@pytest.mark.parametrize("factors", [(1, 2), (2, 1), (1, 3), (3, 1), (2, 2)])
def test_what_is_kept_may_be_laid_out_otherwise_and_not_turned_over(factors):
    report = compared(*map(KeepsItsHidden, factors))
    assert report.passed == (2 not in factors or factors == (2, 2))


class PutsIn:
    """Puts what it computes into the list that it is handed, so many times."""

    def __init__(self, times):
        self.times = times

    def __call__(self, model, x, past):
        y = model.fc(x)
        past.extend([y] * self.times)
        return y


@pytest.mark.parametrize("times", [(1, 0), (0, 1), (1, 2), (1, 1), (0, 0)])
def test_a_list_that_is_handed_in_grows_alike(times):
    class First(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.fc = paddle.nn.Linear(6, 6)

        def forward(self, x, past):
            return PutsIn(times[0])(self, x, past)

    class Second(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(6, 6)

        def forward(self, x, past):
            return PutsIn(times[1])(self, x, past)

    example = {"x": paddle.to_tensor(X), "past": []}, {"x": torch.from_numpy(X.copy()), "past": []}
    report = padiff_graph.compare(First().eval(), Second().eval(), example, options=OPTIONS)
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert causes == (["state.container"] if times[0] != times[1] else [])
    assert example[0]["past"] == example[1]["past"] == []


class FreezesWhatItHooks(Deed):
    """A hook on a parameter that is frozen afterwards, so that no gradient comes to it."""

    def setup(self, model, lib):
        model.fc.bias.register_hook(lambda gradient: gradient * self.factor)
        if lib is torch:
            model.fc.bias.requires_grad_(False)
        else:
            model.fc.bias.stop_gradient = True


@pytest.mark.parametrize("factors", [(2, 2), (2, 3)])
def test_hooks_on_a_frozen_parameter_say_nothing(factors):
    assert compared(*map(FreezesWhatItHooks, factors)).passed


def test_no_gradient_and_a_number_that_one_model_returns():
    class First(paddle.nn.Layer):
        def forward(self, ids):
            return {"ids": ids + 1, "count": 2}

    class Second(torch.nn.Module):
        def forward(self, ids):
            return {"ids": ids + 1}

    ids = np.arange(6)
    example = {"ids": paddle.to_tensor(ids)}, {"ids": torch.from_numpy(ids.copy())}
    report = padiff_graph.compare(First(), Second(), example, options=OPTIONS)
    shown = {obligation.name: obligation.status for obligation in report.obligations}
    assert report.passed and shown["gradients"] == "shown"


class ChangesAMode(Deed):
    """Calls `train()` or `eval()` on itself or on a module of its own, which may drop or do
    nothing."""

    def setup(self, model, lib):
        draws, self.whose, self.call = self.factor
        model.act = lib.nn.Dropout(0.5) if draws else lib.nn.ReLU()

    def forward(self, model, lib, x):
        y = model.act(model.fc(x))
        if self.call:
            target = model if self.whose == "model" else model.act
            target.train() if self.call == "train" else target.eval()
        return y


@pytest.mark.parametrize("whose", ["model", "act"])
@pytest.mark.parametrize("draws", [True, False])
@pytest.mark.parametrize("calls", [("train", ""), ("", "train"), ("train", "train"), ("eval", "")])
def test_a_mode_that_a_forward_leaves_on_one_side_is_told(calls, draws, whose):
    report = compared(*(ChangesAMode((draws, whose, call)) for call in calls))
    told = [f.verdict for f in report.findings if f.cause_id == "state.mode"]
    apart = "train" in calls and calls[0] != calls[1]
    assert told == ([("suspicious", "different")[draws]] if apart else [])
    assert any(finding.fails for finding in report.findings) == (apart and draws)
