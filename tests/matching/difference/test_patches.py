"""Patches of another size: one cause at the layer, and under it what has to fit their number."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

IMAGE = np.random.default_rng(5).standard_normal((2, 3, 32, 32)).astype("float32")


def _patched(
    lib: Any, base: Any, patch: int, stride: int = 0, rows: int = 0, mixed: int = 9
) -> Any:
    """Patches with a row of a table each, mixed by two layers over them.

    `rows`: the table has more, of which a slice is read."""

    class Patched(base):
        def __init__(self) -> None:
            super().__init__()
            convolution = lib.nn.Conv2D if lib is paddle else lib.nn.Conv2d
            self.patches = convolution(3, 8, patch, stride or patch)
            count = ((32 - patch) // (stride or patch) + 1) ** 2
            self.count = count + 1
            self.table = _parameter(lib, self, [1, rows or count + 1, 8])
            self.token = _parameter(lib, self, [1, 1, 8])
            self.spread, self.gather = (
                lib.nn.Linear(count + 1, mixed),
                lib.nn.Linear(mixed, count + 1),
            )
            self.head = lib.nn.Linear(8, 4)

        def forward(self, image: Any) -> Any:
            found = _turned(lib, self.patches(image).flatten(2))
            tokens = [self.token.expand([2, 1, 8]), found]
            found = lib.concat(tokens, 1) if lib is paddle else lib.cat(tokens, 1)
            found = found + (self.table[:, : self.count] if rows else self.table)
            mixed = self.gather(lib.nn.functional.gelu(self.spread(_turned(lib, found))))
            return self.head((found + _turned(lib, mixed))[:, 0])

    return Patched().eval()


def _turned(lib: Any, value: Any) -> Any:
    return value.transpose(1, 2) if lib is torch else value.transpose([0, 2, 1])


def _parameter(lib: Any, layer: Any, shape: list[int]) -> Any:
    if lib is torch:
        return torch.nn.Parameter(torch.randn(shape))
    normal = paddle.nn.initializer.Normal()
    return layer.create_parameter(shape, default_initializer=normal)


def _told(first: dict[str, int], second: dict[str, int]) -> list[tuple[str, set[str]]]:
    example = {"image": paddle.to_tensor(IMAGE)}, {"image": torch.from_numpy(IMAGE.copy())}
    layer = _patched(paddle, paddle.nn.Layer, **first)
    module = _patched(torch, torch.nn.Module, **second)
    found = pg.compare(layer, module, example, options={"rtol": 1e-4, "atol": 1e-5}).findings
    return [(each.cause_id, {path for path, _ in each.places}) for each in found if each.fails]


FOLLOWING = {"patches", "", "spread", "gather"}


@pytest.mark.parametrize("first", [16, 8])
def test_patches_of_another_size_are_one_cause(first: int) -> None:
    told = _told({"patch": first}, {"patch": 24 - first})
    assert told == [("size.kernel_size", FOLLOWING)]


def test_equal_patches_are_no_cause() -> None:
    assert _told({"patch": 16}, {"patch": 16}) == []


@pytest.mark.parametrize(
    ("first", "second", "causes"),
    [
        # a width that is no number of patches
        ({"patch": 16}, {"patch": 8, "mixed": 12}, ["size.kernel_size", "size.out_features"]),
        # a step that is no kernel
        ({"patch": 16}, {"patch": 8, "stride": 4}, ["attribute.strides", "size.kernel_size"]),
        # a table that is longer than what is read of it
        (
            {"patch": 16, "rows": 70},
            {"patch": 8, "rows": 90},
            ["size.kernel_size", "size.shape"],
        ),
    ],
)
def test_what_does_not_follow_is_a_cause_of_its_own(
    first: dict[str, int], second: dict[str, int], causes: list[str]
) -> None:
    assert sorted(cause for cause, _ in _told(first, second)) == causes


def _pooled(nn: Any, kernel: int, stride: int) -> Any:
    kinds = (nn.MaxPool2D, nn.Conv2D) if nn is paddle.nn else (nn.MaxPool2d, nn.Conv2d)
    return nn.Sequential(kinds[1](3, 4, 3), kinds[0](kernel, stride)).eval()


@pytest.mark.parametrize(
    ("second", "causes"),
    [
        ((2, 2), []),
        ((3, 3), ["attribute.kernel_shape"]),
        ((3, 2), ["attribute.kernel_shape"]),
        ((2, 3), ["attribute.strides"]),
        ((3, 1), ["attribute.kernel_shape", "attribute.strides"]),
    ],
)
def test_a_pooling_that_steps_by_its_kernel_has_no_other_step(
    second: tuple[int, int], causes: list[str]
) -> None:
    layer, module = _pooled(paddle.nn, 2, 2), _pooled(torch.nn, *second)
    example = {"input": paddle.to_tensor(IMAGE)}, {"input": torch.from_numpy(IMAGE.copy())}
    diff = pg.structural_diff(layer, module, example)
    assert sorted(found.cause_id for found in diff.findings if found.fails) == causes
