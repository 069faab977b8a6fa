"""One small pair, made and checked: whether it still shows the finding."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import NotRunnable
from padiff_graph.check.comparison import compare
from padiff_graph.errors import UsageError
from padiff_graph.findings.finding import Finding
from padiff_graph.report.report import Report
from padiff_graph.report.report_json import finding_data
from padiff_graph.report.told_findings import same_values, told_finding
from padiff_graph.shrinking.pair_text import arrays_of, pair_text
from padiff_graph.shrinking.piece import Piece

__all__ = ["Shown", "Trials"]

VALUES = ("first_value", "second_value")
"""Facts that must stay as they are where they are no extents."""


@dataclass(frozen=True)
class Shown:
    """A piece whose pair shows the finding.

    Attributes:
        piece: what it was made from.
        report: of its check.
        finding: the same cause in it.
        models: the first and the second.
    """

    piece: Piece
    report: Report
    finding: Finding
    models: tuple[Any, Any]


@dataclass
class Trials:
    """Small pairs tried one after the other.

    Attributes:
        finding: what they must show.
        options: those of the check.
        folder: where their sources stand.
        checks: how many were compared.
        why: what the last one that was no good showed instead.
    """

    finding: Finding
    options: Mapping[str, Any]
    folder: Path
    checks: int = 0
    count: int = 0
    why: str = ""

    @classmethod
    def of(cls, finding: Finding, options: Mapping[str, Any]) -> Trials:
        """In a new folder, which `close` takes away."""
        return cls(finding, options, Path(tempfile.mkdtemp(prefix="padiff-graph-shrink-")))

    def close(self) -> None:
        """Takes the sources away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def shown(self, piece: Piece) -> Shown | None:
        """The piece's pair where it shows the finding, and nothing else that fails; None where it
        does not, and `why`."""
        try:
            layer, module, inputs = self._made(piece)
        except NotRunnable as error:
            self.why = str(error)
            return None
        except Exception as error:  # of the frameworks: sizes that do not go together
            self.why = f"the operations do not go together ({type(error).__name__})"
            return None
        self.checks += 1
        try:
            report = compare(layer, module, inputs, options=dict(self.options))
        except UsageError as error:  # inputs of one side that the other does not read
            self.why = f"it cannot be compared: {error}"
            return None
        failing = [finding for finding in report.findings if finding.fails]
        alike = [finding for finding in failing if self._same(finding)]
        if not alike or len(alike) < len(failing):
            shown = ", ".join(dict.fromkeys(finding.cause_id for finding in failing))
            self.why = f"it shows {shown}" if shown else "the difference is gone"
            return None
        return Shown(piece, report, alike[0], (layer, module))

    def _made(self, piece: Piece) -> tuple[Any, Any, Any]:
        """Both models with their inputs, once run."""
        self.count += 1
        path = self.folder / f"pair_{self.count}.py"
        path.write_text(pair_text(piece), encoding="utf-8")
        np.savez(path.with_suffix(".npz"), **arrays_of(piece))  # type: ignore[arg-type]
        layer, module, inputs = run_path(str(path))["pair"]()
        for model, example in ((layer, inputs[0]), (module, inputs[1])):
            with backend(_framework(piece, model, layer)).engine(model).quiet():
                model(**example)
        return layer, module, inputs

    def _same(self, finding: Finding) -> bool:
        """Whether a finding of a small pair is the one that is looked for."""
        if (finding.cause_id, finding.phase) != (self.finding.cause_id, self.finding.phase):
            return False  # in another phase it may be what rounding leaves of a zero
        if finding.cause_id.startswith("size."):
            return True
        wanted, found = (
            told_finding(finding_data(one)).values or {} for one in (self.finding, finding)
        )
        return all(
            same_values(wanted.get(name), found.get(name))
            for name in VALUES
            if not isinstance(wanted.get(name), list)
        )


def _framework(piece: Piece, model: Any, layer: Any) -> str:
    return piece.first.framework if model is layer else piece.second.framework
