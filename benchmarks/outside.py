"""Pairs that agree or differ outside of any region, with a known answer, through `compare`.

    python benchmarks/outside.py --count 400 --seed 0 [--kind tied] [--out answers.jsonl]

What a region does not show is drawn at random: where outputs stand and of which type they are,
which parameters are shared, what a run writes and keeps, hooks, frozen parameters; in training mode
with dropout, with `single_step`, with either side at fault. Every second pair is healthy. Prints
wrong answers and a summary as JSON; exit code 1 where any answer is wrong.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import torch

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
WIDTHS = (6, 8)
ACTIVATIONS = ("relu", "tanh", "gelu", "sigmoid")

PADDLE = SimpleNamespace(
    name="paddle",
    base=paddle.nn.Layer,
    lib=paddle,
    linear=paddle.nn.Linear,
    embedding=paddle.nn.Embedding,
    norm=paddle.nn.LayerNorm,
    dropout=paddle.nn.Dropout,
    act=lambda name: getattr(paddle.nn.functional, name),
    zeros=lambda *shape: paddle.zeros(list(shape)),
    scale_=lambda x, factor: x.scale_(factor),
    write=lambda buffer, value: buffer.set_value(value),
    cast=lambda x, dtype: x.astype(dtype),
    tensor=lambda array: paddle.to_tensor(array),
    freeze=lambda parameter: setattr(parameter, "stop_gradient", True),
    tied=lambda x, weight: paddle.matmul(x, weight, transpose_y=True),
)
TORCH = SimpleNamespace(
    name="torch",
    base=torch.nn.Module,
    lib=torch,
    linear=torch.nn.Linear,
    embedding=torch.nn.Embedding,
    norm=torch.nn.LayerNorm,
    dropout=torch.nn.Dropout,
    act=lambda name: torch.nn.functional.__dict__.get(name) or getattr(torch, name),
    zeros=lambda *shape: torch.zeros(*shape),
    scale_=lambda x, factor: x.mul_(factor),
    write=lambda buffer, value: buffer.copy_(value),
    cast=lambda x, dtype: x.to(getattr(torch, dtype)),
    tensor=lambda array: torch.from_numpy(np.array(array)),
    freeze=lambda parameter: parameter.requires_grad_(False),
    tied=lambda x, weight: x @ weight.t(),
)


@dataclass
class Draw:
    """What a pair's kind is drawn from, and what it asks for besides."""

    rng: random.Random
    width: int
    act: str
    train: bool
    dropout: bool
    kw: dict[str, Any] = field(default_factory=dict)
    named_is_enough: bool = False
    ids: bool = False


Setup = Callable[[Any, Any, bool], None]
Forward = Callable[[Any, Any, Any, bool], Any]
Kind = Callable[[Draw], tuple[Setup, Forward]]
KINDS: dict[str, Kind] = {}


def kind(function: Kind) -> Kind:
    """Registers a kind: drawn, it gives a setup and a forward; each takes `fault` last."""
    KINDS[function.__name__] = function
    return function


def trunk(model: Any, fw: Any, draw: Draw) -> None:
    """Layers that every pair has."""
    model.fc = fw.linear(draw.width, draw.width)
    model.norm = fw.norm(draw.width)
    model.drop = fw.dropout(0.25 if draw.dropout else 0.0)


def run_trunk(model: Any, fw: Any, draw: Draw, x: Any) -> Any:
    """What every pair computes first."""
    return model.drop(fw.act(draw.act)(model.norm(model.fc(x))))


def two_heads(model: Any, fw: Any, draw: Draw) -> None:
    trunk(model, fw, draw)
    model.head = fw.linear(draw.width, draw.width)


# -- outputs

Named = collections.namedtuple("Named", ("first", "second"))


class Slots:
    __slots__ = ("first", "second")

    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second


class Private:
    def __init__(self, first: Any, second: Any) -> None:
        self._first, self._second = first, second


CONTAINERS: dict[str, Callable[[Any, Any], Any]] = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "dict": lambda a, b: {"first": a, "second": b},
    "nested": lambda a, b: {"y": (a, [b])},
    "named": Named,
    "deque": lambda a, b: collections.deque([a, b]),
    "object": lambda a, b: SimpleNamespace(first=a, second=b),
    "slots": Slots,
    "private": Private,
    "generator": lambda a, b: (value for value in (a, b)),
}


@kind
def exchanged(draw: Draw) -> tuple[Setup, Forward]:
    """Two outputs stand in each other's place."""
    around = CONTAINERS[draw.rng.choice(list(CONTAINERS))]

    def setup(model: Any, fw: Any, fault: bool) -> None:
        two_heads(model, fw, draw)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = run_trunk(model, fw, draw, x)
        pair = (hidden, fw.act("sigmoid")(model.head(hidden)))
        return around(*reversed(pair)) if fault else around(*pair)

    return setup, forward


@kind
def plain_value(draw: Draw) -> tuple[Setup, Forward]:
    """A number, flag, text or array among the outputs is another one."""
    right, wrong = draw.rng.choice(
        [
            (0.5, 0.25),
            (3, 4),
            (True, False),
            ("mean", "sum"),
            (np.arange(3), np.arange(3) + 1),
            (2**53, 2**53 + 1),
        ]
    )
    around = CONTAINERS[draw.rng.choice(("tuple", "dict", "list", "object", "named"))]

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        return around(run_trunk(model, fw, draw, x), wrong if fault else right)

    return setup, forward


@kind
def output_type(draw: Draw) -> tuple[Setup, Forward]:
    """An output of the same numbers in another type."""
    right, wrong = draw.rng.choice(
        [("float32", "float64"), ("bool", "float32"), ("int64", "float32")]
    )

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = run_trunk(model, fw, draw, x)
        value = hidden if right == "float32" else hidden > 0
        return hidden, fw.cast(value, wrong if fault else right)

    return setup, forward


@kind
def whole_number(draw: Draw) -> tuple[Setup, Forward]:
    """Whole numbers that are one apart, small beside their size."""
    start = draw.rng.choice((30000, 2**24, 2**53))

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = run_trunk(model, fw, draw, x)
        # in two steps: Paddle adds a number as float64, which holds no odd one beyond 2^53
        return hidden, hidden.argmax(-1) + start + (1 if fault else 0)

    return setup, forward


@kind
def left_out(draw: Draw) -> tuple[Setup, Forward]:
    """One model does not return what the other does: told, and no reason to fail by itself."""
    draw.named_is_enough = True

    def setup(model: Any, fw: Any, fault: bool) -> None:
        two_heads(model, fw, draw)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = run_trunk(model, fw, draw, x)
        second = model.head(hidden)
        return {"y": hidden + 0 * second} if fault else {"y": hidden + 0 * second, "z": second}

    return setup, forward


# -- sharing


@kind
def tied(draw: Draw) -> tuple[Setup, Forward]:
    """An output layer that is the embedding, against one of its own with the same numbers."""
    draw.ids = True
    rows = draw.rng.choice((9, 200))

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)
        model.embed = fw.embedding(rows, draw.width)
        model.out = fw.embedding(rows, draw.width)
        if fault:
            (
                model.out.weight.set_value(model.embed.weight)
                if fw is PADDLE
                else (model.out.weight.data.copy_(model.embed.weight.data))
            )
        else:
            model.out.weight = model.embed.weight

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        return fw.tied(run_trunk(model, fw, draw, model.embed(x)), model.out.weight)

    return setup, forward


@kind
def called_twice(draw: Draw) -> tuple[Setup, Forward]:
    """One block called twice, against two blocks with the same numbers."""

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)
        model.block = fw.linear(draw.width, draw.width)
        model.again = fw.linear(draw.width, draw.width) if fault else model.block
        if fault:
            for name in ("weight", "bias"):
                ours, theirs = getattr(model.again, name), getattr(model.block, name)
                ours.set_value(theirs) if fw is PADDLE else ours.data.copy_(theirs.data)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = fw.act("tanh")(model.block(run_trunk(model, fw, draw, x)))
        return model.again(hidden)

    return setup, forward


# -- state


@kind
def written_buffer(draw: Draw) -> tuple[Setup, Forward]:
    """A buffer that is written and read by nothing."""

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)
        model.register_buffer("seen", fw.zeros(draw.width))

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = model.fc(x)
        fw.write(model.seen, hidden.detach().mean(0) * (1.5 if fault else 1.0))
        return run_trunk(model, fw, draw, x)

    return setup, forward


@kind
def counter(draw: Draw) -> tuple[Setup, Forward]:
    """A number in the module that the next call reads."""

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)
        model.calls = 1

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        result = run_trunk(model, fw, draw, x) * model.calls
        model.calls += 2 if fault else 1
        return result

    return setup, forward


@kind
def kept_state(draw: Draw) -> tuple[Setup, Forward]:
    """A tensor that the module keeps for later calls."""
    holder = draw.rng.choice(("attribute", "list", "dict"))

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)
        model.state = {"attribute": None, "list": [], "dict": {}}[holder]

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = model.fc(x)
        kept = hidden.detach() * (2.0 if fault else 1.0)
        if holder == "attribute":
            model.state = kept
        elif holder == "list":
            model.state.append(kept)
        else:
            model.state["last"] = kept
        return run_trunk(model, fw, draw, x)

    return setup, forward


@kind
def written_input(draw: Draw) -> tuple[Setup, Forward]:
    """The caller's tensor is another one after the call."""

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = run_trunk(model, fw, draw, x * 1.0)
        doubled = fw.scale_(x, 2.0) if fault else x * 2.0
        return hidden + doubled

    return setup, forward


# -- gradients


@kind
def parameter_hook(draw: Draw) -> tuple[Setup, Forward]:
    """A hook on a parameter scales its gradient; equal hooks are healthy."""
    also = draw.rng.random() < 0.5

    def setup(model: Any, fw: Any, fault: bool) -> None:
        trunk(model, fw, draw)
        factor = 0.5 if fault else 2.0 if also else 1.0
        if factor != 1.0:
            model.fc.weight.register_hook(lambda gradient: gradient * factor)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        return run_trunk(model, fw, draw, x)

    return setup, forward


@kind
def value_hook(draw: Draw) -> tuple[Setup, Forward]:
    """A hook on a value of the forward doubles the gradient."""

    def setup(model: Any, fw: Any, fault: bool) -> None:
        two_heads(model, fw, draw)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = run_trunk(model, fw, draw, x)
        wanted = hidden.requires_grad if fw is TORCH else not hidden.stop_gradient
        if fault and wanted:
            hidden.register_hook(lambda gradient: gradient * 2)
        return model.head(hidden)

    return setup, forward


@kind
def frozen(draw: Draw) -> tuple[Setup, Forward]:
    """A parameter without gradient on one side."""

    def setup(model: Any, fw: Any, fault: bool) -> None:
        two_heads(model, fw, draw)
        if fault:
            fw.freeze(model.fc.weight)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        return model.head(run_trunk(model, fw, draw, x))

    return setup, forward


@kind
def detached(draw: Draw) -> tuple[Setup, Forward]:
    """A gradient path that is cut in front of a softmax, whose mean has no gradient anyway."""

    def setup(model: Any, fw: Any, fault: bool) -> None:
        two_heads(model, fw, draw)

    def forward(model: Any, fw: Any, x: Any, fault: bool) -> Any:
        hidden = run_trunk(model, fw, draw, x)
        return fw.act("softmax")(model.head(hidden.detach() if fault else hidden), -1)

    return setup, forward


FORWARD_SAYS_NOTHING = (
    "parameter_hook",
    "value_hook",
    "frozen",
    "detached",
    "tied",
    "called_twice",
)
"""Kinds whose fault shows in gradients alone: forward alone may pass them."""


def draw_pair(name: str, seed: int) -> tuple[Any, Any, Any, dict[str, Any], str, Draw]:
    """(layer, module, example, keywords, side at fault or "", what was drawn)."""
    rng = random.Random(f"{name} {seed}")
    train = rng.random() < 0.5
    draw = Draw(
        rng, rng.choice(WIDTHS), rng.choice(ACTIVATIONS), train, train and rng.random() < 0.6
    )
    setup, forward = KINDS[name](draw)
    fault = rng.choice(("first", "second")) if seed % 2 else ""
    options = dict(STRICT)
    if rng.random() < 0.2:
        options["single_step"] = True
    elif rng.random() < 0.15 and name not in FORWARD_SAYS_NOTHING:
        options["diff_phase"] = "forward"
    torch.manual_seed(seed)
    paddle.seed(seed)
    models = [
        _model(fw, setup, forward, fault == side)
        for fw, side in ((PADDLE, "first"), (TORCH, "second"))
    ]
    for model in models:
        model.train() if draw.train else model.eval()
    numbers = np.random.default_rng(seed)
    array = numbers.standard_normal((5, draw.width)).astype("float32")
    if draw.ids:
        array = numbers.integers(0, 9, (2, 5))
    example = ({"x": PADDLE.tensor(array)}, {"x": TORCH.tensor(array)})
    return models[0], models[1], example, {"options": options, **draw.kw}, fault, draw


def _model(fw: Any, setup: Setup, forward: Forward, fault: bool) -> Any:
    class Model(fw.base):
        def __init__(self) -> None:
            super().__init__()
            setup(self, fw, fault)

        def forward(self, x: Any) -> Any:
            return forward(self, fw, x, fault)

    return Model()


def judge(name: str, seed: int) -> dict[str, Any]:
    """One pair through `compare`."""
    import padiff_graph as pg

    layer, module, example, keywords, fault, draw = draw_pair(name, seed)
    answer: dict[str, Any] = {"kind": name, "seed": seed, "fault": fault, "train": draw.train}
    answer |= {"dropout": draw.dropout, "options": keywords["options"]}
    try:
        report = pg.compare(layer, module, example, **keywords)
    except Exception as error:
        return {**answer, "outcome": "crash", "told": f"{type(error).__name__}: {error}"[:400]}
    failing = [finding for finding in report.findings if finding.fails]
    answer["told"] = " | ".join(
        f"{found.phase} {found.verdict} {found.cause}"[:200] for found in report.findings
    )
    unshown = [shown.name for shown in report.obligations if shown.status == "not shown"]
    if report.passed and unshown:
        return {**answer, "outcome": "passed unshown", "unshown": unshown}
    return {**answer, "outcome": _outcome(fault, draw, report, failing)}


def _outcome(fault: str, draw: Draw, report: Any, failing: list[Any]) -> str:
    if not fault:
        if report.passed and not failing:
            return "right"
        return "false alarm" if failing else "not passed"
    if report.passed:
        named = draw.named_is_enough and report.findings
        return "right" if named else "false pass"
    if failing:
        return "right"
    rounding = any(finding.verdict == "rounding" for finding in report.findings)
    return "false rounding" if rounding else "unsure"


def main() -> int:
    """Runs the pairs and sums up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=sorted(KINDS))
    parser.add_argument("--out", type=pathlib.Path, help="all answers as JSON lines")
    given = parser.parse_args()
    names = [given.kind] if given.kind else sorted(KINDS)
    started = time.time()
    answers = []
    for number in range(given.count):
        answer = judge(names[number % len(names)], given.seed + number // len(names))
        answers.append(answer)
        if answer["outcome"] != "right":
            print(json.dumps(answer, default=str), flush=True)
    if given.out:
        given.out.write_text("".join(json.dumps(line, default=str) + "\n" for line in answers))
    by_kind: dict[str, dict[str, int]] = {}
    for answer in answers:
        row = by_kind.setdefault(answer["kind"], {})
        row[answer["outcome"]] = row.get(answer["outcome"], 0) + 1
    outcomes = dict(collections.Counter(answer["outcome"] for answer in answers))
    print(json.dumps({"pairs": len(answers), "outcomes": outcomes, "by kind": by_kind}))
    print(f"{time.time() - started:.0f} s")
    return int(any(answer["outcome"] != "right" for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
