"""Checkpoints converted by a map.

Every tensor accounted for, files read back by Paddle, the script without this tool.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padiff_graph.alignment.correspondence import ParameterEntry
from padiff_graph.capture.normal.index_map import View
from padiff_graph.checkpoint.checkpoint_files import write_checkpoint
from padiff_graph.checkpoint.conversion import convert_checkpoint, convert_state_dict
from padiff_graph.checkpoint.converter_script import script_text, write_script
from padiff_graph.errors import UsageError
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.matching.result import ParameterRow, Piece
from padiff_graph.weight_files.safetensors_file import read_safetensors

torch = pytest.importorskip("torch")
paddle = pytest.importorskip("paddle")

SHAPES = {
    "head.weight": (3, 4),
    "head.bias": (3,),
    "attn.in_proj": (12, 4),
    "a": (2, 2),
    "b": (2, 2),
    "steps": (),
}


def entry(
    name: str, shape: tuple[int, ...], transform: str, *pieces: Piece, status: Any = "mapped"
) -> ParameterEntry:
    row = ParameterRow(name, pieces, transform, 1.0, "by hand", status=status)
    return ParameterEntry(
        row, shape, "float32", {piece.second: SHAPES[piece.second] for piece in pieces}
    )


@pytest.fixture
def layer_map() -> LayerMap:
    packed = View.of((12, 4))
    both = View.of((4, 2))
    made = LayerMap()
    made.fill(
        (),
        (
            entry(
                "fc.weight",
                (4, 3),
                "transpose",
                Piece("head.weight", View.of((4, 3)), View.of((3, 4)).transpose((1, 0))),
            ),
            entry("fc.bias", (3,), "identity", Piece("head.bias", View.of((3,)), View.of((3,)))),
            entry(
                "q.weight",
                (4, 4),
                "rows 0:4 of 12, transposed",
                Piece("attn.in_proj", View.of((4, 4)), packed.slice(0, 0, 4).transpose((1, 0))),
            ),
            entry(
                "k.weight",
                (4, 4),
                "rows 4:8 of 12, transposed",
                Piece("attn.in_proj", View.of((4, 4)), packed.slice(0, 4, 8).transpose((1, 0))),
            ),
            entry(
                "v.weight",
                (4, 4),
                "rows 8:12 of 12, transposed",
                Piece("attn.in_proj", View.of((4, 4)), packed.slice(0, 8, 12).transpose((1, 0))),
            ),
            entry(
                "ab",
                (4, 2),
                "a above b",
                Piece("a", both.slice(0, 0, 2), View.of((2, 2))),
                Piece("b", both.slice(0, 2, 4), View.of((2, 2))),
            ),
            entry("norm.weight", (4,), "", status="neutral"),
        ),
        ("steps",),
        ("Port", "Original"),
    )
    return made


@pytest.fixture
def tensors() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        name: (
            random.normal(size=shape).astype(np.float32)
            if name != "steps"
            else np.array(7, np.int64)
        )
        for name, shape in SHAPES.items()
    }


def expected(t: dict[str, Any]) -> dict[str, Any]:
    q, k, v = np.split(t["attn.in_proj"], 3)
    return {
        "fc.weight": t["head.weight"].T,
        "fc.bias": t["head.bias"],
        "q.weight": q.T,
        "k.weight": k.T,
        "v.weight": v.T,
        "ab": np.concatenate([t["a"], t["b"]]),
    }


def check(found: Any, tensors: dict[str, Any]) -> None:
    wanted = expected(tensors)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(np.asarray(found[name]), value, err_msg=name)


def test_state_dict(layer_map: LayerMap, tensors: dict[str, Any]) -> None:
    check(
        convert_state_dict(
            {name: torch.from_numpy(value) for name, value in tensors.items()}, layer_map
        ),
        tensors,
    )
    check(convert_state_dict(tensors, layer_map), tensors)


def test_saved_map_is_enough(layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path) -> None:
    layer_map.to_yaml(tmp_path / "map.yaml")
    check(convert_state_dict(tensors, tmp_path / "map.yaml"), tensors)


@pytest.mark.parametrize("target", ["out.pdparams", "out.safetensors"])
@pytest.mark.parametrize("source", ["pt", "safetensors", "sharded"])
def test_files(
    layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path, source: str, target: str
) -> None:
    from safetensors.numpy import load_file, save_file

    where = tmp_path / f"model.{source}"
    if source == "pt":
        torch.save(
            {"state_dict": {name: torch.from_numpy(value) for name, value in tensors.items()}},
            where,
        )
    elif source == "safetensors":
        save_file(tensors, where)
    else:
        parts = {"one.safetensors": list(tensors)[:3], "two.safetensors": list(tensors)[3:]}
        for file, names in parts.items():
            save_file({name: tensors[name] for name in names}, tmp_path / file)
        where = tmp_path / "model.safetensors.index.json"
        where.write_text(
            json.dumps(
                {"weight_map": {name: file for file, names in parts.items() for name in names}}
            )
        )
    done = convert_checkpoint(where, layer_map, tmp_path / target)
    assert set(done.written) == set(expected(tensors))
    assert done.kept == ("norm.weight",)
    assert done.unused == ("steps",)
    check(
        (
            paddle.load(str(tmp_path / target))
            if target.endswith("pdparams")
            else load_file(tmp_path / target)
        ),
        tensors,
    )


def test_bfloat16_keeps_its_bits(
    layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    half = {
        name: (
            torch.from_numpy(value).bfloat16()
            if value.dtype == np.float32
            else torch.from_numpy(value)
        )
        for name, value in tensors.items()
    }
    save_file(half, tmp_path / "half.safetensors")
    convert_checkpoint(tmp_path / "half.safetensors", layer_map, tmp_path / "half.pdparams")
    found = paddle.load(str(tmp_path / "half.pdparams"))
    assert found["fc.weight"].dtype == paddle.bfloat16
    np.testing.assert_array_equal(
        found["fc.weight"].astype("float32").numpy(), half["head.weight"].T.float().numpy()
    )
    convert_checkpoint(tmp_path / "half.safetensors", layer_map, tmp_path / "out.safetensors")
    back, halves = read_safetensors(tmp_path / "out.safetensors")
    assert "fc.weight" in halves
    np.testing.assert_array_equal(back["fc.bias"], half["head.bias"].view(torch.uint16).numpy())


def test_integers_of_sixteen_bits_are_not_taken_for_bfloat16(
    layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path
) -> None:
    state = {name: torch.from_numpy(value) for name, value in tensors.items()}
    whole = {name: value.abs().to(torch.uint16) for name, value in state.items()}
    torch.save(whole, tmp_path / "whole.pt")
    convert_checkpoint(tmp_path / "whole.pt", layer_map, tmp_path / "out.safetensors")
    back, halves = read_safetensors(tmp_path / "out.safetensors")
    assert not halves
    np.testing.assert_array_equal(back["fc.bias"], whole["head.bias"].numpy())
    with pytest.raises(UsageError, match=r"reads as bfloat16.*fc\.bias"):
        convert_checkpoint(tmp_path / "whole.pt", layer_map, tmp_path / "out.pdparams")
    assert not (tmp_path / "out.pdparams").exists()


def test_script_needs_neither_tool_nor_torch(
    layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path
) -> None:
    from safetensors.numpy import save_file

    save_file(tensors, tmp_path / "in.safetensors")
    write_script(layer_map, tmp_path / "port.py")
    blocked = (
        "import sys; sys.modules.update(torch=None, padiff_graph=None, paddle=None); sys.argv ="
        " ['port.py', 'in.safetensors', 'out.pdparams']; exec(compile(open('port.py').read(),"
        " 'port.py', 'exec'))"
    )
    subprocess.run([sys.executable, "-c", blocked], cwd=tmp_path, check=True)
    check(paddle.load(str(tmp_path / "out.pdparams")), tensors)
    assert "p['fc.weight'] = t['head.weight'].T" in (tmp_path / "port.py").read_text()


def test_script_accounts_for_every_tensor(
    layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path
) -> None:
    from safetensors.numpy import save_file

    write_script(layer_map, tmp_path / "port.py")

    def ran(**changes: Any) -> subprocess.CompletedProcess[str]:
        save_file(
            {name: value for name, value in {**tensors, **changes}.items() if value is not None},
            tmp_path / "in.safetensors",
        )
        return subprocess.run(
            [sys.executable, "port.py", "in.safetensors", "out.pdparams"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    assert ran().stdout == "", "steps is a name that the map says is not needed"
    assert "tied weights: extra\n" in ran(extra=np.ones(3, np.float32)).stdout
    lacking = ran(**{"head.bias": None})
    assert lacking.returncode == 1
    assert lacking.stderr.startswith("the checkpoint has no head.bias")
    alone = subprocess.run(
        [sys.executable, "port.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "python port.py model.safetensors model.pdparams" in alone.stderr


def test_script_holds_only_what_it_calls(layer_map: LayerMap) -> None:
    plain = LayerMap()
    plain.fill(
        (),
        tuple(entry for entry in layer_map.parameters if entry.paddle_name.startswith("fc.")),
        (),
        ("Port", "Original"),
    )
    assert "def view" not in script_text(plain) and "def put" not in script_text(plain)
    assert "def view" in script_text(layer_map) and "def put" in script_text(layer_map)


def test_tied_copy_is_told(layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({**tensors, "tied": tensors["head.weight"].copy()}, tmp_path / "in.safetensors")
    assert convert_checkpoint(
        tmp_path / "in.safetensors", layer_map, tmp_path / "o.pdparams"
    ).duplicates == ("tied",)


def test_shards_of_torch_files_and_folders(
    layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path
) -> None:
    parts = {"one.bin": list(tensors)[:3], "two.bin": list(tensors)[3:]}
    for file, names in parts.items():
        torch.save({name: torch.from_numpy(tensors[name]) for name in names}, tmp_path / file)
    (tmp_path / "model.bin.index.json").write_text(
        json.dumps({"weight_map": {name: file for file, names in parts.items() for name in names}})
    )
    convert_checkpoint(tmp_path, layer_map, tmp_path / "out.pdparams")
    check(paddle.load(str(tmp_path / "out.pdparams")), tensors)


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_without_shards_is_told(layer_map: LayerMap, tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(UsageError, match="JSON with a weight_map"):
        convert_checkpoint(tmp_path, layer_map, tmp_path / "out.pdparams")


def test_a_dtype_that_paddle_lacks_is_told(layer_map: LayerMap, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(
        {"head.weight": torch.zeros(3, 4).to(torch.float8_e4m3fn)}, tmp_path / "m.safetensors"
    )
    with pytest.raises(UsageError, match="head.weight is of dtype F8_E4M3"):
        convert_checkpoint(tmp_path / "m.safetensors", layer_map, tmp_path / "out.pdparams")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("head.bias"), "lacks: head.bias"),
        (
            lambda t: t.update({"head.bias": np.zeros(5, np.float32)}),
            r"head.bias \[5\] instead of \[3\]",
        ),
        (lambda t: t.update(extra=np.zeros(5, np.float32)), "stand in no row of the map: extra"),
        (
            lambda t: [t.update({f"module.{name}": t.pop(name)}) for name in list(t)],
            "take the prefix 'module.' off",
        ),
    ],
)
def test_nothing_is_lost_silently(
    layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path, change: Any, says: str
) -> None:
    change(tensors)
    torch.save(
        {name: torch.from_numpy(np.asarray(value)) for name, value in tensors.items()},
        tmp_path / "m.pt",
    )
    with pytest.raises(UsageError, match=says):
        convert_checkpoint(tmp_path / "m.pt", layer_map, tmp_path / "out.pdparams")
    assert not (tmp_path / "out.pdparams").exists()


def test_bad_files(layer_map: LayerMap, tensors: dict[str, Any], tmp_path: Path) -> None:
    def refused(name: str, says: str) -> None:
        with pytest.raises(UsageError, match=says):
            convert_checkpoint(tmp_path / name, layer_map, tmp_path / "out.pdparams")

    refused("gone.pt", "there is none")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    refused("junk.pt", "weights only")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    refused("junk.safetensors", "cut off")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    refused("whole.pt", "save model.state_dict")
    write_checkpoint(
        tmp_path / "cut.safetensors", {"a": ((2, 2), "F32", lambda: np.zeros((2, 2), np.float32))}
    )
    whole = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-4])
    refused("cut.safetensors", "data of a is cut off")
    (tmp_path / "x.npz").write_bytes(b"")
    refused("x.npz", "found .npz")
    with pytest.raises(UsageError, match="no parameter rows"):
        convert_state_dict(tensors, LayerMap())
