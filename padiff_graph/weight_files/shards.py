"""An index of shards: which file holds which tensor of a model that is kept in several."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from padiff_graph.errors import UsageError

__all__ = ["INDEX", "lies_below", "shards"]

INDEX = ".index.json"


def shards(index: Path) -> dict[str, str]:
    """The shard of each tensor, a file in the index's folder or below."""
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        places = None
    if not isinstance(places, dict):
        raise UsageError(
            f"{index}: expected an index of shards, JSON with a weight_map from tensor to file; "
            "found none; download or save it again"
        )
    for name, shard in places.items():
        if not lies_below(shard):
            raise UsageError(
                f"{index}: expected a checkpoint file beside the index for {name}; "
                f"found {shard!r:.80}"
            )
    return places


def lies_below(shard: Any) -> bool:
    """Whether it names a file in this folder or below, and no further index."""
    if not isinstance(shard, str) or not shard.isprintable() or shard.endswith(INDEX):
        return False
    windows = PureWindowsPath(shard)
    return bool(
        PurePosixPath(shard).name
        and not PurePosixPath(shard).is_absolute()
        and not windows.anchor
        and ".." not in windows.parts
    )
