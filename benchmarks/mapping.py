"""How many of the real pairs in `pairs/` get their whole parameter map right, without a hint.

    python benchmarks/mapping.py                     every pair, each in a process of its own
    python benchmarks/mapping.py tv_resnet18 hf_bert  some
    python benchmarks/mapping.py --out result.json    figures as JSON

The torch model's weights and statistics are randomised first, so that ones and zeros hide nothing;
`assign_weight` copies them; then both models run eagerly in float64 in eval mode, and the map is
right where every output that both have is equal to 1e-9 of its largest value (1e-5 where a network
computes in float32 by itself).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 300
RIGHT = {"float64": 1e-9, "float32": 1e-5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--one", action="store_true", help="run the pair in this process and print its JSON"
    )
    parser.add_argument(
        "--lock",
        default="",
        help="a file to hold locked while a pair runs, where the machine is shared",
    )
    parser.add_argument("--part", default="", help="1/2 runs every second pair, 2/2 the others")
    parser.add_argument(
        "--verbose", action="store_true", help="with --one: rows, notes and tracebacks"
    )
    options = parser.parse_args()
    sys.path.insert(0, str(HERE / "pairs"))
    if options.one:
        print("RESULT " + json.dumps(measure(options.names[0], options.verbose)))
        return
    known = json.loads((HERE / "pairs" / "known.json").read_text())
    results = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    order = options.names or sorted(known, key=lambda name: (not known[name]["equal"], name))
    unknown = [name for name in order if name not in known]
    if unknown:
        parser.error(f"no pairs named {', '.join(unknown)}")
    if options.part:
        share, shares = (int(number) for number in options.part.split("/"))
        order = order[share - 1 :: shares]
    for name in order:
        results[name] = {
            **isolated(name, options.lock),
            "expected_equal": known[name]["equal"],
            "difference": known[name]["difference"],
        }
        print(line(name, results[name]), flush=True)
        if options.out:
            options.out.write_text(json.dumps(results, indent=1))
    summary({name: results[name] for name in order})


def isolated(name: str, lock: str) -> dict:
    command = [sys.executable, __file__, "--one", name]
    if lock:
        command = ["flock", lock, *command]
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        return {"verdict": "timeout", "reason": f"no answer in {SECONDS} s", "seconds": SECONDS}
    for text in done.stdout.splitlines():
        if text.startswith("RESULT "):
            return json.loads(text.removeprefix("RESULT "))
    return {
        "verdict": "crash",
        "reason": (done.stderr.strip().splitlines() or ["no output"])[-1][:300],
        "seconds": time.perf_counter() - started,
    }


def line(name: str, found: dict) -> str:
    rows = found.get("rows", {})
    shown = " ".join(f"{key}={value}" for key, value in rows.items())
    error = f"{found['error']:.1e} {found['dtype']}" if found.get("error") is not None else ""
    mark = "equal" if found["expected_equal"] else "differs"
    return (
        f"{name:34s} {found['verdict']:8s} {mark:8s} {error:18s}"
        f" {found.get('align_seconds', 0):6.1f}s {shown} {found.get('reason', '')[:200]}"
    )


def summary(results: dict) -> None:
    for equal in (True, False):
        chosen = [found for found in results.values() if found["expected_equal"] == equal]
        counts: dict[str, int] = {}
        for found in chosen:
            counts[found["verdict"]] = counts.get(found["verdict"], 0) + 1
        print(
            f"{'equal' if equal else 'differing'} pairs: {len(chosen)}: "
            + ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        )


# -- one pair


def measure(name: str, verbose: bool) -> dict:
    import paddle
    import pairs

    paddle.utils.unique_name.switch()
    layer, module, example = pairs.PAIRS[name].fn()
    layer.eval()
    module.eval()
    randomise(module)
    from padiff_graph.alignment.align import align
    from padiff_graph.weights.assignment import WeightAlignmentError, assign_parameters

    found: dict = {}
    started = time.perf_counter()
    try:
        alignment = align(layer, module, example, certify=False)
    except Exception as error:
        if verbose:
            traceback.print_exc()
        return {
            "verdict": "error",
            "reason": f"{type(error).__name__}: {error}"[:500],
            "seconds": time.perf_counter() - started,
        }
    found["align_seconds"] = round(time.perf_counter() - started, 2)
    found["timings"] = {key: round(value, 2) for key, value in alignment.timings.items()}
    rows: dict[str, int] = {}
    for row in alignment.matching.parameters:
        rows[row.status] = rows.get(row.status, 0) + 1
    rows["proved"] = sum(row.proved for row in alignment.matching.parameters)
    rows["unused"] = len(alignment.matching.unused_second)
    found["rows"] = rows
    found["differences"] = [difference.cause_id for difference in alignment.differences]
    if verbose:
        show(alignment)
    try:
        assign_parameters(alignment, layer, module)
    except WeightAlignmentError as error:
        missing = ", ".join(error.parameters[:6])
        return {**found, "verdict": "open", "reason": f"{len(error.parameters)} open: {missing}"}
    try:
        dtype, error = compare(layer, module, example, verbose)
    except Exception as failure:
        if verbose:
            traceback.print_exc()
        return {**found, "verdict": "unrun", "reason": f"{type(failure).__name__}: {failure}"[:500]}
    found.update(dtype=dtype, error=error)
    return {
        **found,
        "verdict": "right" if error < RIGHT[dtype] else "near" if error < 1e-3 else "wrong",
        "reason": "",
    }


def show(alignment) -> None:
    matching = alignment.matching
    partner = matching.partner()
    for node in matching.first.nodes:
        other = matching.second.nodes[partner[node.id]] if node.id in partner else None
        if not node.leaf:
            shape = node.outputs[0].shape if node.outputs else ""
            match = next((match for match in matching.matches if match.first == node.id), None)
            theirs = (
                f"{other.id} {other.op} {other.path}"
                f" {other.outputs[0].shape if other.outputs else ''} [{match.rung}"
                f" {match.confidence:.2f}]"
                if other is not None
                else "-"
            )
            print(f"{node.id:5d} {node.op} {node.path} {shape}  |  {theirs}")
    taken = set(partner.values())
    for node in matching.second.nodes:
        if not node.leaf and node.id not in taken:
            print(
                f"    -  |  {node.id} {node.op} {node.path}"
                f" {node.outputs[0].shape if node.outputs else ''}"
            )
    for row in matching.parameters:
        print(
            "ROW",
            row.first,
            "<-",
            [piece.second for piece in row.pieces],
            row.transform,
            f"{row.confidence:.2f}",
            row.status,
            "proved" if row.proved else "",
            row.reason,
        )
    print("unused", matching.unused_second, "\nunread", matching.unread_second)
    for difference in alignment.differences:
        print(
            "DIFF",
            difference.kind,
            difference.cause_id,
            difference.first_path,
            difference.second_path,
        )
    print(
        "points",
        len(matching.points),
        "agreeing",
        len(alignment.proof.agreeing) if alignment.proof else None,
        "wrong layout",
        len(alignment.proof.disagreeing) if alignment.proof else None,
    )
    for note in alignment.notes:
        print("NOTE", note)
    print("TIMES", alignment.timings)


def randomise(module) -> None:
    """Random weights and statistics of the size that they had."""
    import torch

    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for _, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            if isinstance(tensor, torch.nn.Parameter):
                spread = float(tensor.std()) if tensor.numel() > 1 else 0.0
                constant = spread < 1e-12
                tensor.copy_(
                    tensor + 0.1 * noise if constant else noise * max(spread, 1e-3) + tensor.mean()
                )
        for child in module.modules():
            if getattr(child, "running_mean", None) is not None:
                child.running_mean.copy_(
                    0.1 * torch.randn(child.running_mean.shape, generator=generator)
                )
                child.running_var.copy_(
                    0.5 + torch.rand(child.running_var.shape, generator=generator)
                )


def compare(layer, module, example, verbose: bool) -> tuple[str, float]:
    """The dtype that both could be run in, and the largest error of the outputs that both have."""
    single = largest(*run(layer, module, example, False), verbose)
    try:
        double = largest(*run(layer, module, example, True), verbose)
    except Exception:  # networks that hold float32 by themselves refuse mixed dtypes
        if verbose:
            traceback.print_exc()
        return "float32", single
    if RIGHT["float64"] <= double < RIGHT["float32"] and computes_single(layer, module):
        return "float32", double
    return "float64", double


def computes_single(layer, module) -> bool:
    """Whether the networks hold float32 although everything was made float64.

    Casts, tables, attributes.
    """
    import inspect

    text = "".join(
        inspect.getsource(sys.modules[type(part).__module__])
        for part in {
            type(part): part
            for model in (layer.sublayers(include_self=True), module.modules())
            for part in model
        }.values()
        if type(part).__module__ in sys.modules
    )
    return "float32" in text or ".float()" in text or "ardsigmoid" in text or "ardswish" in text


def run(layer, module, example, double: bool) -> tuple[dict, dict]:
    import numpy as np
    import paddle
    import torch

    from padiff_graph.capture.leaf_names import leaves, output_leaves, replace

    kind = "float64" if double else "float32"
    if (
        double
    ):  # Paddle cannot convert the dropout state of a recurrent layer, and would convert indices
        whole = [
            (part, name, tensor)
            for part in layer.sublayers(include_self=True)
            for name, tensor in part._buffers.items()
            if tensor is not None and not tensor.is_floating_point()
        ]
        layer.to(dtype=kind)
        for part, name, tensor in whole:
            part._buffers[name] = tensor
    module.to(getattr(torch, kind))
    first, second = example
    paddles, torches = (
        (lambda value: isinstance(value, paddle.Tensor)),
        (lambda value: isinstance(value, torch.Tensor)),
    )
    first = replace(
        first,
        paddles,
        {
            name: leaf.astype(kind)
            for name, leaf in leaves(first, paddles).items()
            if leaf.is_floating_point()
        },
    )
    second = replace(
        second,
        torches,
        {
            name: leaf.to(getattr(torch, kind))
            for name, leaf in leaves(second, torches).items()
            if leaf.is_floating_point()
        },
    )
    before = paddle.get_default_dtype(), torch.get_default_dtype()
    paddle.set_default_dtype(kind)
    torch.set_default_dtype(getattr(torch, kind))
    try:
        with torch.no_grad(), paddle.no_grad():
            one, other = layer(**first), module(**second)
    finally:
        paddle.set_default_dtype(before[0])
        torch.set_default_dtype(before[1])
    return (
        {name: np.asarray(leaf.numpy()) for name, leaf in output_leaves(one, paddles).items()},
        {name: leaf.detach().numpy() for name, leaf in output_leaves(other, torches).items()},
    )


def largest(ours: dict, theirs: dict, verbose: bool) -> float:
    """Every output of the side with fewer, against its best counterpart of the other."""
    import numpy as np

    fewer, more = (ours, theirs) if len(ours) <= len(theirs) else (theirs, ours)
    worst = 0.0
    for name, array in fewer.items():
        errors = []
        for other in more.values():
            if array.size == other.size and (
                array.shape == other.shape or array.size == 1 or array.ndim != other.ndim
            ):
                flat, same = (
                    array.reshape(-1).astype(np.float64),
                    other.reshape(-1).astype(np.float64),
                )
                errors.append(
                    float(
                        np.abs(flat - same).max(initial=0.0)
                        / max(np.abs(same).max(initial=0.0), 1e-30)
                    )
                )
            elif sorted(array.shape) == sorted(other.shape) and array.ndim == 3:
                flat, same = array.swapaxes(0, 1).reshape(-1), other.reshape(-1)
                errors.append(
                    float(np.abs(flat - same).max() / max(np.abs(same).max(), 1e-30))
                    if array.swapaxes(0, 1).shape == other.shape
                    else float("inf")
                )
        error = min(errors, default=float("inf"))
        if verbose:
            print("OUTPUT", name, array.shape, error)
        worst = max(worst, error)
    return worst if fewer else float("inf")


if __name__ == "__main__":
    main()
