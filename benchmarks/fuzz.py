"""Mutated files and arguments over every reader and every public function.

    python benchmarks/fuzz.py --seed 0

Each case is made by its seed and number alone, so that one can be run again:

    python benchmarks/fuzz.py --seed 0 --only map:117

What counts as a fault: the process crashes or hangs, an exception that is no refusal (UsageError,
CaptureError, NotWrittenError) leaves a function, a traceback or another exit code than the
documented ones leaves the command line, a file is changed that was not asked for, a part of a file
is left behind, a name becomes code, a .safetensors file is read that the safetensors package
refuses.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_readers import READERS
from fuzzing import EVIL, JUNK, command, mutate_bytes, mutate_data, refusable, state_of

from padiff_graph import LayerMap

PATIENCE = 90
"""Seconds that one case may take; a loop is bounded by 60."""


class Hang(Exception):
    """A case took too long."""


# -- files to begin with


def header() -> dict[str, Any]:
    return {
        "a.weight": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]},
        "a.bias": {"dtype": "BF16", "shape": [3], "data_offsets": [48, 54]},
        "none": {"dtype": "F32", "shape": [0, 5], "data_offsets": [54, 54]},
        "one": {"dtype": "I64", "shape": [], "data_offsets": [54, 62]},
    }


def safetensors_bytes(entries: Any, size: int = 62) -> bytes:
    text = json.dumps(entries).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + bytes(range(size))


SOURCES = {"w": (6, 4), "b": (6,), "s": ()}


def the_map() -> dict[str, Any]:
    def half(start: int) -> dict[str, Any]:
        return {
            "of": "w",
            "into": {"shape": [12], "steps": [{"shape": [12], "strides": [1], "start": start}]},
            "from": {
                "shape": [3, 4],
                "steps": [{"shape": [3, 4], "strides": [4, 1], "start": start}],
            },
        }

    return {
        "format": 1,
        "models": {"paddle": "Port", "torch": "Original"},
        "modules": [{"paddle": "fc", "torch": "0", "confidence": 0.5, "reason": "same"}],
        "parameters": [
            {
                "paddle": "fc.weight",
                "torch": "w",
                "shapes": {"paddle": [4, 6], "torch": [6, 4]},
                "transform": "transpose",
            },
            {"paddle": "fc.bias", "torch": "b", "shapes": {"paddle": [6], "torch": [6]}},
            {
                "paddle": "halves",
                "torch": "w",
                "shapes": {"paddle": [6, 4], "torch": [6, 4]},
                "transform": "two halves",
                "pieces": [half(0), half(12)],
            },
            {
                "paddle": "table",
                "torch": "b",
                "shapes": {"paddle": [6], "torch": [6]},
                "transform": "turned",
                "pieces": [
                    {
                        "of": "b",
                        "into": {"shape": [6]},
                        "from": {
                            "shape": [6],
                            "steps": [
                                {"shape": [6], "strides": [[5, 4, 3, 2, 1, 0]], "start": 0},
                                {"shape": [6], "strides": [1], "start": 0},
                            ],
                        },
                    }
                ],
            },
            {
                "paddle": "norm",
                "shapes": {"paddle": [4]},
                "status": "neutral",
                "reason": "scale of ones",
            },
        ],
        "unused": {"torch": ["s"]},
        "ignore": {"outputs": ["x"], "classes": [{"below": "", "class": "Dropout"}]},
    }


def arrays() -> dict[str, Any]:
    numbers = np.random.default_rng(0)
    return {name: numbers.normal(size=shape).astype("f4") for name, shape in SOURCES.items()}


def sources_bytes() -> bytes:
    entries, data = {}, b""
    for name, array in arrays().items():
        end = len(data) + array.nbytes
        entries[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [len(data), end],
        }
        data += array.tobytes()
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def map_text(pick: random.Random) -> str:
    """A map's text, mutated as data, as text, or into what YAML alone can say."""
    import yaml

    act = pick.randrange(10)
    if act == 0:
        return mutate_bytes(yaml.safe_dump(the_map()).encode(), pick).decode("utf-8", "replace")
    if act == 1:
        deep = pick.choice((20, 2000, 100_000))
        return pick.choice(("[" * deep, "{a: " * deep, "- " * deep, "? " * deep))
    if act == 2:
        lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
        for n in range(9):
            lines.append(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]")
        return "\n".join([*lines, "parameters: *j"])
    if act == 3:
        kind = pick.choice(("!!binary aGk=", "2020-13-45", "!!set {a}", "!!python/name:os.system"))
        return f"parameters:\n- {{paddle: {kind}, torch: w, shapes: {{paddle: [1], torch: [1]}}}}\n"
    changed = mutate_data(the_map(), pick)
    return yaml.safe_dump(changed, allow_unicode=False, sort_keys=False)


# -- cases, by kind: each returns what happened


def case_safetensors(pick: random.Random, folder: Path) -> str:
    from padiff_graph.checkpoint.checkpoint_files import read_checkpoint

    path = folder / "m.safetensors"
    if pick.random() < 0.3:
        path.write_bytes(mutate_bytes(safetensors_bytes(header()), pick))
    else:
        path.write_bytes(safetensors_bytes(mutate_data(header(), pick), pick.choice((62, 62, 61))))

    def read() -> None:
        tensors, _ = read_checkpoint(path)
        for array in tensors.values():
            array.sum()

    outcome = refusable(read)
    if outcome == "done":
        agree(path)
    return outcome


def agree(path: Path) -> None:
    """What was read here the safetensors package reads too."""
    try:
        import safetensors
    except ImportError:
        return
    with safetensors.safe_open(str(path), "np") as file:  # raises where it refuses
        list(file.keys())


def case_shards(pick: random.Random, folder: Path) -> str:
    from padiff_graph.checkpoint.checkpoint_files import read_checkpoint

    (folder / "1.safetensors").write_bytes(sources_bytes())
    (folder / "2.safetensors").write_bytes(safetensors_bytes(header()))
    index = folder / "m.safetensors.index.json"
    weights = dict.fromkeys(SOURCES, "1.safetensors") | dict.fromkeys(header(), "2.safetensors")
    content = {"metadata": {}, "weight_map": weights}
    act = pick.randrange(4)
    if act == 0:
        index.write_bytes(mutate_bytes(json.dumps(content).encode(), pick))
    elif act == 1:
        place = pick.choice((index.name, "../x.safetensors", "/etc/passwd", "a/../../b", "", "."))
        weights[pick.choice(list(weights))] = place
        index.write_text(json.dumps(content))
    else:
        index.write_text(json.dumps(mutate_data(content, pick)))
    return refusable(lambda: read_checkpoint(pick.choice((index, index, folder))))


def case_map(pick: random.Random, folder: Path) -> str:
    from padiff_graph import convert_state_dict
    from padiff_graph.checkpoint.converter_script import script_text

    text = map_text(pick)
    held: list[LayerMap] = []
    outcome = refusable(lambda: held.append(LayerMap.from_yaml(text)))
    if held:
        held[0].to_yaml()
        outcome = "read, " + refusable(lambda: convert_state_dict(arrays(), held[0]))
        scripts: list[str] = []
        refusable(lambda: scripts.append(script_text(held[0], pick.choice(EVIL))))
        for script in scripts:
            check_code(script)
    return outcome


ALLOWED = set(
    [
        "open",
        "unpack",
        "read",
        "loads",
        "pop",
        "memmap",
        "slice",
        "items",
        "view",
        "reshape",
        "super",
        "set",
        "exit",
        "discard",
        "__init__",
        "__getitem__",
        "load",
        "convert",
        "Tensors",
        "array",
        "sorted",
        "join",
        "print",
        "dump",
        "replace",
        "len",
        "zip",
        "arange",
        "full",
        "asarray",
        "ascontiguousarray",
        "zeros",
        "put",
        "isinstance",
    ]
)
"""What a converter script calls."""


def check_code(script: str) -> None:
    """The script parses, and calls nothing but what converters call."""
    tree = ast.parse(script)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", "?"))
            assert name in ALLOWED, f"the script calls {name}"
    opened = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "open"
    ]
    assert len(opened) == 2, "the script opens other files"


def case_convert(pick: random.Random, folder: Path) -> str:
    """The command, also in place; checkpoint and map mutated or not."""
    import yaml

    source, written = folder / "m.safetensors", folder / "map.yaml"
    data, text = sources_bytes(), yaml.safe_dump(the_map())
    if pick.random() < 0.4:
        data = mutate_bytes(data, pick)
    if pick.random() < 0.6:
        text = map_text(pick)
    source.write_bytes(data)
    written.write_bytes(text.encode("utf-8", "replace"))
    out = folder / pick.choice(("o.safetensors", "o.pdparams", "m.safetensors", "gone/o.pdparams"))
    arguments = ["convert", str(source), "--map", str(written), "-o", str(out)]
    if pick.random() < 0.5:
        script = pick.choice(("s.py", "map.yaml", "m.safetensors", "o.safetensors"))
        arguments += ["--script", str(folder / script)]
    allowed = {out.name, "s.py"}
    before = state_of(folder)
    code = command(arguments)
    after = state_of(folder)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= allowed, f"changed: {sorted(changed)}"
    assert code in (2, 4) or out.exists(), "no target"
    if code == 2 and source.name in changed:
        raise AssertionError("a refused conversion changed its source")
    return f"exit {code}"


def case_torch(pick: random.Random, folder: Path) -> str:
    import torch

    from padiff_graph.checkpoint.checkpoint_files import read_checkpoint

    path = folder / pick.choice(("m.pt", "m.bin", "m.pth"))
    state: Any = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays().items()}
    state |= pick.choice(
        (
            {},
            {3: torch.ones(2)},
            {"half": torch.ones(3, dtype=torch.bfloat16)},
            {"sparse": torch.eye(3).to_sparse()},
            {"f8": torch.ones(2).to(torch.float8_e4m3fn)},
            {"complex": torch.ones(2, dtype=torch.complex64)},
            {"meta": torch.ones(2, device="meta")},
        )
    )
    torch.save(state, path, _use_new_zipfile_serialization=pick.random() < 0.7)
    if pick.random() < 0.8:
        path.write_bytes(mutate_bytes(path.read_bytes(), pick))

    def read() -> None:
        for array in read_checkpoint(path)[0].values():
            array.sum()

    return refusable(read)


def onnx_model(pick: random.Random) -> Any:
    """A small model with weights, a sub-graph and a local function."""
    from onnx import TensorProto, helper, numpy_helper

    def value(name: str, kind: int = TensorProto.FLOAT, shape: Any = (2, 3)) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    weight = numpy_helper.from_array(np.ones((3, 3), "f4"), "w")
    count = numpy_helper.from_array(np.array(pick.choice((2, 2**62)), "i8"), "count")
    body = helper.make_graph(
        [
            helper.make_node(pick.choice(("Identity", "Not")), ["going"], ["on"]),
            helper.make_node("Add", ["carried", "carried"], ["next"]),
        ],
        "body",
        [value("i", TensorProto.INT64, ()), value("going", TensorProto.BOOL, ()), value("carried")],
        [value("on", TensorProto.BOOL, ()), value("next")],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], name="/fc/MatMul"),
        helper.make_node("twice", ["p"], ["q"], domain="local"),
        helper.make_node("Loop", ["count", "", "q"], ["r"], body=body),
        helper.make_node("Relu", ["r"], ["y"]),
    ]
    function = helper.make_function(
        "local", "twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], [weight, count])
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=sets, functions=[function], ir_version=8)


def spoil_onnx(model: Any, pick: random.Random) -> None:
    """One wrong thing in the model's own terms."""
    graph = model.graph
    node = pick.choice(graph.node)
    act = pick.randrange(9)
    if act == 0:
        node.input[0] = pick.choice(("y", "nothing", "", *EVIL[3:5]))
    elif act == 1:
        node.output[0] = pick.choice(("x", "w", "", "other"))
    elif act == 2:
        model.functions[0].node[0].op_type, model.functions[0].node[0].domain = "twice", "local"
    elif act == 3:
        graph.initializer[0].dims[0] = pick.choice((-1, 0, 4, 2**40))
    elif act == 4:
        graph.initializer[0].data_type = pick.choice((0, 8, 16, 99))
    elif act == 5:
        dim = graph.input[0].type.tensor_type.shape.dim[0]
        dim.dim_value = pick.choice((-3, 0, 2**50, 2**62))
    elif act == 6:
        graph.node.append(pick.choice(graph.node))
    elif act == 7:
        del graph.node[pick.randrange(len(graph.node))]
    else:
        node.op_type = pick.choice(("Range", "Tile", "Gather", "Loop", "If", "Conv"))


def case_onnx(pick: random.Random, folder: Path) -> str:
    from padiff_graph.capture.api import capture_graph
    from padiff_graph.capture.onnx.example_values import example_inputs

    model = onnx_model(pick)
    path = folder / "m.onnx"
    if pick.random() < 0.6:
        if pick.random() < 0.9:
            spoil_onnx(model, pick)
        data = model.SerializeToString()
    else:
        data = mutate_bytes(model.SerializeToString(), pick)
    path.write_bytes(data)
    return refusable(lambda: capture_graph(str(path), example_inputs(str(path))))


TARGETS = ("no_module:f", "json", "json:", ":", "a:b:c", "json:loads", "os:getcwd", "json:x.y",
           "gone.onnx", "\x1b[31m:f", "math:pi", "collections:OrderedDict")  # fmt: skip
WORDS = ("--html", "--json", "--map", "--explorer", "--repro", "-o", "--atol", "--rtol", "--mode",
         "--phase", "--steps", "--single-step", "--keep-weights", "--script", "-h", "--bogus",
         "0", "-1", "nan", "1e999", "strict", "both", "backward", "gone/x.html", "x.html", "x.json",
         "x.py", ".", "/", "x" * 300, "/dev/full", "/proc/x", "x.svg")  # fmt: skip


def case_arguments(pick: random.Random, folder: Path) -> str:
    name = pick.choice(("align", "suggest", "diff", "capture", "convert", "bogus", "--version"))
    arguments = [name]
    if pick.random() < 0.9:
        arguments.append(pick.choice(TARGETS))
    arguments += [pick.choice(WORDS) for _ in range(pick.randrange(5))]
    before = state_of(folder)
    code = command(arguments)
    assert state_of(folder) == before, "a file was written"
    assert code == 2 or {"-h", "--version"} & {*arguments}, f"exit {code} for {arguments}"
    return f"exit {code}"


def case_functions(pick: random.Random, folder: Path) -> str:
    """Public functions, given what they do not take."""
    import padiff_graph as pg
    from padiff_graph.request.options import parse_options

    def any_value() -> Any:
        junk = (*JUNK, *EVIL, object(), object, print, np.ones(3), {1: 2}, {"x": np.ones((2, 3))})
        return pick.choice((*junk, *the_models()))

    layer, module = the_models()
    keys = ("atol", "rtol", "diff_phase", "compare_mode", "single_step", "x")
    values = (*JUNK, "both", "mean", "backward", np.float32(1), [1e-3])
    options = {pick.choice(keys): pick.choice(values) for _ in range(pick.randrange(4))}
    held = LayerMap()

    def set_map() -> None:
        held.map = any_value()

    calls: tuple[Callable[[], Any], ...] = (
        lambda: parse_options(pick.choice((options, any_value())), any_value(), None),
        lambda: pg.compare(any_value(), any_value(), any_value()),
        lambda: pg.compare(layer, module, any_value(), options=options),
        lambda: pg.compare(layer, module, ({"x": 1}, any_value()), steps=any_value()),
        lambda: pg.auto_diff(layer, any_value(), any_value()),
        lambda: pg.assert_ported(any_value(), module, any_value()),
        lambda: pg.structural_diff(layer, any_value(), any_value()),
        lambda: pg.suggest_layer_map(any_value(), module, any_value()),
        lambda: pg.capture_graph(any_value(), any_value()),
        lambda: pg.assign_weight(any_value(), any_value(), any_value()),
        lambda: pg.convert_state_dict(any_value(), any_value()),
        lambda: pg.add_special_init(any_value(), any_value(), any_value()),
        lambda: LayerMap.of(any_value()),
        lambda: LayerMap.load(str(folder / pick.choice(("gone", "", "x" * 300)))),
        set_map,
        lambda: held.ignore(any_value()),
        lambda: held.ignore_recursively(any_value()),
        lambda: held.ignore_class(any_value(), any_value()),
        lambda: held.bind(any_value(), any_value()),
        lambda: held.save(folder / pick.choice(("gone/x", "", "x" * 300))),
    )
    number = pick.randrange(len(calls))
    with contextlib.redirect_stdout(io.StringIO()):
        return f"function {number}: {refusable(calls[number])}"


def the_models() -> tuple[Any, Any]:
    import paddle
    import torch

    return paddle.nn.Linear(3, 2), torch.nn.Linear(3, 2)


KINDS: dict[str, tuple[Callable[[random.Random, Path], str], int, int]] = {
    "safetensors": (case_safetensors, 5000, 2500),
    "shards": (case_shards, 2000, 1000),
    "map": (case_map, 1500, 750),
    "convert": (case_convert, 600, 300),
    "torch": (case_torch, 400, 200),
    "onnx": (case_onnx, 800, 200),
    "arguments": (case_arguments, 700, 350),
    "functions": (case_functions, 400, 200),
    **READERS,
}
"""Each kind with its cases of a whole run, and how many run in one process."""


# -- running


def one_case(kind: str, number: int, seed: int) -> str:
    """Runs a case in a folder of its own; a fault is told with the exception."""
    pick = random.Random(f"{seed} {kind} {number}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        home = os.getcwd()
        os.chdir(folder)
        signal.alarm(PATIENCE)
        try:
            outcome = KINDS[kind][0](pick, folder)
            rest = [path.name for path in folder.rglob("*") if ".part" in path.name]
            assert not rest, f"left behind: {rest}"
            assert not (folder / "pwned").exists(), "code was run"
            return outcome
        except BaseException as error:
            return f"FAULT {type(error).__name__}: {str(error)[:300]}"
        finally:
            signal.alarm(0)
            os.chdir(home)


def worker(kind: str, start: int, count: int, seed: int) -> None:
    """Cases one after the other; each is named before it runs, so that a crash has a name."""

    def late(_signal: int, _frame: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, late)
    if sys.version_info >= (3, 11):
        sys.set_int_max_str_digits(4300)
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for number in range(start, start + count):
        print(f"{number}", file=told)
        print(json.dumps(one_case(kind, number, seed)), file=told)


def batch(kind: str, start: int, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """One worker's outcomes; after a crash the rest goes on in another."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    end = start + count
    while start < end:
        settings = ["--seed", str(seed), "--worker", kind, str(start), str(end - start)]
        done = subprocess.run([sys.executable, __file__, *settings], capture_output=True)
        lines = done.stdout.decode().splitlines()
        for number, line in zip(lines[::2], lines[1::2], strict=False):
            outcome = json.loads(line)
            if outcome.startswith("FAULT"):
                faults.append(f"{kind}:{number} {outcome}")
                outcome = "FAULT"
            outcomes[outcome] += 1
        start += len(lines) // 2
        if start < end:
            faults.append(f"{kind}:{start} FAULT crash {done.returncode}: {done.stderr[-300:]!r}")
            outcomes["FAULT"] += 1
            start += 1
    return outcomes, faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of a whole run")
    parser.add_argument("--only", help="a kind, or one case as kind:number")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        kind, start, count = asked.worker
        worker(kind, int(start), int(count), asked.seed)
        return
    if asked.only and ":" in asked.only:
        kind, _, number = asked.only.partition(":")
        print(one_case(kind, int(number), asked.seed))
        return
    total, all_faults = 0, []
    for kind, (_, cases, size) in KINDS.items():
        if asked.only not in (None, kind):
            continue
        began, outcomes = time.monotonic(), Counter[str]()
        cases = max(1, int(cases * asked.share))
        for start in range(0, cases, size):
            more, faults = batch(kind, start, min(size, cases - start), asked.seed)
            outcomes += more
            all_faults += faults
        total += cases
        told = ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items()))
        print(f"{kind}: {cases} cases in {time.monotonic() - began:.0f} s; {told}", flush=True)
    print(f"{total} cases, {len(all_faults)} faults")
    for fault in all_faults:
        print(fault)
    sys.exit(bool(all_faults))


if __name__ == "__main__":
    main()
