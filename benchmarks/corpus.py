"""Captures of all pairs, kept on disk, so that matching can be worked on in seconds without
frameworks.

    python benchmarks/corpus.py [PAIR ...] [--mode eval|train|both] [--cache DIR]
                                [--jobs 2] [--again]

Every pair is captured in a process of its own with a time limit. `load(name, mode)` gives back an
`Entry`: both ComputationGraphs, the row of known.json and the pair's facts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAIRS = HERE / "pairs"


@dataclass
class Entry:
    """One captured pair.

    Attributes:
        first, second: the Paddle and the torch graph; None where capture failed, the reason in
            `errors`.
        known: the pair's row of known.json.
        facts: category, packages, notes and custom weight names of the pair.
        seconds: time of each capture.
    """

    name: str
    mode: str
    first: Any = None
    second: Any = None
    known: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def default_cache() -> Path:
    return (
        Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "padiff-graph" / "corpus"
    )


def known() -> dict[str, Any]:
    rows: dict[str, Any] = json.loads((PAIRS / "known.json").read_text())
    return rows


def path_of(cache: Path, name: str, mode: str) -> Path:
    return cache / f"{name}.{mode}.pkl"


def load(name: str, mode: str = "eval", cache: Path | None = None) -> Entry:
    """One captured pair from the cache."""
    with path_of(cache or default_cache(), name, mode).open("rb") as file:
        entry: Entry = pickle.load(file)
    return entry


def cached(mode: str = "eval", cache: Path | None = None) -> list[str]:
    """Names of the pairs in the cache."""
    return sorted(
        path.name.removesuffix(f".{mode}.pkl")
        for path in (cache or default_cache()).glob(f"*.{mode}.pkl")
    )


def capture(name: str, mode: str, cache: Path, sides: tuple[str, ...]) -> Entry:
    """Captures one pair in this process and writes it to the cache.

    The other side is kept as it was.
    """
    sys.path.insert(0, str(PAIRS))
    cache = cache.resolve()
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(ImportError):
        import transformers  # noqa: F401 - must come before paddleformers
    import paddle
    import pairs

    from padiff_graph.capture.backend import backend

    entry = Entry(name, mode)
    if path_of(cache, name, mode).exists():
        entry = load(name, mode, cache)
    pair = pairs.PAIRS[name]
    entry.known = known().get(name, {})
    entry.facts = {
        "category": pair.category,
        "torch": pair.torch,
        "paddle": pair.paddle,
        "notes": pair.notes,
    }
    paddle.seed(0)
    torch.manual_seed(0)
    layer, module, (paddle_example, torch_example) = pair.fn()
    for model in (layer, module):
        model.train() if mode == "train" else model.eval()
    todo = {"first": (layer, paddle_example, "paddle"), "second": (module, torch_example, "torch")}
    for side in sides:
        model, example, framework = todo[side]
        start = time.perf_counter()
        try:
            graph = backend(framework).trace(model, example)
            entry.errors.pop(side, None)
        except Exception as error:  # a capture may fail in any way; the entry says how
            graph = None
            entry.errors[side] = f"{type(error).__name__}: {error}"
        entry.seconds[side] = time.perf_counter() - start
        setattr(entry, side, graph)
        write(entry, cache)
    return entry


def write(entry: Entry, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    path = path_of(cache, entry.name, entry.mode)
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    with scratch.open("wb") as file:
        pickle.dump(entry, file)
    scratch.replace(path)


def in_process(name: str, mode: str, cache: Path, sides: tuple[str, ...], limit: float) -> str:
    """Captures one pair in a fresh process; a line that says what came of it."""
    command = [
        sys.executable,
        str(HERE / "corpus.py"),
        name,
        "--mode",
        mode,
        "--cache",
        str(cache),
        "--here",
        "--sides",
        *sides,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, env=environment, timeout=limit, capture_output=True, text=True, check=False
        )
        said = (
            done.stdout.strip().splitlines()
            or done.stderr.strip().splitlines()
            or [f"exit code {done.returncode}"]
        )[-1]
        if done.returncode != 0:
            said = f"FAILED ({done.returncode}): {said}"
    except subprocess.TimeoutExpired:
        said = f"FAILED: more than {limit:.0f} s"
    return f"{name:32} {mode:5} {time.perf_counter() - start:6.1f} s  {said}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="*")
    parser.add_argument("--mode", choices=("eval", "train", "both"), default="eval")
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=float, default=300.0)
    parser.add_argument(
        "--sides", nargs="+", choices=("first", "second"), default=("first", "second")
    )
    parser.add_argument("--again", action="store_true", help="capture also what is in the cache")
    parser.add_argument("--here", action="store_true", help="capture one pair in this process")
    chosen = parser.parse_args()
    sides = tuple(chosen.sides)
    if chosen.here:
        entry = capture(chosen.pairs[0], chosen.mode, chosen.cache, sides)
        words = []
        for side in sides:
            graph = getattr(entry, side)
            words.append(
                f"{side} {len(graph)} nodes"
                if graph is not None
                else f"{side} {entry.errors.get(side, '')[:150]!r}"
            )
        print("; ".join(words))
        return
    names = chosen.pairs or sorted(known())
    modes = ("eval", "train") if chosen.mode == "both" else (chosen.mode,)
    todo = []
    for mode in modes:
        for name in names:
            there = path_of(chosen.cache, name, mode)
            if not chosen.again and there.exists():
                entry = load(name, mode, chosen.cache)
                if all(getattr(entry, side) is not None for side in sides):
                    continue
            todo.append((name, mode))
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for line in pool.map(
            lambda task: in_process(*task, chosen.cache, sides, chosen.limit), todo
        ):
            print(line, flush=True)


if __name__ == "__main__":
    # The classes of pickled entries must be found under this module's own name.
    import corpus

    corpus.main()
