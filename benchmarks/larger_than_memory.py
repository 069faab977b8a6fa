"""A decoder of two billion parameters a side, larger than the memory that the process may have:
compared eagerly, by certified captures and region by region, forward and backward.

    python benchmarks/larger_than_memory.py --folder DIR [--blocks 24] [--width 2560] [--limit 6]
        [--bug] [--own-weights]

The models are those of `benchmarks/large.py`, built without numbers. The torch side's weights are
written to shards in DIR, and the Paddle side's as a conversion would: transposed and split. Then
the process is limited to so many GB of address space (RLIMIT_AS) and both are compared. `--bug`
puts one wrong epsilon into the middle block of the Paddle side; with `--own-weights` each side
keeps the weights of its own files, which are then compared too. Gradients that wait go to
TMPDIR. Prints the verdict, seconds by step and the peak memory.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import torch

import padiff_graph as pg
from benchmarks.large import PaddleDecoder, TorchDecoder
from padiff_graph.checkpoint.checkpoint_files import write_checkpoint
from padiff_graph.weight_files.late_files import late_files

Array = np.ndarray[Any, Any]
Kept = dict[str, tuple[tuple[int, ...], Callable[[], Array]]]
"""Shape of each tensor, and how its numbers are made."""
SHARD = 1 << 30
"""Bytes of a shard at least."""
WORDS, LENGTH = 32000, 16
OPTIONS = {"rtol": 1e-4, "atol": 1e-5, "compare_mode": "mean"}
SETTINGS: dict[str, Any] = {}
"""The sizes of this run, for the functions that the sides name."""


def torch_side() -> Any:
    """The reference, on the meta device, with the inputs of both."""
    with torch.device("meta"):
        module = TorchDecoder(*SETTINGS["sizes"])
    return module, {"ids": torch.from_numpy(_ids())}


def paddle_side() -> Any:
    """The port, under LazyGuard."""
    with paddle.LazyGuard():
        layer = PaddleDecoder(*SETTINGS["sizes"])
    if SETTINGS["bug"]:
        layer.layers[len(layer.layers) // 2].post_norm.epsilon = 1e-5
    return layer, {"input_ids": paddle.to_tensor(_ids())}


def _ids() -> Array:
    return np.random.default_rng(0).integers(0, WORDS, (1, LENGTH))


def torch_weights() -> Kept:
    """Random weights: of variance one over the inputs, scales about one."""
    module, _ = torch_side()

    def numbers(number: int, shape: tuple[int, ...]) -> Array:
        drawn = np.random.default_rng(number).standard_normal(shape, np.float32)
        if len(shape) == 1:
            return np.asarray(1 + 0.1 * drawn, np.float32)
        return np.asarray(drawn * np.float32(shape[-1] ** -0.5), np.float32)

    return {
        name: (tuple(tensor.shape), lambda i=number, s=tuple(tensor.shape): numbers(i, s))
        for number, (name, tensor) in enumerate(module.named_parameters())
    }


def paddle_weights(folder: Path) -> Kept:
    """The same numbers as a conversion leaves them."""
    layer, _ = paddle_side()
    torch_own = late_files(folder)
    kept: Kept = {}
    for name, tensor in layer.named_parameters():
        source, part, parts = _source(name)

        def numbers(source: str = source, part: int = part, parts: int = parts) -> Array:
            whole = np.asarray(torch_own[source])
            piece = np.split(whole, parts)[part]
            return np.ascontiguousarray(piece.T if "word_embeddings" not in source else piece)

        kept[name] = tuple(int(extent) for extent in tensor.shape), numbers
    return kept


PARTS = {
    "q_proj.weight": ("qkv.weight", 0, 3),
    "k_proj.weight": ("qkv.weight", 1, 3),
    "v_proj.weight": ("qkv.weight", 2, 3),
    "o_proj.weight": ("out.weight", 0, 1),
    "gate_proj.weight": ("gate_up.weight", 0, 2),
    "up_proj.weight": ("gate_up.weight", 1, 2),
    "down_proj.weight": ("down.weight", 0, 1),
    "input_norm.scale": ("norm_in.weight", 0, 1),
    "post_norm.scale": ("norm_mid.weight", 0, 1),
    "lm_head.weight": ("head.weight", 0, 1),
    "final_norm.scale": ("norm.weight", 0, 1),
    "word_embeddings.weight": ("embed.weight", 0, 1),
}
"""End of a Paddle name -> the torch tensor that holds it, which part of how many."""


def _source(name: str) -> tuple[str, int, int]:
    block = ""
    if name.startswith("layers."):
        _, number, name = name.split(".", 2)
        block = f"blocks.{number}."
    source, part, parts = PARTS[name]
    return block + source, part, parts


def write(folder: Path, weights: Kept) -> None:
    """Shards with an index, one tensor in memory at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    places: dict[str, str] = {}
    for number, shard in enumerate(_shards(weights)):
        file = f"model-{number:05d}.safetensors"
        write_checkpoint(
            folder / file, {name: (weights[name][0], "F32", weights[name][1]) for name in shard}
        )
        places |= dict.fromkeys(shard, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def _shards(weights: Kept) -> Iterator[list[str]]:
    shard: list[str] = []
    size = 0
    for name, (shape, _) in weights.items():
        shard.append(name)
        size += 4 * math.prod(shape)
        if size >= SHARD:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--width", type=int, default=2560)
    parser.add_argument("--limit", type=float, default=6.0)
    parser.add_argument("--bug", action="store_true")
    parser.add_argument("--own-weights", action="store_true")
    arguments = parser.parse_args()
    width = arguments.width
    inner, heads = width * 43 // 16, width // 128
    SETTINGS.update(sizes=(arguments.blocks, width, inner, heads, WORDS), bug=arguments.bug)
    folders = [
        arguments.folder / f"{side}-{arguments.blocks}-{width}" for side in ("paddle", "torch")
    ]
    started = time.perf_counter()
    for folder, made in (
        (folders[1], torch_weights),
        (folders[0], lambda: paddle_weights(folders[1])),
    ):
        if not (folder / "model.safetensors.index.json").exists():
            write(folder, made())
    count = sum(array.size for array in late_files(folders[1]).values())
    spent = time.perf_counter() - started
    size = f"{count / 1e9:.2f} billion parameters a side, {4 * count / 1e9:.1f} GB"
    print(f"{size}; written in {spent:.0f} s", flush=True)
    limit = int(arguments.limit * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    report = pg.compare(
        pg.Side("benchmarks.larger_than_memory:paddle_side", weights=folders[0]),
        pg.Side("benchmarks.larger_than_memory:torch_side", weights=folders[1]),
        auto_weights=not arguments.own_weights,
        options=OPTIONS,
    )
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report.show()
    for obligation in report.obligations:
        print(f"{obligation.name}: {obligation.status}; {obligation.by}")
    print({name: round(spent, 1) for name, spent in report.timings.items()})
    print(
        f"{seconds:.0f} s; peak memory {peak / 1e6:.2f} GB, of which {before / 1e6:.2f} GB stood "
        f"before; address space limited to {arguments.limit} GB"
    )


if __name__ == "__main__":
    from benchmarks import larger_than_memory

    larger_than_memory.main()  # the sides import this module by its name
