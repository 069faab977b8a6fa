"""Causes in English, one table a family; facts stand in braces."""

from __future__ import annotations

from collections.abc import Mapping

from padiff_graph.findings.sentences.framework_sentences import FRAMEWORKS, TOLERANCE
from padiff_graph.findings.sentences.precision_sentences import PRECISIONS
from padiff_graph.findings.sentences.structure_sentences import STRUCTURE
from padiff_graph.findings.sentences.training_sentences import TRAINING
from padiff_graph.findings.sentences.value_sentences import (
    DEEDS,
    GRADIENTS,
    MOVES,
    OUTPUTS,
    STATE,
    VALUES,
)
from padiff_graph.findings.sentences.weight_sentences import WEIGHTS

__all__ = ["DEEDS", "MOVES", "SENTENCES"]

SENTENCES: Mapping[str, tuple[str, ...]] = {
    **STRUCTURE,
    **GRADIENTS,
    **VALUES,
    **PRECISIONS,
    **OUTPUTS,
    **STATE,
    **FRAMEWORKS,
    **TOLERANCE,
    **WEIGHTS,
    **TRAINING,
}
"""A kind, or the family before its dot, and its sentences: the first one all of whose facts are
there."""
