"""Cases of the fuzz benchmark for what a check reads beside models: recordings, reports, AOA
statements, inputs and saved outputs."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing import EVIL, command, mutate_bytes, mutate_data, refusable

__all__ = ["READERS"]

TOLERANCES = {"rtol": 1e-4, "atol": 1e-5}


def _example() -> Any:
    return np.random.default_rng(0).standard_normal((2, 4)).astype("float32")


def _torch_model(training: bool = False) -> Any:
    import torch

    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5), torch.nn.Tanh()
    return torch.nn.Sequential(*layers).train(training)


@cache
def _recordings() -> tuple[dict[str, bytes], ...]:
    """The members of four recordings: in evaluation mode, in training mode with draws, with
    training steps, and with hashes in the place of weights."""
    import tempfile

    import torch

    from padiff_graph.export.recording import record

    made = []
    with tempfile.TemporaryDirectory() as folder:
        for training, kind in ((False, ""), (True, ""), (False, "trained"), (False, "hashed")):
            path, model = Path(folder) / "r.pgref", _torch_model(training)
            trained = kind == "trained"
            more: dict[str, Any] = {"hash_weights": kind == "hashed"}
            more |= {"optimizer": _adam(model), "steps": 2} if trained else {}
            inputs = {"input": torch.from_numpy(_example())}
            record(model, inputs, path, loss=_mean if trained else None, **more)
            with zipfile.ZipFile(path) as held:
                made.append({name: held.read(name) for name in held.namelist()})
    return tuple(made)


def _mean(output: Any) -> Any:
    return (output**2).mean()


def _adam(model: Any) -> Any:
    import torch

    return torch.optim.Adam(model.parameters(), 1e-2)


def _trained(path: str, inputs: dict[str, Any]) -> Any:
    """A check of training steps against a recording."""
    import padiff_graph as pg

    model = _torch_model()
    return pg.compare(
        model,
        path,
        (inputs, inputs),
        steps=2,
        loss_fn=[_mean, None],
        optimizer=[_adam(model), None],
        options=TOLERANCES,
    )


def _npy(shape: Any, descr: str = "<f4", data: bytes = b"") -> bytes:
    """A numpy file with a header of one's choice."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _odd_array(pick: random.Random, whole: bytes) -> bytes:
    """An array's file as it should not be."""
    act = pick.randrange(5)
    if act == 0:
        return mutate_bytes(whole, pick)
    if act == 1:
        return _npy(
            pick.choice(("(10**15,)", "(-1,)", "(2, 2)", "()", "(1000000000000000, 4)", "x"))
        )
    if act == 2:
        return _npy("(2,)", pick.choice(("|O", "<c16", "<M8[s]", "<U3", "x", "<i8")), b"0" * 32)
    given = np.load(io.BytesIO(whole))
    other = (
        given.reshape(-1)[:-1],
        given[None],
        given.astype("float64"),
        given.astype("int32"),
        np.full_like(given, np.nan) if given.dtype.kind == "f" else given,
        np.zeros((0, *given.shape), given.dtype),
    )
    file = io.BytesIO()
    np.save(file, pick.choice(other))
    return file.getvalue()


def case_recording(pick: random.Random, folder: Path) -> str:
    import padiff_graph as pg

    members = dict(pick.choice(_recordings()))
    kind = pick.choice((zipfile.ZIP_STORED,) * 9 + (zipfile.ZIP_DEFLATED,))
    act = pick.randrange(10)
    if act < 7:
        changed = mutate_data(json.loads(members["manifest.json"]), pick)
        members["manifest.json"] = json.dumps(changed).encode("utf-8", "surrogatepass")
    elif act == 7:
        members["manifest.json"] = mutate_bytes(members["manifest.json"], pick)
    elif act == 8:
        name = pick.choice([name for name in members if name.endswith(".npy")])
        members[name] = _odd_array(pick, members[name])
    path, whole = folder / "m.pgref", folder / "w.pgref"
    for target, held in ((path, members), (whole, _recordings()[0])):
        with zipfile.ZipFile(target, "w", kind) as file:
            for name, data in held.items():
                file.writestr(name, data)
    if act == 9:
        path.write_bytes(mutate_bytes(path.read_bytes(), pick))
    inputs = {"input": _example()}
    calls: tuple[Callable[[], Any], ...] = (
        lambda: pg.compare(str(path), str(whole), options=TOLERANCES),
        lambda: pg.compare(str(whole), str(path), options=TOLERANCES),
        lambda: pg.compare(_torch_model(), str(path), (inputs, inputs), options=TOLERANCES),
        lambda: pg.structural_diff(str(path), str(whole)),
        lambda: _trained(str(path), inputs),
        lambda: _trained(str(path), inputs),
    )
    return refusable(pick.choice(calls))


@cache
def _reports() -> tuple[str, ...]:
    """The JSON of a report that passes and of one that does not."""
    import torch

    import padiff_graph as pg

    inputs = {"input": torch.from_numpy(_example())}
    other = _torch_model()
    other[1].eps = 1e-2
    return tuple(
        pg.compare(model, _torch_model(), (inputs, inputs), options=TOLERANCES).to_json()
        for model in (_torch_model(), other)
    )


def case_reports(pick: random.Random, folder: Path) -> str:
    files = []
    for name, changed in (("earlier.json", pick.random() < 0.5), ("later.json", True)):
        text = pick.choice(_reports())
        if changed and pick.random() < 0.8:
            text = json.dumps(mutate_data(json.loads(text), pick))
        elif changed:
            text = mutate_bytes(text.encode(), pick).decode("utf-8", "replace")
        (folder / name).write_text(text, encoding="utf-8", errors="replace")
        files.append(str(folder / name))
    code = command(["compare-reports", *files, "--json", str(folder / "o.json")])
    assert code in (0, 1, 2, 3), code
    return f"exit {code}"


STATEMENTS = ("w -> a", "w^T -> a", "w -> p0, p1, axis = 1", "p0, p1 -> a, axis = 1", "_ -> b",
              'w -> a, permute = "[1, 0]"', "q, k, v -> a, fused_qkv, num_heads = 2", "b -> _",
              "l.$LAYER_ID.w -> m.$LAYER_ID.w", "p0, p1 -> a, fused_ffn", "a, a -> a")  # fmt: skip
PARTS = ("->", ",", "=", "^T", "$LAYER_ID", "$EXPERT_ID", "axis", "permute", '"', "_", "w", "a",
         "9" * 30, "-1", "[", "(", "fused_qkv", "num_heads = 1000000", "²", "\n")  # fmt: skip


def case_aoa(pick: random.Random, folder: Path) -> str:
    from padiff_graph.export.aoa import read_aoa
    from padiff_graph.export.aoa_language import carried_out

    lines = [pick.choice(STATEMENTS) for _ in range(pick.choice((1, 3, 3, 60)))]
    for _ in range(pick.randrange(4)):
        at = pick.randrange(len(lines))
        words = lines[at].split(" ")
        words.insert(pick.randrange(len(words) + 1), pick.choice((*PARTS, *EVIL[:8])))
        lines[at] = pick.choice((" ", "")).join(words)
    held: Any = {"aoa_statements": lines}
    text = json.dumps(mutate_data(held, pick) if pick.random() < 0.3 else held)
    if pick.random() < 0.3:
        text = "\n".join(lines)
    if pick.random() < 0.1:
        text = pick.choice(
            ('{"a":' * 100_000, "[" * 10, mutate_bytes(text.encode(), pick).decode("latin-1"))
        )
    path = folder / "aoa.json"
    path.write_text(text, encoding="utf-8", errors="replace")
    sources = {
        name: np.arange(24).reshape(6, 4)
        for name in ("w", "q", "k", "v", "b", "l.0.w", "l.1.w", "p0", "p1")
    }
    return refusable(lambda: carried_out(read_aoa(path), sources))


def case_arrays(pick: random.Random, folder: Path) -> str:
    """Inputs and saved outputs."""
    from padiff_graph.cli.two_targets import example_of as read_inputs
    from padiff_graph.request.saved_outputs import read_saved

    paths = []
    for name in ("x.npz", "y.npz"):
        path = folder / name
        save = pick.choice((np.savez, np.savez_compressed))
        save(path, **{pick.choice(("x", "é", "a/b")): _example(), "n": np.arange(3)})
        act = pick.randrange(4)
        if act == 0:
            path.write_bytes(mutate_bytes(path.read_bytes(), pick))
        elif act == 1:
            file = io.BytesIO()
            np.save(file, _example())
            with zipfile.ZipFile(path, "w", pick.choice((0, 8))) as held:
                held.writestr(
                    pick.choice(("x.npy", "x.txt", "../x.npy")), _odd_array(pick, file.getvalue())
                )
        elif act == 2:
            path.write_bytes(_odd_array(pick, _npy("(2,)", data=bytes(8))))
        paths.append(str(path))
    told = refusable(lambda: read_inputs(paths[0]))
    return f"inputs {told}, outputs {refusable(lambda: read_saved(*paths))}"


READERS: dict[str, tuple[Callable[[random.Random, Path], str], int, int]] = {
    "recording": (case_recording, 1500, 500),
    "reports": (case_reports, 600, 600),
    "aoa": (case_aoa, 1500, 1500),
    "arrays": (case_arrays, 800, 800),
}
"""Each kind with its cases of a whole run, and how many run in one process."""
