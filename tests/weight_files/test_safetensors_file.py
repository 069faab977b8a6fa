"""Headers that contradict themselves or the data are refused; what is read, safetensors reads."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padiff_graph.checkpoint.checkpoint_files import read_checkpoint
from padiff_graph.errors import UsageError
from padiff_graph.weight_files.safetensors_file import read_safetensors

safetensors = pytest.importorskip("safetensors")


def written(path: Path, header: Any, size: int = 32) -> Path:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(range(size)))
    return path


def entry(dtype: Any, shape: Any, *offsets: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


def test_tensors_in_any_order_and_without_elements(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry("I64", [], 24, 32),
        "a": entry("F32", [3, 2], 0, 24),
        "none": entry("F32", [0, 7], 24, 24),
    }
    tensors, halves = read_safetensors(written(tmp_path / "m.safetensors", header))
    assert {name: array.shape for name, array in tensors.items()} == {
        "b": (),
        "a": (3, 2),
        "none": (0, 7),
    }
    assert halves == frozenset()
    with safetensors.safe_open(str(tmp_path / "m.safetensors"), "np") as file:
        np.testing.assert_array_equal(file.get_tensor("a"), tensors["a"])


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"a": entry("F32", [8], -4, 28)}, "0 or greater"),
        ({"a": entry("F32", [8], 32, 0)}, "does not fit"),
        ({"a": entry("F32", [4], 0, 32)}, "does not fit"),
        ({"a": entry("F32", [2**61], 0, 32)}, "does not fit"),
        ({"a": entry("F32", [0, 2**62, 2**62], 0, 0)}, "does not fit"),
        ({"a": entry("F32", [1] * 40 + [8], 0, 32)}, "lists of whole numbers"),
        ({"a": entry("F32", [8.0], 0, 32)}, "lists of whole numbers"),
        ({"a": entry("F32", [True, 8], 0, 32)}, "lists of whole numbers"),
        ({"a": entry("F32", [8], 0, 16, 32)}, "of two"),
        ({"a": entry("F32", [16], 0, 64)}, "cut off"),
        ({"a": entry("F32", [4], 0, 16)}, "16 bytes at its end"),
        ({"a": entry("F32", [4], 0, 16), "b": entry("F32", [2], 24, 32)}, "b leaves a gap"),
        ({"a": entry("F32", [8], 0, 32), "b": entry("F32", [2], 8, 16)}, "b overlaps"),
        ({"a": {"shape": [8], "data_offsets": [0, 32]}}, "lacks one of dtype"),
        ({"a": [1, 2]}, "lacks one of dtype"),
        ({"a": entry(["F32"], [8], 0, 32)}, "of dtype"),
        ({"a": entry("F4", [8], 0, 32)}, "of dtype F4"),
        ([1, 2], "found a list"),
        ("[" * 100_000, "no JSON"),
        ('{"a": ' + "9" * 5000 + "}", "no JSON"),
        ('{"\\ud800": {}}', "no JSON"),
        ('{"a": {}, "a": {}}', "stands in it twice"),
        ("\xff", "lacks one|no JSON"),
    ],
)
def test_what_is_refused(tmp_path: Path, header: Any, says: str) -> None:
    path = written(tmp_path / "m.safetensors", header)
    with pytest.raises(UsageError, match=says):
        read_safetensors(path)


@pytest.mark.parametrize("length", [0, 7, 2**40, 2**64 - 1])
def test_a_length_that_cannot_be(tmp_path: Path, length: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(UsageError, match="cut off|no JSON"):
        read_safetensors(path)


@pytest.mark.parametrize(
    "shard", ["../m.safetensors", "/etc/passwd", "a/../../m.safetensors", "..\\m", "C:\\m", "",
              "m\n", "m.safetensors.index.json", 3, None]
)  # fmt: skip
def test_shards_lie_beside_their_index(tmp_path: Path, shard: Any) -> None:
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(UsageError, match="beside the index for a"):
        read_checkpoint(index)


def test_shards_hold_what_the_index_says_once(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    index = tmp_path / "m.safetensors.index.json"
    written(tmp_path / "below" / "1.safetensors", {"a": entry("F32", [8], 0, 32)})
    written(tmp_path / "2.safetensors", {"b": entry("F32", [8], 0, 32)})
    places = {"a": "below/1.safetensors", "b": "2.safetensors"}
    index.write_text(json.dumps({"weight_map": places}))
    assert set(read_checkpoint(index)[0]) == {"a", "b"}
    index.write_text(json.dumps({"weight_map": {**places, "c": "2.safetensors"}}))
    with pytest.raises(UsageError, match="names c, which its shards lack"):
        read_checkpoint(index)
    written(tmp_path / "2.safetensors", {"a": entry("F32", [8], 0, 32)})
    with pytest.raises(UsageError, match="a in more than one shard"):
        read_checkpoint(index)
