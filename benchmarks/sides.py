"""The same check in one process and with each model in an interpreter of its own: verdict,
findings, regions and time.

    python benchmarks/sides.py                       twenty published pairs and the example
    python benchmarks/sides.py tv_resnet18 hf_bert   some
    python benchmarks/sides.py resnet50              that of benchmarks/cost.py: batch 4, training
    python benchmarks/sides.py --python PYTHON       the interpreter of both sides (this one)
    python benchmarks/sides.py --recording           the second model as a recording of it instead
    python benchmarks/sides.py --recordings          both, once the weights are the same
    python benchmarks/sides.py --ray                 both models in Ray actors instead
    python benchmarks/sides.py --ray --actors 2      the regions of each over so many

Each pair is checked in processes of its own. Times are seconds of the check by the clock, and of
all its processes by the processor, imports and construction included, which other work hardly
moves. A pair counts as the same where passed, equivalent, the findings (kind of cause, verdict,
phase, both places) and the regions by verdict are equal.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SECONDS = 600
RECORDINGS = "recordings"
"""In the place of an interpreter: both models are recorded."""
RAY = "ray"
"""In the place of an interpreter, with a number behind: each model in so many actors."""
RECORDING = "recording"
"""In the place of an interpreter: the second model is recorded."""
PAIRS = (
    "example_healthy",
    "example_buggy",
    "tv_resnet18",
    "tv_mobilenet_v3_small",
    "tv_googlenet",
    "hf_bert",
    "hf_albert",
    "hf_bart",
    "hf_gpt2",
    "hf_t5",
    "hf_mpnet_eps",
    "nlp_llama",
    "pf_llama",
    "pf_qwen2",
    "pf_qwen2_moe",
    "nn_gru",
    "nn_lstm_bi2",
    "nn_transformer_encoder",
    "ocr_rec_crnn_mbv3",
    "timm_resnet18d",
    "timm_mobilevit_xxs",
    "df_unet2d",
)
OPTIONS = {"rtol": 1e-3, "atol": 1e-4}
"""The tolerance of both checks; what they find does not depend on it."""


def pair(name: str) -> tuple[Any, Any, Any]:
    """(layer, module, example), seeded."""
    import numpy as np
    import paddle
    import torch

    torch.manual_seed(0)
    paddle.seed(0)
    np.random.seed(0)
    if name.startswith("example_"):
        sys.path.insert(0, str(HERE.parent))
        from examples import resnet_port

        made: tuple[Any, Any, Any] = getattr(resnet_port, name.removeprefix("example_"))()
        return made
    sys.path.insert(0, str(HERE / "pairs"))
    if name == "resnet50":
        sys.path.insert(0, str(HERE))
        import cost

        whole: tuple[Any, Any, Any] = cost.models(name)
        return whole
    import pairs

    layer, module, example = pairs.PAIRS[name].fn()
    return layer.eval(), module.eval(), example


def first() -> tuple[Any, Any]:
    """The first side of the pair that the environment names."""
    name = os.environ["SIDES_PAIR"]
    if name in APART:
        return APART[name][0]()
    layer, _, example = pair(name)
    return layer, example[0]


def second() -> tuple[Any, Any]:
    """The second side of it."""
    name = os.environ["SIDES_PAIR"]
    if name in APART:
        return APART[name][1]()
    _, module, example = pair(name)
    return module, example[1]


def paddle_resnet50() -> tuple[Any, Any]:
    """The Paddle side of resnet50; torch is not imported."""
    import paddle

    paddle.seed(0)
    return paddle.vision.models.resnet50().train(), {"x": _image()}


def torch_resnet50() -> tuple[Any, Any]:
    """The torch side of resnet50; Paddle is not imported."""
    import torch

    sys.path.insert(0, str(HERE / "pairs"))
    import compat  # noqa: F401  torchvision beside a CPU torch
    import torchvision

    torch.manual_seed(0)
    return torchvision.models.resnet50(weights=None).train(), {"x": _image()}


def _image() -> Any:
    import numpy as np

    return np.random.default_rng(0).standard_normal((4, 3, 224, 224), np.float32)


APART = {"resnet50": (paddle_resnet50, torch_resnet50)}
"""Pairs whose sides are made apart, as a user's are; the one function of a published pair makes
both, so that each interpreter imports both frameworks and builds both models."""


def checked(name: str, python: str | None) -> dict[str, Any]:
    """What one check says."""
    import padiff_graph as pg

    size = 0
    started = time.perf_counter()
    if python == RECORDINGS:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{side}.pgref" for side in ("first", "second")]
            layer, module, example = pair(name)
            pg.assign_weight(layer, module, example_inp=example)
            pg.record(layer, example[0], paths[0])
            pg.record(module, example[1], paths[1])
            size = sum(path.stat().st_size for path in paths)
            started = time.perf_counter()
            report = pg.compare(*paths, options=OPTIONS)
            seconds = time.perf_counter() - started
    elif python == RECORDING:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "second.pgref"
            _, module, example = pair(name)
            pg.record(module, example[1], path)
            size = path.stat().st_size
            layer, _, example = pair(name)
            started = time.perf_counter()
            report = pg.compare(layer, path, example, options=OPTIONS)
            seconds = time.perf_counter() - started
    elif python is None:
        layer, module, example = pair(name)
        started = time.perf_counter()
        report = pg.compare(layer, module, example, options=OPTIONS)
        seconds = time.perf_counter() - started
    else:
        os.environ["SIDES_PAIR"] = name
        where: dict[str, Any] = {"python": python}
        if python is not None and python.startswith(RAY):
            actors = int(python.removeprefix(RAY))
            # more actors than cores share them
            where = {"ray": {"num_cpus": 1 / actors, "actors": actors}}
        sides = [pg.Side(f"{__file__}:{side}", **where) for side in ("first", "second")]
        log = logging.getLogger("padiff_graph.capture.remote.client")
        log.setLevel("INFO")
        log.addHandler(logging.StreamHandler(sys.stderr))
        report = pg.compare(*sides, options=OPTIONS)
        seconds = sum(report.timings.values())
        spent = sum(own for step, own in report.timings.items() if step.startswith("regions"))
        count = sum(report.regions.values())
        log.info("%d regions, %.2f s each", count, spent / max(count, 1))
    findings = [
        (own.cause_id, own.verdict, own.phase, own.paddle_path, own.torch_path)
        for own in report.findings
    ]
    return {
        "seconds": seconds,
        "size": size,
        "timed": sum(report.timings.values()),
        "said": [report.passed, report.equivalent, sorted(findings), dict(report.regions)],
        "frameworks": [name for name in ("torch", "paddle") if name in sys.modules],
    }


def asked(name: str, python: str | None) -> dict[str, Any]:
    """`checked` in a process of its own."""
    command = [sys.executable, __file__, name, "--one", python or "here"]
    before = _processor()
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"said": f"nothing in {SECONDS} s", "timed": 0.0, "frameworks": []}
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return {"said": ran.stderr.strip()[-300:], "timed": 0.0, "frameworks": []}
    answer: dict[str, Any] = json.loads(lines[-1])
    answer["processor"] = _processor() - before
    told = "bytes crossed", "s each"
    lines = ran.stderr.splitlines()
    answer["crossed"] = [line for line in lines if any(word in line for word in told)]
    return answer


def _processor() -> float:
    """Seconds that all ended children have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="*", default=PAIRS)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--recording", action="store_true")
    parser.add_argument("--recordings", action="store_true")
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--actors", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(checked(given.pairs[0], None if given.one == "here" else given.one)))
        return
    named = {RECORDING: given.recording, RECORDINGS: given.recordings}
    named[f"{RAY}{given.actors}"] = given.ray
    elsewhere = next((what for what, asked_for in named.items() if asked_for), given.python)
    same = 0
    for name in given.pairs:
        here, there = asked(name, None), asked(name, elsewhere)
        equal = here["said"] == there["said"] and isinstance(here["said"], list)
        same += equal
        ratio = there["timed"] / here["timed"] if here["timed"] else 0.0
        word = "same" if equal else "DIFFERENT"
        size = f"  {there['size'] / 2**20:7.1f} MiB" if there.get("size") else ""
        used = [own.get("processor", 0.0) for own in (here, there)]
        times = f"{here['timed']:6.1f} s  {ratio:5.2f} times"
        times += f"  processor {used[0]:6.1f} s  {used[1] / (used[0] or 1.0):5.2f} times"
        print(f"{name:28} {word:10} {times}{size}", flush=True)
        for line in there.get("crossed", ()):
            print(f"    {line}")
        if not equal:
            print(f"    here:  {str(here['said'])[:400]}\n    there: {str(there['said'])[:400]}")
        if there["frameworks"] and not (given.recording or given.recordings):
            print(f"    the judge imported {there['frameworks']}")
    print(f"{same} of {len(given.pairs)} the same")


if __name__ == "__main__":
    main()
