"""A parameter map as AOA statements, held against Paddle's own reading of them."""

from __future__ import annotations

import ast
import json
import math

import numpy as np
import pytest

from padiff_graph.check.suggestion import suggest_layer_map
from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli
from padiff_graph.errors import UsageError
from padiff_graph.export.aoa import aoa_statements, check_aoa, read_aoa, write_aoa
from padiff_graph.export.aoa_folding import folded
from padiff_graph.export.aoa_language import carried_out, read_statement

torch = pytest.importorskip("torch")
paddle = pytest.importorskip("paddle")


class TorchBlock(torch.nn.Module):
    """One fused weight for query, key and value, and separate gate and up."""

    def __init__(self):
        super().__init__()
        self.qkv = torch.nn.Linear(8, 24)
        self.out = torch.nn.Linear(8, 8)
        self.gate = torch.nn.Linear(8, 16, bias=False)
        self.up = torch.nn.Linear(8, 16, bias=False)
        self.down = torch.nn.Linear(16, 8)
        self.norm = torch.nn.LayerNorm(8)

    def forward(self, x):
        query, key, value = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + self.out(torch.softmax(query @ key.transpose(-1, -2), -1) @ value)
        return x + self.down(torch.nn.functional.silu(self.gate(x)) * self.up(x))


class PaddleBlock(paddle.nn.Layer):
    """Separate query, key and value, and one fused weight for gate and up."""

    def __init__(self):
        super().__init__()
        self.norm = paddle.nn.LayerNorm(8)
        self.query, self.key, self.value = (paddle.nn.Linear(8, 8) for _ in range(3))
        self.out = paddle.nn.Linear(8, 8)
        self.gate_up = paddle.nn.Linear(8, 32, bias_attr=False)
        self.down = paddle.nn.Linear(16, 8)

    def forward(self, x):
        normed = self.norm(x)
        weights = self.query(normed) @ self.key(normed).transpose([0, 2, 1])
        x = x + self.out(paddle.nn.functional.softmax(weights) @ self.value(normed))
        gate, up = self.gate_up(x).chunk(2, -1)
        return x + self.down(paddle.nn.functional.silu(gate) * up)


def pair():
    values = np.random.default_rng(0).standard_normal((2, 3, 8)).astype("float32")
    return PaddleBlock(), TorchBlock(), ({"x": paddle.to_tensor(values)}, {"x": values})


@pytest.fixture(scope="module")
def entries():
    layer, module, (ours, theirs) = pair()
    example = ours, {"x": torch.from_numpy(theirs["x"])}
    return suggest_layer_map(layer, module, example)[0].parameters


def by_paddle(statements, sources, targets):
    """What Paddle's own engine comes to, from slices of the sources."""
    engine = pytest.importorskip("paddle.distributed.flex_checkpoint.aoa.aoa_engine")
    sharded = pytest.importorskip("paddle.distributed.flex_checkpoint.dcp.sharded_weight")

    def whole(arrays):
        return {
            name: [
                sharded.ShardedWeightDesc(
                    name, array.shape, array.shape, (0,) * array.ndim, str(array.dtype)
                )
            ]
            for name, array in arrays.items()
        }

    aoa = engine.AOAEngine(
        aoa_config={"aoa_statements": list(statements)},
        source_state_shard_info=whole(sources),
        destination_state_shard_info=whole(targets),
    )
    made = {}
    for name, array in targets.items():
        made[name] = np.full(array.shape, -1, array.dtype)
        for entry in aoa.find_shard_sources(whole(targets)[name][0]):
            part, into = entry.source_slice, entry.target_slice
            taken = sources[part.key][_slices(part)]
            for step in entry.postprocess_list or []:
                if step.startswith("["):
                    taken = taken.transpose(ast.literal_eval(step))
            made[name][_slices(into)] = taken
    return made


def _slices(shard):
    return tuple(
        slice(start, start + length)
        for start, length in zip(shard.global_offset, shard.local_shape, strict=True)
    )


def _arrays(entries):
    """Sources with a number of its own in every element, and parameters by the map's pieces."""
    sources, start = {}, 0
    for entry in entries:
        for name, shape in entry.seconds.items():
            if name not in sources:
                size = int(np.prod(shape))
                sources[name] = np.arange(start, start + size, dtype="int64").reshape(shape)
                start += size
    targets = {}
    for entry in entries:
        target = np.zeros(int(np.prod(entry.shape)), "int64")
        for piece in entry.row.pieces:
            taken = sources[piece.second].reshape(-1)[piece.second_view.indices().reshape(-1)]
            target[piece.first_view.indices().reshape(-1)] = taken
        targets[entry.paddle_name] = target.reshape(entry.shape)
    return sources, targets


def test_paddle_reads_them_as_the_map_has_it(entries):
    statements = aoa_statements(entries)
    assert "norm.weight -> norm.weight" in statements
    assert "out.weight^T -> out.weight" in statements
    assert "gate.weight^T, up.weight^T -> gate_up.weight, axis = 1" in statements
    sources, targets = _arrays(entries)
    made = by_paddle(statements, sources, targets)
    for name, wanted in targets.items():
        assert np.array_equal(made[name], wanted), name


def test_statements_written_by_hand(entries):
    right = [
        "norm.weight -> norm.weight",
        "qkv.weight^T -> query.weight, key.weight, value.weight, axis=1",
        "qkv.bias -> query.bias, key.bias, value.bias, axis=0",
        "out.weight^T -> out.weight",
        'down.weight -> down.weight, permute="[]"',
        "gate.weight^T, up.weight^T -> gate_up.weight, fused_ffn",
    ]
    assert check_aoa([read_statement(text) for text in right], entries) == []
    swapped = [*right[:-1], "up.weight^T, gate.weight^T -> gate_up.weight, axis=1"]
    (sentence,) = check_aoa([read_statement(text) for text in swapped], entries)
    assert sentence.startswith("gate_up.weight: 256 of 256 elements come from elsewhere")
    assert "from up.weight[0, 0], by the map from gate.weight[0, 0]" in sentence
    lacking = [text for text in right if "out.weight" not in text]
    (sentence,) = check_aoa([read_statement(text) for text in lacking], entries)
    assert sentence.startswith("out.weight: ")
    plain = [*right[:3], "out.weight -> out.weight", *right[4:]]
    (sentence,) = check_aoa([read_statement(text) for text in plain], entries)
    assert sentence.startswith("out.weight: 56 of 64 elements")


def test_macros():
    sources = {f"layers.{n}.w": np.arange(6).reshape(2, 3) + 10 * n for n in (0, 2)}
    made = carried_out([read_statement("layers.$LAYER_ID.w^T -> h.$LAYER_ID.w")], sources)
    assert {name: array.shape for name, array in made.items()} == {
        "h.0.w": (3, 2),
        "h.2.w": (3, 2),
    }
    q, k, v = np.arange(8).reshape(1, 8), np.arange(10, 14).reshape(1, 4), np.arange(20, 24)
    text = "q, k, v -> qkv, fused_qkv, num_heads=4, num_key_value_groups=2, axis=1"
    held = {"q": q, "k": k, "v": v.reshape(1, 4)}
    fused = carried_out([read_statement(text)], held)["qkv"]
    assert fused.tolist() == [[0, 1, 2, 3, 10, 11, 20, 21, 4, 5, 6, 7, 12, 13, 22, 23]]
    back = "qkv -> q, k, v, fused_qkv, num_heads=4, num_key_value_groups=2, axis=1"
    apart = carried_out([read_statement(back)], {"qkv": fused})
    assert all(np.array_equal(apart[name], held[name]) for name in held)
    assert carried_out([read_statement("_ -> x")], {}) == {"x": None}


def test_repeated_layers_are_one_statement():
    """Two layers that repeat, a number that only one side has, experts put together and apart."""
    numbers = iter(range(10**6))
    shapes = {
        **{f"layers.{n}.fc.weight": (2, 3) for n in range(11)},
        **{f"layers.{n}.experts.{m}.w": (2, 3) for n in range(2) for m in range(3)},
        "norms.0.weight": (4,),
        "norms.1.weight": (4,),
        "fused.weight": (6, 2),
    }
    sources = {
        name: np.array([next(numbers) for _ in range(math.prod(shape))]).reshape(shape)
        for name, shape in shapes.items()
    }
    experts = [[f"layers.{n}.experts.{m}.w" for m in range(3)] for n in range(2)]
    targets = {
        **{f"h.{n}.fc.weight": sources[f"layers.{n}.fc.weight"].T for n in range(11)},
        **{f"h.{n}.w": np.concatenate([sources[w] for w in experts[n]], 1) for n in range(2)},
        "norm.weight": sources["norms.1.weight"],
        **{f"part.{n}.w": part for n, part in enumerate(np.split(sources["fused.weight"], 3))},
    }
    plain = [
        *(f"layers.{n}.fc.weight^T -> h.{n}.fc.weight" for n in range(11)),
        *(f"{', '.join(experts[n])} -> h.{n}.w, axis = 1" for n in range(2)),
        "norms.1.weight -> norm.weight",
        "fused.weight -> part.0.w, part.1.w, part.2.w, axis = 0",
    ]
    said = folded(plain, sources, targets)
    assert said == (
        "layers.$LAYER_ID.fc.weight^T -> h.$LAYER_ID.fc.weight",
        "layers.0.experts.*.w -> h.0.w, axis = 1",
        "layers.1.experts.*.w -> h.1.w, axis = 1",
        "norms.1.weight -> norm.weight",
        "fused.weight -> part.*.w, axis = 0",
    )
    made = carried_out([read_statement(text) for text in said], sources, targets)
    read = by_paddle(said, sources, targets)
    for name, wanted in targets.items():
        assert np.array_equal(made[name], wanted), name
        assert np.array_equal(read[name], wanted), name
    some = folded(plain[:3], sources, targets)
    assert some == tuple(plain[:3]), "a placeholder would stand for eleven layers"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a b", "expected"),
        ("a -> b.*", "stands for no name"),
        ("a.*.* -> b", "one \\*"),
        ("a -> b, colour='red'", "colour"),
        ("a, b -> c, d, axis=0", "neither"),
        ("a -> b^T", "assigned"),
        ("a -> 9b", "no name"),
        ("missing -> b", "no 'missing'"),
        ("a -> b, c, axis=0", "a -> b, c"),
        ("a -> b, axis=", "no name"),
        ("a -> b, axis=99999999999", "too large"),
        ('a -> b, permute="' + "[" * 5000 + '"', "a -> b"),
        ("a, a -> b, c, fused_ffn", "yields 1 and names 2"),
    ],
)
def test_wrong_statements(text, says):
    with pytest.raises(UsageError, match=says):
        carried_out([read_statement(text)], {"a": np.zeros((3, 2))})


def test_statements_that_double_a_tensor_without_end_are_stopped():
    with pytest.raises(UsageError, match="more than there is"):
        carried_out([read_statement("a, a -> a")] * 60, {"a": np.zeros((3, 2))})


def test_files(entries, tmp_path):
    path = tmp_path / "aoa.json"
    said = write_aoa(entries, path, unused=["spare.weight"])
    assert json.loads(path.read_text()) == {"aoa_statements": list(said)}
    assert said[-1] == "spare.weight -> _"
    assert check_aoa(read_aoa(path), entries) == []
    (tmp_path / "lines.txt").write_text("# by hand\n" + "\n".join(said))
    assert check_aoa(read_aoa(tmp_path / "lines.txt"), entries) == []
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        read_aoa(tmp_path / "broken.json")


def test_command_line(tmp_path, monkeypatch, capsys):
    import tests.models.cli_pairs  # noqa: F401

    path = tmp_path / "aoa.json"
    target = "tests.models.cli_pairs:healthy"
    assert (
        run(lambda: cli.main(["suggest", target, "--aoa", str(path)], standalone_mode=False)) == 0
    )
    assert "statements" in capsys.readouterr().out
    again = ["suggest", target, "-q", "--check-aoa", str(path)]
    assert run(lambda: cli.main(again, standalone_mode=False)) == 0
    assert "AOA: all 6 parameters" in capsys.readouterr().out
    path.write_text("a.bias -> first.bias\n")
    assert run(lambda: cli.main(again, standalone_mode=False)) == 1
    assert "AOA: 5 of 6" in capsys.readouterr().out
