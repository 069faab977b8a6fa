"""The ladder of ways to capture a torch model: a table, climbed down until one succeeds.

Each step down is noted with its reason. A capture that succeeds and turns out unfaithful is made
anew by the next way (`trace(below=)`).
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from padiff_graph.capture import leaf_names
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.chatter import Chatter, without_chatter
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.late_weights import late_model
from padiff_graph.capture.torch import effects, values
from padiff_graph.capture.torch.aliases import Untold
from padiff_graph.capture.torch.flat_model import FlatModel
from padiff_graph.capture.torch.fx_places import foreign
from padiff_graph.capture.torch.internals import SWITCHES_ITSELF
from padiff_graph.capture.torch.late_weights import shaped
from padiff_graph.capture.torch.quiet import quiet, without_warnings
from padiff_graph.capture.torch.traced_graph import Session, graph_of
from padiff_graph.capture.torch.tracers import Traced, along_example, below_autograd, by_export

__all__ = ["RUNGS", "Rung", "Session", "trace"]

LOG = logging.getLogger(__name__)


class Rung(NamedTuple):
    """One way to capture.

    Attributes:
        name: as notes and messages say it.
        capture: traces the model on the example's leaves.
        tried: when.
        why: what it has that the others lack.
    """

    name: str
    capture: Callable[[FlatModel, Sequence[torch.Tensor]], Traced]
    tried: str
    why: str


RUNGS = [
    Rung(
        "torch.export",
        by_export,
        tried="first",
        why="sees every operator whole, and needs shapes alone",
    ),
    Rung(
        "make_fx along the example",
        along_example,
        tried="where Python depends on what is computed, and the example has numbers",
        why="follows the path that the example takes; operators still whole",
    ),
    Rung(
        "make_fx along the example, below autograd",
        below_autograd,
        tried="where the model transforms functions (vmap, a gradient inside forward)",
        why="transformations are gone at this level; operators come in parts",
    ),
]
"""Ways to capture, best first."""

CHATTER = Chatter(
    "torch",
    os.path.dirname(torch.__file__) + os.sep,
    stand_ins=("FakeTensor(", "_to_functional_tensor("),
    switches=("TORCH_LOGS", "TORCH_TRACE"),
)
MESSAGE = 300
"""Characters of another tool's message that a note quotes: chosen so that one line of torch's own
messages comes whole."""


@dataclass
class _Attempts:
    """What was tried in vain: (rung, reason), and the user's line of the last that named one."""

    reasons: list[tuple[str, str]] = field(default_factory=list)
    source: str = ""

    def add(self, rung: str, error: Exception) -> None:
        reason, source = _first_line(error), _source_of(error)
        if isinstance(error, Untold):
            reason, source = str(error), error.source
        if source:
            self.source = source
            reason += f" ({source})"
        self.reasons.append((rung, reason))


def trace(
    model: torch.nn.Module, example: Mapping[str, Any], *, below: str = ""
) -> ComputationGraph:
    """Captures a model in the mode it is in, uncertified.

    Args:
        model: the user's model; as before afterwards.
        example: keyword arguments; tensors on the meta device stand for shapes.
        below: skip the rungs down to this one.

    Raises:
        CaptureError: where no rung succeeds.
    """
    tensors = _tensors(model, example)
    late = late_model(model) is not None
    abstract = any(tensor.is_meta for tensor in (*tensors.values(), *model.parameters()))
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    given = {
        name: _fresh(tensor, device if abstract and not late else tensor.device)
        for name, tensor in tensors.items()
    }
    attempts = _Attempts()
    for rung in _rungs(below):
        try:
            graph = _by(rung, model, example, given, abstract)
        except Exception as error:
            # whatever a tracer or a user's forward raises: the next rung may do
            attempts.add(rung.name, error)
            LOG.debug("%s failed", rung.name, exc_info=error)
        else:
            tried = [f"not captured by {name}: {reason}" for name, reason in attempts.reasons]
            graph.notes[:0] = tried
            return graph
    raise CaptureError(_failure(model, attempts), attempts.source, tuple(attempts.reasons))


def _rungs(below: str) -> Iterator[Rung]:
    names = ["", *(rung.name for rung in RUNGS)]
    yield from RUNGS[names.index(below) :]


def _by(
    rung: Rung,
    model: torch.nn.Module,
    example: Mapping[str, Any],
    given: Mapping[str, torch.Tensor],
    abstract: bool,
) -> ComputationGraph:
    """The graph by one rung; by inputs without gradient where the model switches it on itself."""
    try:
        return _by_inputs(rung, FlatModel(model, example, abstract), given)
    except Exception as error:
        if SWITCHES_ITSELF not in str(error):
            raise
    plain = {name: tensor.detach() for name, tensor in given.items()}
    graph = _by_inputs(rung, FlatModel(model, example, abstract), plain)
    graph.notes.append(
        "the model switches gradients of its input on by itself;"
        " gradients of the inputs are not compared"
    )
    return graph


def _by_inputs(rung: Rung, flat: FlatModel, given: Mapping[str, torch.Tensor]) -> ComputationGraph:
    with (
        effects.recorded() as recorded,
        quiet(flat.model),
        shaped(flat.model) if late_model(flat.model) else nullcontext(),
        without_warnings(),
        without_chatter(CHATTER),
        torch.enable_grad(),
    ):
        traced = rung.capture(flat, list(given.values()))
    late = late_model(flat.model) is not None
    return graph_of(flat, given, traced, recorded, rung.name, abstract=flat.abstract and not late)


def _tensors(model: torch.nn.Module, example: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The example's tensors by leaf name.

    Raises:
        CaptureError: there are none, or the model has parameters without a shape.
    """
    for name, parameter in model.named_parameters():
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise CaptureError(
                f"parameter {name} has no shape yet;"
                " run the model once on an example before capturing it"
            )
    tensors = leaf_names.leaves(example, values.is_tensor)
    if not tensors:
        held = ", ".join(f"{name}: {type(value).__name__}" for name, value in example.items())
        raise CaptureError(
            f"the example holds no torch tensor (found {held or 'nothing'});"
            " give the inputs of forward by name"
        )
    return tensors


def _fresh(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A fresh leaf for an input, on the model's device where only shapes count."""
    if tensor.is_meta and device.type != "meta":
        fresh = torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
    else:
        fresh = tensor.detach().to(device)
        if fresh.is_inference():
            with torch.inference_mode(False):
                fresh = fresh.clone()
    if fresh.is_floating_point():
        fresh.requires_grad_()
    return fresh


# -- errors


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:MESSAGE]}"


def _source_of(error: BaseException) -> str:
    """The innermost line of the user's code in an exception's traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not foreign(frame.filename):
            return f"{frame.filename}:{frame.lineno}"
    return ""


def _failure(model: torch.nn.Module, attempts: _Attempts) -> str:
    tried = "; ".join(f"{name}: {reason}" for name, reason in attempts.reasons)
    at = f" at {attempts.source}" if attempts.source else ""
    return (
        f"{type(model).__name__} could not be captured{at}. Tried {tried or 'nothing'}. Check that"
        " the model runs eagerly on the example; where Python decides on computed numbers (.item(),"
        " if tensor:, numpy), move that out of forward or give an example with numbers; or map the"
        " sub-model that fails with LayerMap so that it is compared from outside."
    )
