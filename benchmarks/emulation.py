"""The emulation of half precision held against torch's own on the CPU.

    python benchmarks/emulation.py                       operations, and a decoder with experts
    python benchmarks/emulation.py --pairs hf_bert,df_unet2d      the torch sides of these pairs too

For each operation, in bfloat16 and in float16: the share of results that are the same bit for bit,
and the largest distance in units in the last place (what cancels is held against a sixty-fourth of
the largest value). For each model: how far the emulated run and torch's own run are off float64,
how far they are apart, and whether that is within the band of two runs. The same of the gradients
of its parameters under random cotangents, each of its own largest number, at the worst.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "pairs"), str(HERE), str(HERE.parent)]

from padiff_graph.capture import leaf_names  # noqa: E402
from padiff_graph.precision import gradients  # noqa: E402
from padiff_graph.precision.backward import differentiated  # noqa: E402
from padiff_graph.precision.band import DRAWS, MARGIN  # noqa: E402
from padiff_graph.precision.rounding import LowSide, emulate  # noqa: E402
from padiff_graph.precision.stand_ins import captured  # noqa: E402
from tests.models.half_operations import OPERATIONS, Calls  # noqa: E402

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PLACES = {"bfloat16": 2.0**-7, "float16": 2.0**-10}
"""One unit in the last place, relative to the power of two below."""
CANCELLED = 2.0**-6
"""Below this share of the largest value a result is what cancellation left."""


def lowered(given: Any, dtype: torch.dtype) -> Any:
    """An example in half precision."""
    moved = {
        name: leaf.to(dtype) if leaf.is_floating_point() else leaf
        for name, leaf in leaf_names.leaves(given, torch.is_tensor).items()
    }
    return leaf_names.replace(dict(given), torch.is_tensor, moved)


def output_values(side: LowSide) -> list[Any]:
    """The floating outputs of a stand-in."""
    nodes = side.graph.of_kind("output")
    return [node.inputs[0] for node in nodes if node.inputs and node.inputs[0] in side.placement]


def operation(name: str, precision: str) -> tuple[float, float]:
    """The share of equal results, and the largest distance in units in the last place."""
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    model = Calls(OPERATIONS[name])
    side = captured(model, {"x": x}, precision)[1]
    (output,) = output_values(side)
    ours = emulate(side, precision, [output]).values[output]
    theirs = model(x.to(DTYPES[precision])).double().numpy()
    scale = np.maximum(np.abs(theirs), np.abs(theirs).max() * CANCELLED)
    unit = PLACES[precision] * 2.0 ** np.floor(np.log2(scale))
    return float((ours == theirs).mean()), float((np.abs(ours - theirs) / unit).max())


def model_row(model: Any, given: Any, precision: str) -> tuple[float, float, float, float]:
    """Errors of the emulated and of torch's own run, how far apart they are, and the band."""
    side = captured(model, given, precision)[1]
    values = output_values(side)
    truth = emulate(side, None, values).values
    runs = [emulate(side, precision, values, noise=seed).values for seed in (0, *DRAWS)]
    with torch.no_grad():
        result = model.to(DTYPES[precision])(**lowered(given, DTYPES[precision]))
    floats = [
        leaf.double().numpy()
        for leaf in leaf_names.output_leaves(result, torch.is_tensor).values()
        if leaf.is_floating_point()
    ]
    worst = (0.0, 0.0, 0.0, 0.0)
    for value, theirs in zip(values, floats, strict=True):
        errors = [float(np.abs(run[value] - truth[value]).max()) for run in runs]
        own = float(np.abs(theirs - truth[value]).max())
        apart = float(np.abs(theirs - runs[0][value]).max())
        row = errors[0], own, apart, 2 * MARGIN * max(errors)
        worst = max(worst, row, key=lambda one: one[2] / one[3] if one[3] else 0.0)
    return worst


def gradient_row(
    model: Any, given: Any, precision: str
) -> tuple[tuple[float, float, float, float], int, list[str]]:
    """As of `model_row` for gradients of parameters, how many there are, and those beyond the
    band."""
    side = captured(model, given, precision)[1]
    own = copy.deepcopy(model).to(DTYPES[precision])
    result = own(**lowered(given, DTYPES[precision]))
    leaves = leaf_names.output_leaves(result, torch.is_tensor).values()
    floats = [leaf for leaf in leaves if leaf.is_floating_point()]
    random = torch.Generator().manual_seed(1)
    seeds = [torch.randn(leaf.shape, generator=random).to(leaf.dtype) for leaf in floats]
    grown = [pair for pair in zip(floats, seeds, strict=True) if pair[0].requires_grad]
    torch.autograd.backward(*zip(*grown, strict=True))
    values = zip(output_values(side), seeds, strict=True)
    cotangents = {value: seed.double().numpy() for value, seed in values}
    truth = differentiated(side, None, cotangents).gradients
    runs = [
        differentiated(side, precision, cotangents, noise=seed).gradients
        for seed in (0, *gradients.DRAWS)
    ]
    rows: dict[str, tuple[float, float, float, float]] = {}
    for name, parameter in own.named_parameters():
        key = f"parameter:{name}"
        if key not in truth or parameter.grad is None:
            continue
        scale = float(np.abs(truth[key]).max()) or 1.0
        theirs = parameter.grad.double().numpy()
        errors = [float(np.abs(run[key] - truth[key]).max()) for run in runs]
        apart = float(np.abs(theirs - runs[0][key]).max())
        off = float(np.abs(theirs - truth[key]).max())
        band = 2 * gradients.MARGIN * max(errors)
        rows[name] = errors[0] / scale, off / scale, apart / scale, band / scale
    worst = max(rows.values(), key=lambda row: row[2] / row[3] if row[3] else 0.0)
    return worst, len(rows), [name for name, row in rows.items() if row[2] > row[3]]


def decoder() -> tuple[Any, Any]:
    """The decoder of the tests, and its example."""
    from tests.models.half_pairs import half_pair

    _, model, (_, given) = half_pair("")
    return model, given


def pair_side(name: str) -> tuple[Any, Any]:
    """The torch side of a published pair."""
    import halfbugs

    _, model, (_, given) = halfbugs.made(name)
    return model, given


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", default="")
    given = parser.parse_args()
    print(f"{'operation':16}" + "".join(f"{name + ' equal':>16} {'ulp':>5}" for name in DTYPES))
    rows = []
    for name in OPERATIONS:
        rows.append([operation(name, precision) for precision in DTYPES])
        print(f"{name:16}" + "".join(f"{share:15.1%} {places:6.1f}" for share, places in rows[-1]))
    for number, precision in enumerate(DTYPES):
        within = sum(row[number][1] <= 1 for row in rows)
        mean = np.mean([row[number][0] for row in rows])
        most = max(row[number][1] for row in rows)
        print(
            f"{precision}: {within} of {len(rows)} operations within one unit in the last place, "
            f"all within {most:.0f}; {mean:.1%} of all results the same"
        )
    print(f"{'model':16} {'dtype':9} {'emulated':>9} {'torch':>9} {'apart':>9} {'band':>9}")
    for name in ["decoder", *filter(None, given.pairs.split(","))]:
        for precision in DTYPES:
            model, example = decoder() if name == "decoder" else pair_side(name)
            row = model_row(model, example, precision)
            said = "within" if row[2] <= row[3] else "BEYOND"
            print(f"{name:16} {precision:9}" + "".join(f"{n:10.2g}" for n in row) + f"  {said}")
            model, example = decoder() if name == "decoder" else pair_side(name)
            row, count, beyond = gradient_row(model, example, precision)
            numbers = "".join(f"{n:10.2g}" for n in row)
            inside = f"{count - len(beyond)} of {count} within"
            print(f"{'  gradients':16} {precision:9}{numbers}  {inside} {' '.join(beyond)}")


if __name__ == "__main__":
    main()
