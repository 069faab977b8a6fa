"""What a full check costs against a bare forward and backward of both models.

    python benchmarks/cost.py                      resnet50 and the encoder, a table
    python benchmarks/cost.py resnet50 --repeat 3
    python benchmarks/cost.py encoder --with loss  against bare steps with a loss and an optimizer
    python benchmarks/cost.py encoder --with cube  with a loss whose gradients do not cancel there
    python benchmarks/cost.py encoder --with hooks
    python benchmarks/cost.py decoder              100 million parameters, 512 tokens
    python benchmarks/cost.py --growth             a narrow encoder, 1, 4 and 16 times as deep
    python benchmarks/cost.py encoder --profile    where the check's processor time goes

Each measurement is a process of its own. Time is that of one call in a fresh process, imports and
construction left out (a check of one Linear comes first, bare or not, for what is imported when
something is first traced): processor time of the process and its threads, which other work on the
machine hardly moves, and time by the clock. Memory is the peak of the whole process. "runs" is how
many forwards and backwards of a whole model a check makes: of the user's own models as they are,
and of captured operations, as shares of all operations of the graphs.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speed import first_check

sys.path.insert(0, str(Path(__file__).parent / "pairs"))

CASES = ("resnet50", "encoder")
OTHERS = ("decoder", "depth2", "depth8", "depth32")
GROWTH = ("depth2", "depth8", "depth32")
WIDTH, LAYERS, TOKENS, BATCH = 768, 12, 128, 4
WORDS = 20_000
DECODER = {"batch": 1, "tokens": 512}
NARROW = {"width": 256, "tokens": 64}
RATE = 0.01


def models(case: str) -> tuple[Any, Any, Any]:
    """(Paddle layer, torch module, example)."""
    import numpy as np
    import paddle
    import torch

    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    paddle.seed(0)
    if case == "resnet50":
        import compat  # noqa: F401  torchvision beside a CPU torch
        import torchvision

        image = rng.standard_normal((4, 3, 224, 224), np.float32)
        layer, module = paddle.vision.models.resnet50(), torchvision.models.resnet50(weights=None)
        return layer.train(), module.train(), _example("x", image)
    if case == "decoder":
        ids = rng.integers(0, WORDS, (DECODER["batch"], DECODER["tokens"]))
        return *_decoders(), _example("ids", ids)
    depth, width, tokens = LAYERS, WIDTH, TOKENS
    if case.startswith("depth"):
        depth, width, tokens = int(case[5:]), NARROW["width"], NARROW["tokens"]
    numbers = rng.standard_normal((BATCH, tokens, width), np.float32)
    return *_encoders(depth, width), _example("src", numbers)


def _example(name: str, array: Any) -> Any:
    import paddle
    import torch

    return {name: paddle.to_tensor(array)}, {name: torch.from_numpy(array)}


def _encoders(depth: int, width: int) -> tuple[Any, Any]:
    import paddle
    import torch

    sizes, how = (width, 12 if width % 12 == 0 else 8, 4 * width), {"dropout": 0.0}
    layer = paddle.nn.TransformerEncoder(
        paddle.nn.TransformerEncoderLayer(*sizes, activation="gelu", **how), depth
    )
    module = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(*sizes, activation="gelu", batch_first=True, **how),
        depth,
        enable_nested_tensor=False,
    )
    return layer.train(), module.train()


def _decoders() -> tuple[Any, Any]:
    """Words, 12 causal blocks, logits: 116 million parameters."""
    import paddle
    import torch

    blocks = _encoders(LAYERS, WIDTH)
    tokens = DECODER["tokens"]

    class Layer(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.blocks = paddle.nn.Embedding(WORDS, WIDTH), blocks[0]
            self.head = paddle.nn.Linear(WIDTH, WORDS)

        def forward(self, ids: Any) -> Any:
            mask = paddle.triu(paddle.full([tokens, tokens], -1e9), 1)
            return self.head(self.blocks(self.words(ids), mask))

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.blocks = torch.nn.Embedding(WORDS, WIDTH), blocks[1]
            self.head = torch.nn.Linear(WIDTH, WORDS)

        def forward(self, ids: Any) -> Any:
            mask = torch.triu(torch.full((tokens, tokens), -1e9), 1)
            return self.head(self.blocks(self.words(ids), mask))

    return Layer(), Module()


def optimizers(layer: Any, module: Any) -> tuple[Any, Any]:
    import paddle
    import torch

    return (
        paddle.optimizer.SGD(RATE, parameters=layer.parameters()),
        torch.optim.SGD(module.parameters(), lr=RATE),
    )


def square(output: Any) -> Any:
    """Behind a normalisation this is the same whatever goes in: all gradients cancel, and what is
    left of them is rounding, which the check has to find out."""
    return (output * output).mean()


def cube(output: Any) -> Any:
    """One whose gradients do not cancel there."""
    return (output * output * output).mean()


LOSSES = {"loss": square, "cube": cube}
"""Losses, each with an optimizer step, by what `--with` calls them."""


def hooked(layer: Any, module: Any) -> None:
    """A hook on every linear layer that hands its result on, and one on a weight's gradient."""
    import paddle
    import torch

    for own in layer.sublayers():
        if isinstance(own, paddle.nn.Linear):
            own.register_forward_post_hook(lambda _, inputs, result: result * 1.0)
    for own in module.modules():
        if isinstance(own, torch.nn.Linear):
            own.register_forward_hook(lambda _, inputs, result: result * 1.0)


def bare(case: str, extra: str) -> dict[str, Any]:
    layer, module, (ours, theirs) = models(case)
    steppers = optimizers(layer, module)
    if extra == "hooks":
        hooked(layer, module)
    loss: Callable[[Any], Any] = LOSSES.get(extra, lambda output: output.mean())
    seconds, clock = [], []
    for _ in range(2):
        start, began = time.process_time(), time.perf_counter()
        loss(layer(**ours)).backward()
        loss(module(**theirs)).backward()
        if extra in LOSSES:
            for stepper in steppers:
                stepper.step()
        seconds.append(time.process_time() - start)
        clock.append(time.perf_counter() - began)
        layer.clear_gradients()
        module.zero_grad()
    return {"seconds": seconds[0], "warm": seconds[1], "clock": clock[0]}


def check(case: str, extra: str, profiled: bool = False) -> dict[str, Any]:
    import padiff_graph as pg

    layer, module, example = models(case)
    given: dict[str, Any] = {}
    if extra in LOSSES:
        given = {"loss_fn": [LOSSES[extra]] * 2, "optimizer": list(optimizers(layer, module))}
    if extra == "hooks":
        hooked(layer, module)
    counted = Counter[str]()
    profile = cProfile.Profile(time.process_time) if profiled else None
    start, began = time.process_time(), time.perf_counter()
    with counting(counted):
        if profile is not None:
            profile.enable()
        report = pg.compare(layer, module, example, options={"rtol": 1e-2, "atol": 1e-2}, **given)
        if profile is not None:
            profile.disable()
    spent = time.process_time() - start
    if profile is not None:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(45)
    return {
        "seconds": spent,
        "clock": time.perf_counter() - began,
        "passed": report.passed,
        "timings": dict(report.timings),
        "regions": dict(report.regions),
        "required": dict(report.required_tolerance),
        "runs": _whole_runs(counted),
    }


class counting:
    """While it lasts, runs are counted: eager ones by call, captured ones by operation."""

    def __init__(self, counted: Counter[str]) -> None:
        self.counted = counted
        self.patched: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> None:
        from padiff_graph.capture.paddle.engine import PaddleEngine
        from padiff_graph.capture.torch.engine import TorchEngine

        for side, engine in (("paddle", PaddleEngine), ("torch", TorchEngine)):
            for name in ("forward", "backward", "run", "grad"):
                self._patch(engine, name, side)

    def _patch(self, engine: Any, name: str, side: str) -> None:
        original, counted = getattr(engine, name), self.counted

        def noted(own: Any, *given: Any, **named: Any) -> Any:
            if name == "run":
                counted[f"{side} operations"] += 1
                counted[f"{side} recorded"] += _recording(side)
                counted[f"{side} double"] += bool(named.get("double"))
            else:
                counted[f"{side} {name}"] += 1
            return original(own, *given, **named)

        setattr(engine, name, noted)
        self.patched.append((engine, name, original))

    def __exit__(self, *error: object) -> None:
        for engine, name, original in self.patched:
            setattr(engine, name, original)


def _recording(side: str) -> bool:
    import paddle
    import torch

    return torch.is_grad_enabled() if side == "torch" else paddle.is_grad_enabled()


def _whole_runs(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items()))


def one(case: str, what: str, extra: str, profiled: bool) -> dict[str, Any]:
    first_check()
    found = bare(case, extra) if what == "bare" else check(case, extra, profiled)
    return {**found, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def process(case: str, what: str, extra: str, profiled: bool = False) -> dict[str, Any]:
    command = [sys.executable, __file__, case, "--one", what]
    command += ["--with", extra] if extra else []
    command += ["--profile"] if profiled else []
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"{case} {what} failed:\n{ran.stderr[-3000:]}")
    if profiled:
        print(ran.stderr[ran.stderr.find("function calls") :])
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def measured(case: str, extra: str, repeat: int, profiled: bool) -> float:
    """Prints a row and where the time went; returns the check's processor time."""
    plain = [process(case, "bare", extra) for _ in range(repeat)]
    full = [process(case, "check", extra, profiled) for _ in range(repeat)]
    seconds, memory = min(run["seconds"] for run in plain), min(run["peak"] for run in plain)
    best = min(full, key=lambda run: run["seconds"])
    print(
        f"{case:10} {seconds:8.2f} {min(run['warm'] for run in plain):8.2f}"
        f" {best['seconds']:8.2f} {best['seconds'] / seconds:6.2f}"
        f" {best['clock'] / min(run['clock'] for run in plain):6.2f} {memory:8.0f}"
        f" {best['peak']:8.0f} {best['peak'] / memory:6.2f}  {best['regions']}"
        f" {'passed' if best['passed'] else 'NOT PASSED'}"
    )
    for step, spent in sorted(best["timings"].items(), key=lambda item: -item[1]):
        print(f"{'':10}   {step:36} {spent:7.2f} s by the clock")
    print(f"{'':10}   {', '.join(f'{name} {count}' for name, count in best['runs'].items())}")
    return float(best["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", choices=[*CASES, *OTHERS, []], default=[])
    parser.add_argument("--one", choices=("bare", "check"))
    parser.add_argument("--with", dest="extra", choices=(*LOSSES, "hooks"), default="")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    cases = given.cases or list(GROWTH if given.growth else CASES)
    if given.one:
        print(json.dumps(one(cases[0], given.one, given.extra, given.profile)))
        return
    print(
        f"{'case':10} {'bare s':>8} {'warm':>8} {'check s':>8} {'times':>6} {'clock':>6}"
        f" {'bare MB':>8} {'check MB':>8} {'times':>6}  regions"
    )
    for case in cases:
        measured(case, given.extra, given.repeat, given.profile)


if __name__ == "__main__":
    main()
