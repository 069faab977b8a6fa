"""PaDiff 0.2 (pip install padiff==0.2.0) asked about one pair.

Whether it could run, what it says, and where.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["asked"]


def asked(
    layer: Any, module: Any, example: Any, parameters: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Its answer.

    "says" is "cannot" (it raises, or cannot copy the weights), "same" or "different"; "path" the
    layer that it prints as the first that differs, or the first of its list of gradients or
    weights; None where it names none.
    """
    os.environ["PADIFF_API_CHECK"] = "OFF"
    names = {id(sub): path for path, sub in layer.named_sublayers(include_self=True)}
    shown: list[str | None] = []
    said = io.StringIO()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(
            0, folder
        )  # where it writes its logs, fixed when it is imported: once in a process
        import padiff

        checker = sys.modules["padiff.trainer.Checker"]
        printing = checker.print_info

        def noted(item: Any, *rest: Any, **named: Any) -> Any:
            shown.append(names.get(id(item.net)))
            return printing(item, *rest, **named)

        checker.print_info = noted
        try:
            with contextlib.redirect_stdout(said):
                answer = padiff.auto_diff(
                    layer, module, example, options=dict(options), **parameters
                )
        except Exception as error:
            return {
                "says": "cannot",
                "error": f"{type(error).__name__}: {error}"[:200],
                "path": None,
            }
        finally:
            checker.print_info = printing
            sys.path.remove(folder)
        text = said.getvalue()
        if "Assign weight Failed" in text:
            return {"says": "cannot", "error": "it could not copy the weights", "path": None}
        logs = [Path(folder) / "diff_log" / name for name in ("grad_diff.log", "weight_diff.log")]
        listed = [
            found
            for log in logs
            if log.exists()
            for found in re.findall(r"paddle path:\s+(\S+)", log.read_text())
        ]
    path = (
        shown[0]
        if shown
        else (
            ""
            if "Diff found in loss" in text
            else _layer(listed[0], names.values())
            if listed
            else None
        )
    )
    return {
        "says": "same" if answer else "different",
        "error": "",
        "path": None if answer else path,
        "seconds": round(time.perf_counter() - start, 2),
    }


def _layer(parameter: str, paths: Any) -> str | None:
    """The longest module path that a parameter's path ends with, its own name left out."""
    owner = parameter.rpartition(".")[0]
    fits = [path for path in paths if path and (owner == path or owner.endswith("." + path))]
    return max(fits, key=len, default="" if owner else None)
