"""How long the commands take on small models, beyond imports: processor seconds of `suggest` and
`align`, and where they go.

    python benchmarks/speed.py                    the shipped ResNet-18
    python benchmarks/speed.py nlp_llama hf_bert  pairs of benchmarks/pairs, in their environment
    python benchmarks/speed.py --small            all of these with at most two million parameters

Each pair is a process of its own. A check of one Linear comes first, so that what the frameworks
import when something is first traced is not counted; that first time is shown as "imports".
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SMALL = 2_000_000
"""Parameters of a small model, at most."""
SHIPPED = "resnet_port"
LIMIT = 600
"""Seconds for a pair, at most."""
STEPS = 6
"""Steps that a row names, the longest first."""


def shipped() -> dict[str, Any]:
    """The pair that comes along."""
    sys.path.insert(0, str(HERE.parent))
    from padiff_graph_examples import resnet_port

    return {SHIPPED: resnet_port.healthy}


def published() -> dict[str, Any]:
    sys.path.insert(0, str(HERE / "pairs"))
    import pairs

    return {name: pair.fn for name, pair in pairs.PAIRS.items()}


def first_check() -> float:
    """Everything imported that the first trace of a process imports; processor seconds."""
    begun = time.process_time()
    import numpy as np
    import paddle
    import torch

    import padiff_graph as pg

    x = np.ones((2, 4), np.float32)
    example = {"input": paddle.to_tensor(x)}, {"input": torch.from_numpy(x)}
    pg.compare(paddle.nn.Linear(4, 4), torch.nn.Linear(4, 4), example)
    return time.process_time() - begun


def measured(name: str, small: bool) -> dict[str, Any]:
    """One pair in this process; of one that is too large its size alone."""
    known = shipped() if name == SHIPPED else published()
    if name not in known:
        sys.exit(f"{name} is no pair; known are {SHIPPED}, {', '.join(known)}")
    make = known[name]
    layer, module, example = make()
    size = sum(parameter.numel() for parameter in module.parameters())
    row: dict[str, Any] = {"pair": name, "parameters": size}
    if small and size > SMALL:
        return row
    row["imports"] = first_check()
    import padiff_graph as pg

    begun = time.process_time()
    pg.suggest_layer_map(layer, module, example)
    row["suggest"] = time.process_time() - begun
    layer, module, example = make()
    begun = time.process_time()
    report = pg.compare(layer, module, example)
    row["align"] = time.process_time() - begun
    row["steps"] = dict(sorted(report.timings.items(), key=lambda step: -step[1])[:STEPS])
    return row


def rows(names: list[str], small: bool) -> Iterator[dict[str, Any]]:
    """Each pair measured in a process of its own."""
    for name in names:
        command = [sys.executable, "-W", "ignore", __file__, "--one", name]
        command += ["--small"] if small else []
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=LIMIT, env=environment
            )
            row = json.loads(done.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            print(f"{name:28} not measured: longer than {LIMIT} s", flush=True)
            continue
        except (ValueError, IndexError):  # it ended before it printed its row
            last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
            print(f"{name:28} not measured, exit {done.returncode}: {last}", flush=True)
            continue
        if not small or row["parameters"] <= SMALL:
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", nargs="*")
    parser.add_argument("--small", action="store_true", help="all published pairs that are small")
    parser.add_argument("--one", help="one pair in this process, as JSON")
    parser.add_argument("--json", type=Path, help="write the rows to a file")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one, asked.small)))
        return
    names = asked.pairs or (list(published()) if asked.small else list(shipped()))
    kept = []
    columns = f"{'imports':>8} {'suggest':>8} {'align':>8}"
    print(f"{'pair':28} {'parameters':>11} {columns}  wall of steps")
    for row in rows(names, asked.small):
        kept.append(row)
        steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in row["steps"].items())
        print(
            f"{row['pair']:28} {row['parameters']:11,} {row['imports']:8.2f} "
            f"{row['suggest']:8.2f} {row['align']:8.2f}  {steps}",
            flush=True,
        )
    if kept:
        medians = [statistics.median(row[key] for row in kept) for key in ("suggest", "align")]
        print(f"median of {len(kept)}: suggest {medians[0]:.2f} s, align {medians[1]:.2f} s")
    if asked.json:
        asked.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
