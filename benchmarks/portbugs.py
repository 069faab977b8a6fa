"""The port-bug benchmark: realistic bugs planted at random places of real ports.

    python benchmarks/portbugs.py                       the whole table (long)
    python benchmarks/portbugs.py --pairs tv_resnet18 --bugs batchnorm_epsilon,residual_missing
    PORTBUGS_PEER=1 python benchmarks/portbugs.py       the same cases through PaDiff 0.2
    python benchmarks/portbugs.py --healthy         false alarms alone (--pairs equal: all equal)

For each bug and pair: the port is aligned, its healthy run noted, the bug planted into the Paddle
side, and the run taken again. Only a bug that changes the eager run (outputs, gradients or buffers,
by more than rounding) counts. Then `compare` is asked, in a process of its own. Scored: detected
(not passed, with a failing finding), at the exact place (path of the first failing finding), with
the right cause.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import time
import traceback
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "pairs"), str(HERE)]

PEER = "PORTBUGS_PEER"
"""Set: the same cases through PaDiff 0.2 (pip install padiff==0.2.0) instead."""
PORTS = (
    "tv_resnet18",
    "tv_mobilenet_v3_small",
    "tv_vgg16_bn",
    "tv_densenet121",
    "tv_shufflenet_v2_x1_0",
    "nn_transformer_encoder",
    "nn_transformer",
    "nn_mha",
    "hf_bert",
    "hf_gpt2",
    "hf_bart",
    "hf_t5",
    "hf_distilbert",
    "nlp_llama",
    "timm_vit_base_patch16_224",
    "timm_swin_tiny_patch4_window7_224",
    "timm_convnext_tiny",
    "ppim_cait_xxs24",
    "ppim_mixer_b",
    "ocr_rec_crnn_mbv3",
    "ocr_det_mbv3_db",
    "df_unet2d",
    "df_autoencoder_kl",
    "timm_repvgg_a0",
)
"""Ports that are equal when healthy; each bug goes into those that have a place for it."""
EACH = 3
"""Ports per bug in the whole table."""
TOLERANCE = {"rtol": 1e-2, "atol": 1e-3}
TRAINING = ("batchnorm_momentum", "dropout_rate", "dropout_missing", "dropout_extra")
"""Bugs that show in training mode only."""
HEALTHY = ("healthy", "healthy_training")
"""In the place of a bug: none, in evaluation and in training mode."""


def arrays(layer: Any, inputs: Any) -> dict[str, Any]:
    """Outputs, gradients and buffers of one eager run of the Paddle side."""
    import numpy as np
    import paddle

    import padiff_graph.capture.leaf_names as leaves

    state = {name: value.numpy().copy() for name, value in layer.state_dict().items()}
    paddle.seed(7)
    result = layer(**inputs)
    tensors = list(leaves.leaves(result, lambda value: isinstance(value, paddle.Tensor)).values())
    found = {
        f"output {number}": tensor.astype("float32").numpy()
        for number, tensor in enumerate(tensors)
    }
    total = sum(
        (
            tensor
            * paddle.to_tensor(
                np.random.default_rng(number).standard_normal(tensor.shape).astype("float32")
            )
        ).sum()
        for number, tensor in enumerate(tensors)
        if tensor.dtype == paddle.float32 and not tensor.stop_gradient
    )
    if not isinstance(total, int):
        with contextlib.suppress(
            RuntimeError
        ):  # a recurrent layer of Paddle's has no gradient in eval mode
            total.backward()
    for name, parameter in layer.named_parameters():
        if parameter.grad is not None:
            found[f"gradient {name}"] = parameter.grad.numpy()
    for name, value in layer.state_dict().items():
        if not np.array_equal(state[name], value.numpy()):
            found[f"buffer {name}"] = value.numpy().copy()
            value.set_value(paddle.to_tensor(state[name]))
    layer.clear_gradients()
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Largest relative change over all arrays; missing ones count as a change."""
    import numpy as np

    largest = 0.0
    for name in before.keys() | after.keys():
        if name not in before or name not in after or before[name].shape != after[name].shape:
            if name.startswith("gradient") and not any(
                side.get(name, np.zeros(1)).any() for side in (before, after)
            ):
                continue
            return float("inf")
        scale = max(float(np.abs(before[name]).max(initial=0.0)), 1e-20)
        largest = max(
            largest,
            float(
                np.abs(before[name].astype(np.float64) - after[name].astype(np.float64)).max(
                    initial=0.0
                )
            )
            / scale,
        )
    return largest


def same_loss(output: Any, losses: Any) -> bool:
    """Whether both losses say the same of an output, as two defaults do that differ for large
    values only."""
    import paddle
    import torch

    import padiff_graph.capture.leaf_names as leaves

    tensor = next(
        iter(leaves.leaves(output, lambda value: isinstance(value, paddle.Tensor)).values())
    )
    one, other = float(losses[0](output)), float(losses[1](torch.from_numpy(tensor.numpy())))
    return abs(one - other) <= 1e-6 * max(abs(one), abs(other))


def case(pair: str, kind: str, seed: int) -> dict[str, Any]:
    """Plants one bug and asks for the verdict."""
    import bugs
    import paddle
    import pairs

    import padiff_graph as pg

    layer, module, (ours, theirs) = pairs.PAIRS[pair].fn()
    layer.eval()
    module.eval()
    chance = random.Random(f"{pair} {kind} {seed}")
    train = kind in ("healthy_training", *TRAINING)
    if train:
        layer.train()
        module.train()
    start = time.perf_counter()
    planted = None
    if train and kind != "healthy_training" and os.environ.get(PEER) is None:
        # some ports are equal in evaluation only: their dropout rates differ, which is a bug of its
        # own
        with contextlib.redirect_stdout(io.StringIO()):
            sound = pg.compare(layer, module, (ours, theirs), options=TOLERANCE)
        if any(finding.fails for finding in sound.findings):
            return {
                "status": "not equal in training",
                "error": "; ".join(finding.cause for finding in sound.findings if finding.fails)[
                    :200
                ],
            }
    if kind not in HEALTHY:
        pg.assign_weight(layer, module, example_inp=(ours, theirs))
        layer.__dict__["_bench_inputs"] = ours
        bugs.executed(layer, ours)
        healthy = arrays(layer, ours)
        again = arrays(layer, ours)
        planted = bugs.BUGS[kind](layer, chance)
        if planted is None:
            return {"status": "no place"}
        try:
            size = changed(healthy, arrays(layer, ours))
        except Exception as error:
            return {
                "status": "does not run",
                "planted": planted.what,
                "path": planted.path,
                "error": f"{type(error).__name__}: {error}"[:200],
            }
        if "loss_fn" in planted.extra and same_loss(layer(**ours), planted.extra["loss_fn"]):
            return {"status": "no effect", "planted": planted.what, "path": planted.path}
        noise = changed(healthy, again)
        if (
            size <= max(1e-6, 3 * noise)
            and "loss_fn" not in planted.extra
            and "optimizer" not in planted.extra
            and kind != "layers_swapped"
        ):
            return {
                "status": "no effect",
                "planted": planted.what,
                "path": planted.path,
                "change": size,
            }
    parameters: dict[str, Any] = {}
    if planted is not None:
        parameters = dict(planted.extra)
        parameters["auto_weights"] = planted.copy
        if parameters.pop("optimizer", None):
            import paddle
            import torch

            parameters["optimizer"] = [
                paddle.optimizer.AdamW(1e-3, parameters=layer.parameters(), weight_decay=0.05),
                torch.optim.AdamW(module.parameters(), 1e-3, weight_decay=0.01),
            ]
            parameters["steps"] = 2
    start = time.perf_counter()
    if os.environ.get(PEER):
        return through_peer(layer, module, (ours, theirs), parameters, planted)
    with contextlib.redirect_stdout(io.StringIO()):
        report = pg.compare(layer, module, (ours, theirs), options=TOLERANCE, **parameters)
    seconds = time.perf_counter() - start
    failing = [finding for finding in report.findings if finding.fails]
    found: dict[str, Any] = {
        "status": "ran",
        "passed": report.passed,
        "seconds": round(seconds, 2),
        "findings": [
            (f.phase, f.verdict, f.paddle_path, f.torch_path, f.cause[:160], f.torch_op, f.relative)
            for f in report.findings[:6]
        ],
        "failing": len(failing),
        "regions": dict(report.regions),
    }
    if planted is None:
        found["false alarm"] = bool(failing)
        return found
    first = failing[0] if failing else None
    exact = (planted.path, *planted.also)
    causes = " ".join(
        finding.cause.lower()
        for finding in failing
        if finding.paddle_path in exact or any(place[0] in exact for place in finding.places)
    ) or (first.cause.lower() if first else "")
    found |= {
        "planted": planted.what,
        "path": planted.path,
        "detected": first is not None and not report.passed,
        "exact": first is not None and first.paddle_path in exact,
        "cause": first is not None and any(word in causes for word in planted.words),
    }
    return found


def through_peer(
    layer: Any, module: Any, example: Any, parameters: dict[str, Any], planted: Any
) -> dict[str, Any]:
    """The same case through PaDiff.

    Whether it says that something differs, and at the layer of the bug.
    """
    import peer

    said = peer.asked(layer, module, example, parameters, TOLERANCE)
    found = {
        "status": "peer cannot" if said["says"] == "cannot" else "ran",
        "error": said["error"],
        "at": said["path"],
    }
    found |= {
        "passed": said["says"] == "same",
        "seconds": said.get("seconds", 0.0),
        "findings": [],
        "regions": {},
        "false alarm": said["says"] == "different",
    }
    if planted is None:
        return found
    return found | {
        "planted": planted.what,
        "path": planted.path,
        "detected": said["says"] == "different",
        "exact": said["path"] in (planted.path, *planted.also),
        "cause": False,
    }


def kinds_for(pair: str, kinds: list[str], seed: int) -> list[str]:
    """The bugs that have a place in a port and that its code still runs with."""
    import bugs
    import paddle
    import pairs

    found = []
    layer = None
    for kind in kinds:
        if layer is None:
            with paddle.utils.unique_name.guard():
                layer, _, (ours, _) = pairs.PAIRS[pair].fn()
            layer.eval()
            layer.__dict__["_bench_inputs"] = ours
            bugs.executed(layer, ours)
        try:
            planted = bugs.BUGS[kind](layer, random.Random(f"{pair} {kind} {seed}"))
            if planted is None:
                continue
            layer(**ours)
            found.append(kind)
        except Exception as error:  # a bug that does not fit this model's code is planted elsewhere
            print(
                f"{kind} does not fit {pair}: {type(error).__name__}: {error}"[:200],
                file=sys.stderr,
            )
        layer = None
    return found


def places(pair: str, kinds: list[str], seed: int, limit: float) -> set[str]:
    try:
        ran = subprocess.run(
            [sys.executable, __file__, "--places", pair, str(seed), *kinds],
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return set(kinds)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("PLACES ")]
    return set(json.loads(lines[-1].removeprefix("PLACES "))) if lines else set(kinds)


def ask(pair: str, kind: str, seed: int, limit: float) -> dict[str, Any]:
    try:
        ran = subprocess.run(
            [sys.executable, __file__, "--case", pair, kind, str(seed)],
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return {"status": "timeout"}
    lines = [line for line in ran.stdout.splitlines() if line.startswith('{"status"')]
    if not lines:
        return {"status": "crash", "error": (ran.stderr or ran.stdout)[-1500:]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def told(kind: str, pair: str, found: dict[str, Any]) -> str:
    """One case in one line, and its findings where it did not score."""
    if found["status"] != "ran":
        return (
            f"{kind} {pair}: {found['status']} {found.get('path', '')}"
            f" {found.get('error', '')[:200]}"
        )
    if kind == "healthy":
        return (
            f"{kind} {pair}: {'FALSE ALARM' if found['false alarm'] else 'fine'}"
            f" passed={found['passed']} {found['seconds']} s {found['regions']}"
            f" {found['findings'][:3] if found['false alarm'] else ''}"
        )
    scored = [what for what in ("detected", "exact", "cause") if not found[what]]
    return (
        f"{kind} {pair} at {found['path']} ({found['planted']}):"
        f" {'missed ' + ', '.join(scored) if scored else 'right'} {found['seconds']} s"
        + "".join(f"\n      {finding}" for finding in found["findings"][: 4 if scored else 1])
    )


def table(results: dict[tuple[str, str], dict[str, Any]]) -> str:
    by: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (kind, _), result in results.items():
        by[kind].append(result)
    lines = [f"{'bug':26} {'ran':>4} {'detected':>9} {'exact':>6} {'cause':>6} {'seconds':>8}"]
    sums = [0, 0, 0, 0]
    for kind, found in by.items():
        ran = [result for result in found if result["status"] == "ran"]
        if kind == "healthy":
            lines.append(
                f"{'healthy':26} {len(ran):4} {sum(result['false alarm'] for result in ran):9}"
                " false alarms"
            )
            continue
        numbers = [
            len(ran),
            *(sum(bool(result[what]) for result in ran) for what in ("detected", "exact", "cause")),
        ]
        sums = [one + other for one, other in zip(sums, numbers, strict=True)]
        mean = sum(result["seconds"] for result in ran) / max(len(ran), 1)
        lines.append(
            f"{kind:26} {numbers[0]:4} {numbers[1]:9} {numbers[2]:6} {numbers[3]:6} {mean:8.1f}"
        )
    share = [100 * number / max(sums[0], 1) for number in sums]
    lines.append(f"{'all':26} {sums[0]:4} {share[1]:8.1f}% {share[2]:5.1f}% {share[3]:5.1f}%")
    sound = [result for result in results.values() if result.get("sound") and "detected" in result]
    if sound:
        lines.append(
            f"of these on pairs that pass when healthy: {len(sound)}, detected"
            f" {sum(result['detected'] for result in sound)}, exact"
            f" {sum(result['exact'] for result in sound)}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs=3, metavar=("PAIR", "BUG", "SEED"))
    parser.add_argument("--places", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--pairs", default=",".join(PORTS))
    parser.add_argument("--bugs", default="")
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=240)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--healthy", action="store_true")
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    if given.case:
        try:
            found = case(given.case[0], given.case[1], int(given.case[2]))
        except Exception as error:
            found = {
                "status": "crash",
                "error": f"{type(error).__name__}: {error}",
                "trace": traceback.format_exc()[-1500:],
            }
        print(json.dumps(found))
        return
    import bugs

    if given.places:
        print(
            "PLACES "
            + json.dumps(kinds_for(given.places[0], given.places[2:], int(given.places[1])))
        )
        return
    ports = (
        given.pairs.split(",")
        if given.pairs != "equal"
        else [
            name
            for name, row in json.loads((HERE / "pairs" / "known.json").read_text()).items()
            if row["equal"]
        ]
    )
    kinds = (
        ["healthy"] if given.healthy else given.bugs.split(",") if given.bugs else list(bugs.BUGS)
    )
    results: dict[tuple[str, str], dict[str, Any]] = {}
    fits: dict[str, set[str]] = {}
    if not given.healthy:
        with ThreadPoolExecutor(given.jobs) as pool:
            fits = dict(
                zip(
                    ports,
                    pool.map(lambda pair: places(pair, kinds, given.seed, given.limit), ports),
                    strict=True,
                )
            )
        print(
            "places: " + ", ".join(f"{pair} {len(found)}" for pair, found in fits.items()),
            flush=True,
        )

    @cache
    def sound(pair: str, kind: str) -> bool:
        return bool(ask(pair, kind, given.seed, given.limit).get("passed"))

    def planted(kind: str) -> None:
        done = 0
        for pair in random.Random(f"{given.seed} {kind}").sample(ports, len(ports)):
            if kind != "healthy" and done >= given.each:
                break
            if kind != "healthy" and kind not in fits[pair]:
                continue
            found = ask(pair, kind, given.seed, given.limit)
            if found["status"] == "no place":
                continue
            if os.environ.get(PEER) and kind not in HEALTHY:
                found["sound"] = sound(pair, HEALTHY[kind in TRAINING])
            results[kind, pair] = found
            done += found["status"] in ("ran", "crash", "timeout")
            print(told(kind, pair, found), flush=True)
            if given.json:
                Path(given.json).write_text(
                    json.dumps(
                        {f"{one} {other}": value for (one, other), value in list(results.items())},
                        indent=1,
                    )
                )

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(planted, kinds))
    print(table(results))


if __name__ == "__main__":
    main()
