"""Paddle's dygraph-to-static transform, kept to what a capture needs of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paddle
from paddle.jit.dy2static import convert_call_func, program_translator

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.internals import Patch
from padiff_graph.capture.paddle.user_lines import OURS

__all__ = ["deep_enough", "transformed", "transforming"]

CONFIGURATIONS = ("Config", "Configuration")
"""How class names of plain configuration objects end (transformers, paddlenlp, paddleformers)."""

FRAMES_A_LEVEL = 40
"""Python frames that one more level of nested layers may take.

Chosen so that layers nested 200 deep are captured with room to spare, also where the transform
parses the source of the innermost one (`tests/capture/paddle/test_published.py`).
"""


def transformed(model: paddle.nn.Layer) -> Callable[..., Any]:
    """The layer's forward with its control flow made operations, and all that it calls."""
    called: Callable[..., Any] = convert_call_func.convert_call(model)
    return called


@contextmanager
def transforming(model: paddle.nn.Layer, *, own_code_only: bool) -> Iterator[None]:
    """Limits what is transformed, and transforms each function once.

    Args:
        own_code_only: only code in the files that define the model's layers.
    """
    files = frozenset(map(_file, model.sublayers(include_self=True))) if own_code_only else None
    plain = convert_call_func.is_unsupported

    def unsupported(function: Any) -> bool:
        return _left_alone(function, files) or bool(plain(function))

    cache = program_translator._FUNCTION_CACHE
    patches = [
        Patch(convert_call_func, "is_unsupported", unsupported, "transforms too much"),
        Patch(cache, "convert_with_cache", _by_function(cache), "forgets bound methods"),
    ]
    with internals.patched(patches):
        yield


def _file(layer: paddle.nn.Layer) -> str:
    code = getattr(type(layer).forward, "__code__", None)
    return "" if code is None else str(code.co_filename)


def _left_alone(function: Any, files: frozenset[str] | None) -> bool:
    """Whether a function is not to be transformed; `files` limits the code, None does not."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is not None and code.co_filename.startswith(OURS):
        return True
    if _of_configuration(function):
        return True
    if files is None:
        return False
    if code is None:
        return not isinstance(function, paddle.nn.Layer)
    return code.co_filename not in files


def _of_configuration(function: Any) -> bool:
    """Whether a function is a method of a plain configuration object, which handles no tensors."""
    owner = type(getattr(function, "__self__", function))
    names = (cls.__name__ for cls in owner.__mro__)
    return not issubclass(owner, paddle.nn.Layer) and any(
        name.endswith(CONFIGURATIONS) for name in names
    )


def _by_function(cache: Any) -> Callable[[Any], Any]:
    """Paddle keeps transformed functions by the bound method, which is made anew for every call: a
    layer class would be transformed once for each of its instances."""
    plain = cache.convert_with_cache
    known: dict[int, tuple[Any, Any]] = {}

    def converted(function: Any) -> Any:
        own = getattr(function, "__func__", function)
        if id(own) not in known:
            known[id(own)] = own, plain(function)
        return known[id(own)][1]

    return converted


@contextmanager
def deep_enough(depth: int) -> Iterator[None]:
    """Lets Python nest as deep as layers nested so many levels deep need."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + FRAMES_A_LEVEL * depth)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
