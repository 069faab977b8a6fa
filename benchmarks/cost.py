"""What a full check costs against a bare forward and backward of both models.

    python benchmarks/cost.py                 both cases, a table
    python benchmarks/cost.py resnet50 --repeat 3

Each measurement is a process of its own. Time is that of one call in a fresh process, imports and
construction left out; memory is the peak of the whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "pairs"))

CASES = ("resnet50", "encoder")


def models(case: str) -> tuple[Any, Any, Any]:
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
        return (
            layer.train(),
            module.train(),
            ({"x": paddle.to_tensor(image)}, {"x": torch.from_numpy(image)}),
        )
    tokens = rng.standard_normal((4, 128, 768), np.float32)
    layer = paddle.nn.TransformerEncoder(
        paddle.nn.TransformerEncoderLayer(768, 12, 3072, dropout=0.0, activation="gelu"), 12
    )
    module = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(
            768, 12, 3072, dropout=0.0, activation="gelu", batch_first=True
        ),
        12,
        enable_nested_tensor=False,
    )
    return (
        layer.train(),
        module.train(),
        ({"src": paddle.to_tensor(tokens)}, {"src": torch.from_numpy(tokens)}),
    )


def bare(case: str) -> dict[str, Any]:
    layer, module, (ours, theirs) = models(case)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        layer(**ours).mean().backward()
        module(**theirs).mean().backward()
        seconds.append(time.perf_counter() - start)
        layer.clear_gradients()
        module.zero_grad()
    return {"seconds": seconds[0], "warm": seconds[1]}


def check(case: str) -> dict[str, Any]:
    import padiff_graph as pg

    layer, module, example = models(case)
    start = time.perf_counter()
    report = pg.compare(layer, module, example, options={"rtol": 1e-2, "atol": 1e-2})
    return {
        "seconds": time.perf_counter() - start,
        "passed": report.passed,
        "timings": dict(report.timings),
        "regions": dict(report.regions),
        "required": dict(report.required_tolerance),
    }


def one(case: str, what: str) -> dict[str, Any]:
    found = {"bare": bare, "check": check}[what](case)
    return {**found, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def process(case: str, what: str) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, __file__, case, "--one", what], capture_output=True, text=True, timeout=900
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"{case} {what} failed:\n{ran.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", default=[])
    parser.add_argument("--one", choices=("bare", "check"))
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    cases = given.cases or list(CASES)
    if given.one:
        print(json.dumps(one(cases[0], given.one)))
        return
    print(
        f"{'case':10} {'bare s':>8} {'warm':>8} {'check s':>8} {'times':>6} {'bare MB':>8}"
        f" {'check MB':>8} {'times':>6}  regions"
    )
    for case in cases:
        plain = [process(case, "bare") for _ in range(given.repeat)]
        full = [process(case, "check") for _ in range(given.repeat)]
        seconds, memory = min(run["seconds"] for run in plain), min(run["peak"] for run in plain)
        best = min(full, key=lambda run: run["seconds"])
        print(
            f"{case:10} {seconds:8.2f} {min(run['warm'] for run in plain):8.2f}"
            f" {best['seconds']:8.2f} {best['seconds'] / seconds:6.2f} {memory:8.0f}"
            f" {best['peak']:8.0f} {best['peak'] / memory:6.2f}  {best['regions']}"
        )
        for step, spent in sorted(best["timings"].items(), key=lambda item: -item[1]):
            print(f"{'':10}   {step:24} {spent:7.2f} s")


if __name__ == "__main__":
    main()
