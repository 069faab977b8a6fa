"""Named rewrites over the drafts of a normal form, in the order they run."""

from __future__ import annotations

from collections.abc import Callable

from padiff_graph.capture.normal.builder import Builder

__all__ = ["REWRITES"]

REWRITES: tuple[Callable[[Builder], None], ...] = ()
