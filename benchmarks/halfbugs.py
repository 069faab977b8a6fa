"""The half-precision benchmark: bugs of casts planted at random places of published pairs.

    python benchmarks/halfbugs.py                       the whole table (an hour on two cores)
    python benchmarks/halfbugs.py --pairs nlp_llama,hf_bert --plants softmax_in_low
    python benchmarks/halfbugs.py --healthy             healthy pairs alone
    python benchmarks/halfbugs.py --rows rows.jsonl     in pieces: rows are kept as they come
    python benchmarks/halfbugs.py --rows rows.jsonl --read   the table of what was kept

Each pair runs in a process of its own. A plant is put into the Paddle side (`halfplants.py`); one
that changes no number of the emulated run is not counted, nor is one in a layer where the pair is
told to differ without it, since what it adds there cannot be told apart. Scored: detected (a
failing finding that the healthy pair has not), at the exact place (the path of the first such
finding), with the right cause, and unseen in float32 (the outputs move by rounding at most; with
--full the check in float32 finds nothing either). Findings on healthy pairs are listed with both
sources.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "pairs"), str(HERE)]

PAIRS = (
    "nlp_llama",
    "nlp_llama+loss",
    "nlp_llama+padded",
    "pf_llama",
    "pf_qwen2",
    "pf_ernie4_5",
    "pf_qwen2_moe",
    "hf_t5",
    "hf_bert",
    "hf_gpt2",
    "hf_opt",
    "hf_bart",
    "hf_clip_vision",
    "hf_clip",
    "df_unet2d",
    "df_autoencoder_kl",
    "df_t2iadapter",
)
"""Language, vision-language and diffusion models; with "+loss" a cross entropy on top, with
"+padded" a mask that leaves the first places of each row out, so that those may look at nothing."""
TOLERANCE = {"rtol": 1e-2, "atol": 1e-3, "diff_phase": "forward"}
"""As of the other benchmarks."""


LAST_PLACES = 2.0**-22
"""Two units in the last place of float32, of numbers about one: what a plant changes by another
order of float32 alone."""
PADDING = 2
"""Places at the beginning of each row that a mask leaves out."""
SINGLE = 1e-5
"""How far rounding alone moves an output in float32, where casts are no operations."""


def made(name: str) -> tuple[Any, Any, Any]:
    """A pair and its examples, in evaluation mode, always with the same weights."""
    import halfloss
    import pairs
    import torch

    torch.manual_seed(0)
    plain, _, further = name.partition("+")
    layer, module, examples = pairs.PAIRS[plain].fn()
    layer.eval()
    module.eval()
    for parameter in module.parameters():
        if parameter.numel() > 1 and parameter.min() == parameter.max():  # a scale, a shift
            parameter.data += 0.3 * torch.randn_like(parameter)
    if further == "loss":
        return halfloss.with_loss(layer, module, examples)
    return layer, module, padded(module, examples) if further else examples


def padded(module: Any, examples: Any) -> Any:
    """The examples with a mask; attention is spelled out in torch too, since its kernel answers a
    place that may look at nothing in a way of its own."""
    import paddle
    import torch

    module.config._attn_implementation = "eager"
    mask = torch.ones_like(examples[1]["input_ids"])
    mask[:, :PADDING] = 0
    ours = paddle.to_tensor(mask.numpy())
    return {**examples[0], "attention_mask": ours}, {**examples[1], "attention_mask": mask}


def outputs(layer: Any, example: Any) -> list[Any]:
    """What the Paddle side yields in float32."""
    import paddle

    import padiff_graph.capture.leaf_names as leaves

    with paddle.no_grad():
        result = layer(**example)
    tensors = leaves.leaves(result, lambda value: isinstance(value, paddle.Tensor)).values()
    return [tensor.astype("float64").numpy() for tensor in tensors]


def apart(before: list[Any], after: list[Any]) -> float:
    """The largest change of an output, relative to its largest value."""
    import numpy as np

    changes = [
        float(np.abs(one - other).max(initial=0.0) / max(np.abs(one).max(initial=0.0), 1e-30))
        for one, other in zip(before, after, strict=True)
    ]
    return max(changes, default=0.0)


@dataclass(frozen=True)
class Healthy:
    """A pair without a plant: its numbers, what its findings say, their places in the Paddle model,
    and what the check in float32 says."""

    numbers: list[float]
    keys: set[Any]
    places: frozenset[str]
    single: list[str]


class Pair:
    """A pair, and what is known of it when healthy."""

    def __init__(self, name: str, full: bool) -> None:
        self.name = name
        self.full = full
        self.known: dict[str, Healthy] = {}

    def fresh(self) -> tuple[Any, Any, Any]:
        """The pair with its weights copied, ready to be planted in."""
        import bugs

        import padiff_graph as pg

        layer, module, examples = made(self.name)
        with contextlib.redirect_stdout(io.StringIO()):
            pg.assign_weight(layer, module, example_inp=examples)
        layer.__dict__["_bench_inputs"] = examples[0]
        bugs.executed(layer, examples[0])
        return layer, module, examples

    def asked(
        self, ready: tuple[Any, Any, Any], precision: str, backward: bool = False
    ) -> tuple[Any, Any, list[str]]:
        """Failing findings of half precision, its numbers, and what the check in float32 says."""
        import padiff_graph as pg
        from padiff_graph.layer_map.layer_map import LayerMap
        from padiff_graph.precision.lens import look

        layer, module, examples = ready
        resolved = LayerMap().resolve(layer, module)
        seen = look(
            (layer, module), examples, precision, resolved, ("paddle", "torch"), None, backward
        )
        single: list[str] = []
        if self.full:
            with contextlib.redirect_stdout(io.StringIO()):
                report = pg.compare(layer, module, examples, options=TOLERANCE)
            single = [finding.cause[:200] for finding in report.findings if finding.fails]
        return [finding for finding in seen.findings if finding.fails], seen.result, single

    def healthy(self, precision: str) -> Healthy:
        """What is seen without a plant; printed when first asked."""
        if precision in self.known:
            return self.known[precision]
        start = time.perf_counter()
        found, result, single = self.asked(self.fresh(), precision, backward=True)
        row = {
            "status": "ran",
            "plant": "healthy",
            "precision": precision,
            "seconds": round(time.perf_counter() - start, 1),
            "alarms": [(*key(f), f.paddle_source, f.torch_source, f.error) for f in found],
            "single": single,
            "gradients": 0 if result is None else len(result.gradients),
        }
        self.said(row)
        places = {paddle_path for finding in found for paddle_path, _ in finding.places}
        keys = {key(finding) for finding in found}
        self.known[precision] = Healthy(numbers(result), keys, frozenset(places), single)
        return self.known[precision]

    def said(self, row: dict[str, Any]) -> None:
        """A case, for the process that asked."""
        print(json.dumps({"pair": self.name, **row}), flush=True)

    def case(self, ready: tuple[Any, Any, Any], planted: Any, before: list[Any]) -> dict[str, Any]:
        """A plant, examined."""
        healthy = self.healthy(planted.precision)
        start = time.perf_counter()
        found, result, says = self.asked(ready, planted.precision)
        if result is not None and same(numbers(result), healthy.numbers):
            return {"status": "no effect"}
        if any(below(place, planted.path) for place in healthy.places):
            return {"status": "differs without it"}
        new = [finding for finding in found if key(finding) not in healthy.keys]
        here = (planted.path, *planted.also)
        first = new[0] if new else None
        shown = [finding.cause_id for finding in new if finding.paddle_path in here]
        change = apart(before, outputs(ready[0], ready[2][0]))
        return {
            "status": "ran",
            "change": change,
            "seconds": round(time.perf_counter() - start, 1),
            "detected": bool(new),
            "exact": first is not None and first.paddle_path in here,
            "cause": any(name in planted.causes for name in shown),
            "unseen": change <= SINGLE and set(says) <= set(healthy.single),
            "findings": [(*key(f), f.error) for f in new[:5]],
            "more": len(new),
        }


LAST = 3
"""How many of the last operations are held against each other to see whether an output moves."""


def same(one: list[float], other: list[float]) -> bool:
    """Whether two runs' numbers are the same, but for what float32 rounds: a plant in what is in
    float32 anyhow does no more."""
    return len(one) == len(other) and all(
        first == second or abs(first - second) <= LAST_PLACES
        for first, second in zip(one, other, strict=True)
    )


def numbers(result: Any) -> list[float]:
    """What a plant changes where it changes an output: the Paddle side's largest errors, and its
    mean errors at the last operations, which are finer."""
    if result is None:
        return []
    errors = [place.first_error for place in result.places[-LAST:]]
    for output in result.outputs:
        errors += [output.first_error, output.difference]
    return errors


def below(place: str, path: str) -> bool:
    """Whether a place lies in the layer of a path."""
    return not path or place == path or place.startswith(f"{path}.")


def key(finding: Any) -> tuple[str, str, str, str]:
    """What a finding says, for comparing it with the healthy pair's."""
    return finding.cause_id, finding.paddle_path, finding.torch_path, finding.cause


def of_pair(name: str, kinds: list[str], given: argparse.Namespace) -> None:
    """All cases of a pair, a line each."""
    from halfplants import PLANTS

    pair = Pair(name, given.full)
    pair.healthy("bfloat16")
    kinds = [] if given.healthy else kinds or list(PLANTS)
    sound = pair.fresh() if kinds else None
    for kind in kinds:
        ready = copy.deepcopy(sound[0]), *sound[1:]
        before = outputs(ready[0], ready[2][0])
        planted = PLANTS[kind](ready[0], random.Random(f"{name} {kind} {given.seed}"))
        if planted is None:
            continue
        row = {"plant": kind, "path": planted.path, "what": planted.what}
        try:
            row |= pair.case(ready, planted, before)
        except Exception as error:
            row |= {"status": "crash", "error": f"{type(error).__name__}: {error}"}
            traceback.print_exc()
        pair.said(row)


def ran(pair: str, kinds: list[str], given: argparse.Namespace) -> list[dict[str, Any]]:
    """What the process of a pair says, as far as it comes."""
    command = [sys.executable, __file__, "--pair", pair, "--seed", str(given.seed)]
    command += ["--healthy"] if given.healthy else ["--plants", ",".join(kinds)]
    command += ["--full"] if given.full else []
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        timer = threading.Timer(given.limit, process.kill)
        timer.start()
        for line in process.stdout or ():
            if line.startswith('{"pair"'):
                rows.append(json.loads(line))
                print(told(rows[-1]), flush=True)
                if given.rows:
                    with given.rows.open("a") as file:
                        file.write(line)
        timer.cancel()
        if process.wait() != 0 or not rows:
            errors.seek(0)
            rows.append({"pair": pair, "plant": "healthy", "status": "crash"})
            print(f"{pair} ended with {process.returncode}: {errors.read()[-600:]}", flush=True)
    return rows


def told(row: dict[str, Any]) -> str:
    """A case in a line, with what it missed."""
    head = f"{row['plant']} {row['pair']}: "
    if row["status"] != "ran":
        return head + f"{row['status']} {row.get('path', '')} {row.get('error', '')[:300]}"
    if row["plant"] == "healthy":
        lines = [
            head + f"{len(row['alarms'])} findings, {row['gradients']} gradients, "
            f"{row['seconds']} s {row['single']}"
        ]
        return "\n   ".join([*lines, *map(str, row["alarms"])])
    missed = [what for what in ("detected", "exact", "cause", "unseen") if not row[what]]
    says = f"missed {', '.join(missed)}" if missed else "right"
    lines = [head + f"at {row['path']}: {says} (float32 moves by {row['change']:.1g})"]
    return "\n   ".join([*lines, *map(str, row["findings"] if missed else row["findings"][1:])])


def table(rows: list[dict[str, Any]]) -> str:
    """Counts by plant, and the findings on healthy pairs."""
    by: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by[row["plant"]].append(row)
    columns = ("detected", "exact", "cause", "unseen")
    lines = [f"{'plant':30} {'ran':>4}" + "".join(f"{name:>10}" for name in columns)]
    sums = [0] * 5
    for kind, cases in by.items():
        counted = [row for row in cases if row["status"] == "ran"]
        if kind == "healthy" or not counted:
            continue
        numbers = [len(counted), *(sum(row[name] for row in counted) for name in columns)]
        sums = [total + number for total, number in zip(sums, numbers, strict=True)]
        lines.append(f"{kind:30} {numbers[0]:4}" + "".join(f"{n:10}" for n in numbers[1:]))
    shares = "".join(f"{100 * number / max(sums[0], 1):9.1f}%" for number in sums[1:])
    lines.append(f"{'all':30} {sums[0]:4}" + shares)
    for status in ("no effect", "differs without it", "crash"):
        lines.append(f"{status}: {sum(row['status'] == status for row in rows)}")
    sound = [row for row in by["healthy"] if row["status"] == "ran"]
    clean = [row for row in sound if not row["alarms"]]
    lines.append(f"healthy: {len(sound)} runs, {len(clean)} without a finding")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", help=argparse.SUPPRESS)
    parser.add_argument("--pairs", default=",".join(PAIRS))
    parser.add_argument("--plants", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=1800, help="seconds for a pair")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--healthy", action="store_true")
    parser.add_argument("--full", action="store_true", help="the check in float32 too")
    parser.add_argument("--rows", type=Path, help="a file of JSON lines to add to, or to read")
    parser.add_argument("--read", action="store_true", help="the table of --rows, nothing is run")
    given = parser.parse_args()
    kinds = given.plants.split(",") if given.plants else []
    if given.pair:
        of_pair(given.pair, kinds, given)
        return
    if given.read:
        print(table(latest(given.rows)))
        return
    with ThreadPoolExecutor(given.jobs) as pool:
        by_pair = pool.map(lambda pair: ran(pair, kinds, given), given.pairs.split(","))
        rows = [row for rows in by_pair for row in rows]
    print(table(latest(given.rows) if given.rows else rows))


def latest(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, of each case the last."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return list(
        {(row["pair"], row["plant"], row.get("precision", "")): row for row in rows}.values()
    )


if __name__ == "__main__":
    main()
