"""How many of the real pairs are captured, with what certificate and in what time.

    python benchmarks/capture.py [--pairs NAME ...] [--sides torch paddle] [--modes eval train]
                                 [--limit 180] [--jobs 2] [--json out.json]

Every pair and side runs in a process of its own with a time limit. A row says whether the capture
succeeded, whether the certificate is valid, its largest error, why not, which way of capturing it
took, and seconds for capturing and certifying against a bare forward and backward.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PAIRS = Path(__file__).parent / "pairs"
MARK = "capture-row: "


def rows_of(name: str, side: str, modes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Captures one side of one pair in each mode, in this process."""
    sys.path.insert(0, str(PAIRS))
    import pairs

    layer, module, (paddle_example, torch_example) = pairs.PAIRS[name].fn()
    model, example = (module, torch_example) if side == "torch" else (layer, paddle_example)
    for mode in modes:
        model.train() if mode == "train" else model.eval()
        yield {"pair": name, "side": side, "mode": mode, **row_of(model, example)}


def row_of(model: Any, example: Mapping[str, Any]) -> dict[str, Any]:
    """One capture, measured."""
    from padiff_graph.capture.backend import backend, framework_of
    from padiff_graph.capture.capture_errors import CaptureError
    from padiff_graph.capture.certificate import certify
    from padiff_graph.capture.engine import NotRunnable

    side = backend(framework_of(model))
    engine = side.engine(model)
    bare = 0.0
    for _ in range(2):  # the second run is warm
        with engine.quiet():
            started = time.perf_counter()
            run = engine.forward(example, grad=True)
            with contextlib.suppress(
                NotRunnable
            ):  # a recurrent layer of Paddle's has no gradient in eval mode
                engine.backward(
                    run,
                    {
                        leaf: engine.array(tensor)
                        for leaf, tensor in run.outputs.items()
                        if engine.array(tensor).dtype.kind == "f"
                    },
                )
            bare = time.perf_counter() - started
    refused: list[str] = []
    below = ""
    started = time.perf_counter()
    while True:
        try:
            graph = side.trace(model, example, below=below)
        except CaptureError as error:
            return {
                "captured": bool(refused),
                "valid": False,
                "reasons": [*refused, str(error)[:600]],
                "bare": bare,
                "seconds": time.perf_counter() - started,
            }
        found = certify(graph, engine, example)
        below = getattr(graph.session, "rung", "")
        if found.valid or not found.certified or not below:
            return {
                "captured": True,
                "valid": found.valid,
                "rung": below,
                "nodes": len(graph),
                "errors": {kind: float(error) for kind, error in found.errors.items()},
                "counts": dict(found.counts),
                "reasons": [*refused, *found.reasons],
                "notes": [note for note in graph.notes if not note.startswith("shapes are")],
                "bare": bare,
                "seconds": time.perf_counter() - started,
                "certificate_seconds": found.seconds,
            }
        refused.append(f"refused {below}: {'; '.join(found.reasons)}"[:400])


def measured(name: str, side: str, modes: Sequence[str], limit: float) -> list[dict[str, Any]]:
    """The rows of one pair and side from a child process; a crash or a time-out is a row too."""
    command = [sys.executable, __file__, "--one", name, side, *modes]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, env=environment, check=False
        )
        output, ending = (
            child.stdout,
            f"the process ended with code {child.returncode}: {child.stderr.strip()[-400:]}",
        )
    except subprocess.TimeoutExpired as expired:
        output = (
            (expired.stdout or b"").decode()
            if isinstance(expired.stdout, bytes)
            else expired.stdout or ""
        )
        ending = f"no answer within {limit:.0f} s"
    rows = [
        json.loads(line.removeprefix(MARK)) for line in output.splitlines() if line.startswith(MARK)
    ]
    missing = [mode for mode in modes if mode not in {row["mode"] for row in rows}]
    return rows + [
        {
            "pair": name,
            "side": side,
            "mode": mode,
            "captured": False,
            "valid": False,
            "reasons": [ending],
        }
        for mode in missing
    ]


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints failures, rungs and the table."""
    for row in rows:
        if not row["valid"]:
            print(
                f"\n{row['pair']} {row['side']} {row['mode']}: {'; '.join(row['reasons'])[:1200]}"
            )
    lower = [
        row
        for row in rows
        if row["valid"]
        and (row.get("reasons") or any("not captured by" in note for note in row.get("notes", ())))
    ]
    for row in lower:
        notes = [note for note in row["notes"] if "not captured by" in note]
        why = "; ".join([*row["reasons"], *notes])[:500]
        print(f"\n{row['pair']} {row['side']} {row['mode']} took {row['rung']}: {why}")
    print(
        f"\n{'side':7} {'mode':6} {'pairs':>5} {'captured':>8} {'valid':>6} {'share':>7}"
        f" {'median s':>9} {'95 % s':>7} {'x bare':>7} {'largest error':>14}"
    )
    for side, mode in dict.fromkeys((row["side"], row["mode"]) for row in rows):
        own = [row for row in rows if (row["side"], row["mode"]) == (side, mode)]
        good = [row for row in own if row["valid"]]
        seconds = sorted(row["seconds"] for row in good) or [0.0]
        ratio = sorted(row["seconds"] / max(row["bare"], 1e-9) for row in good) or [0.0]
        error = max((error for row in good for error in row["errors"].values()), default=0.0)
        print(
            f"{side:7} {mode:6} {len(own):5} {sum(row['captured'] for row in own):8} {len(good):6}"
            f" {len(good) / len(own):7.1%} {seconds[len(seconds) // 2]:9.1f}"
            f" {seconds[int(len(seconds) * 0.95)]:7.1f} {ratio[len(ratio) // 2]:7.1f} {error:14.1e}"
        )


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", nargs="*")
    parser.add_argument(
        "--sides", nargs="+", default=["torch", "paddle"], choices=["torch", "paddle"]
    )
    parser.add_argument("--modes", nargs="+", default=["eval", "train"], choices=["eval", "train"])
    parser.add_argument("--limit", type=float, default=180.0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, side, *modes = options.one
        for row in rows_of(name, side, modes):
            print(MARK + json.dumps(row), flush=True)
        return
    names = options.pairs or list(json.loads((PAIRS / "known.json").read_text()))
    jobs = [(name, side) for name in names for side in options.sides]
    with ThreadPoolExecutor(options.jobs) as pool:
        found: list[dict[str, Any]] = []
        for rows in pool.map(lambda job: measured(*job, options.modes, options.limit), jobs):
            found += rows
            for row in rows:
                print(
                    f"{row['pair']:32} {row['side']:7} {row['mode']:6}"
                    f" {'valid' if row['valid'] else 'CAPTURED' if row['captured'] else 'FAILED':9}"
                    f" {row.get('rung', ''):24} {row.get('seconds', 0):6.1f} s",
                    flush=True,
                )
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
