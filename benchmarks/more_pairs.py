"""Published pairs beyond those the project grew on: each compared, in evaluation or training.

    python benchmarks/more_pairs.py                    all, each in a process of its own
    python benchmarks/more_pairs.py u_bloom u_dpt      some
    python benchmarks/more_pairs.py --training         in training mode, those that are equal
    python benchmarks/more_pairs.py --bugs             one planted bug each, those that are equal
    python benchmarks/more_pairs.py --first            the pairs that it grew on, in their place

`pairs/more.py` has the pairs, `pairs/more_known.json` which of them are equal and what differs in
the others; `pairs/pairs.py` and `pairs/known.json` are those of the pairs that it grew on. Right is
a pass, or proved rounding, where a pair is equal, and a failing finding where it differs. A bug is
right where it is detected at its exact place; which one is planted follows from `--seed`. Needs the
environment of `pairs/README.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "pairs"), str(HERE)]
OPTIONS = {"rtol": 1e-3, "atol": 1e-5}
TRIES = 8
"""Kinds of bugs that are tried until one has a place and an effect in a pair."""


def compared(name: str, training: bool) -> dict[str, Any]:
    """The verdict on one pair."""
    import more  # registers its pairs beside the others
    import pairs

    import padiff_graph as pg

    assert more.MORE
    layer, module, example = pairs.PAIRS[name].fn()
    layer.train() if training else layer.eval()
    module.train(training)
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        report = pg.compare(layer, module, example, auto_weights=True, options=OPTIONS)
    failing = [finding.cause for finding in report.findings if finding.fails]
    return {
        "passed": report.passed,
        "equivalent": report.equivalent,
        "told": failing[:3],
        "regions": dict(report.regions),
        "seconds": round(time.perf_counter() - start, 1),
    }


def planted(name: str, seed: int) -> dict[str, Any]:
    """What is said of one bug that was planted into the Paddle side."""
    import bugs
    import more  # registers the pairs
    import paddle
    import portbugs

    assert name in more.MORE
    kinds = [kind for kind in bugs.BUGS if kind not in portbugs.TRAINING]
    random.Random(f"{name} {seed}").shuffle(kinds)
    for kind in kinds[:TRIES]:
        paddle.utils.unique_name.switch()
        found = portbugs.case(name, kind, seed)
        if found["status"] == "ran":
            return {"kind": kind, **found}
    return {"kind": "", "status": "no bug of these has an effect"}


def asked(name: str, how: list[str], limit: float) -> dict[str, Any]:
    """What a process of its own says of one pair."""
    command = [sys.executable, __file__, "--one", name, *how]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {limit:g} s"}
    lines = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        return {"error": (ran.stderr.strip().splitlines() or ["no output"])[-1][:200]}
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return found


def right(found: dict[str, Any], equal: bool, bugs: bool) -> bool:
    """Whether the answer is what it should be."""
    if "error" in found:
        return False
    if bugs:
        return found["status"] != "ran" or bool(found["detected"] and found["exact"])
    fine = found["passed"] or found["equivalent"]
    return bool(fine) if equal else bool(found["told"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--bugs", action="store_true")
    parser.add_argument("--first", action="store_true", help="the pairs that it grew on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--one", action="store_true", help="in this process")
    given = parser.parse_args()
    if given.one:
        (name,) = given.names
        found = planted(name, given.seed) if given.bugs else compared(name, given.training)
        print("RESULT " + json.dumps(found))
        return
    truths = ("known.json", "more_known.json")
    first, further = (json.loads((HERE / "pairs" / name).read_text()) for name in truths)
    known = {**first, **further}
    how = [flag for flag in ("--training", "--bugs") if getattr(given, flag[2:])]
    corpus = first if given.first else further
    chosen = given.names or [name for name, row in corpus.items() if row["equal"] or not how]
    score = 0
    for name in chosen:
        found = asked(name, [*how, "--seed", str(given.seed)], given.limit)
        fine = right(found, known[name]["equal"], given.bugs)
        score += fine
        print(f"{'right' if fine else 'WRONG'} {name}: {json.dumps(found)[:400]}", flush=True)
    print(f"{score} of {len(chosen)} right")


if __name__ == "__main__":
    main()
