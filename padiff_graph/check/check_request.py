"""What a call of `compare` asks, read and held against the models before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from padiff_graph.alignment.correspondence import ResolvedMap
from padiff_graph.capture.late_weights import late_model
from padiff_graph.capture.remote.handles import AbsentModel
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.referee.tolerance import Tolerance
from padiff_graph.request.batches import split_batches
from padiff_graph.request.inputs import Inputs, check_inputs, check_models
from padiff_graph.request.loss_pair import check_losses
from padiff_graph.request.options import Options, parse_options
from padiff_graph.request.saved_outputs import SavedOutputs, read_saved
from padiff_graph.training.losses import Losses
from padiff_graph.training.optimizers import Stepper, check_optimizers, check_train_step
from padiff_graph.weights.fused_branches import Fusion

__all__ = ["CheckRequest", "read_request"]

UNGRADED = "an ONNX model has no gradients: forward only was compared"
"""What is said of a check of an exported model."""


@dataclass(frozen=True)
class CheckRequest:
    """One call of `compare`.

    Attributes:
        layer, module: the first and the second model.
        inputs: an example for each, and which leaf of one is which of the other.
        frameworks: of the first and the second model.
        auto_weights: whether the second model's weights are copied into the first.
        steps: training steps to take.
        options: what is compared, and how.
        scope: the layer map, held against the models.
        losses, steppers: the user's; None where none were given.
        notes: what the user should know of the request, in sentences.
        folded: whether one model's weights turned out to be folded into others.
        branches: operations that turned out to stand for branches of the other model.
        further: inputs of the training steps behind the first.
        loops: the user's own training steps; None where the tool makes them.
        from_file: whether the weights of the second model, an ONNX file, may be copied into the
            first, where that holds others.
        observed: what the user saw between two runs in half precision; None where nothing was.
    """

    layer: Any
    module: Any
    inputs: Inputs
    frameworks: tuple[str, str]
    auto_weights: bool
    steps: int
    options: Options
    scope: ResolvedMap
    losses: Losses | None
    steppers: tuple[Stepper, Stepper] | None
    notes: tuple[str, ...] = ()
    folded: bool = False
    branches: tuple[Fusion, ...] = ()
    further: tuple[Inputs, ...] = ()
    loops: tuple[Any, Any] | None = None
    from_file: bool = False
    observed: float | SavedOutputs | None = None

    @property
    def batches(self) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Inputs of the training steps."""
        return [(inputs.first, inputs.second) for inputs in (self.inputs, *self.further)]

    @property
    def tolerance(self) -> Tolerance:
        """What differences are held against."""
        options = self.options
        return Tolerance(options.rtol, options.atol, options.compare_mode, options.tolerances)

    @property
    def models(self) -> tuple[Any, Any]:
        """The first and the second."""
        return self.layer, self.module

    @property
    def examples(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The first's and the second's."""
        return self.inputs.first, self.inputs.second

    @property
    def deployed(self) -> bool:
        """Whether a model's weights are folded into others, as an exporter does, so that numbers
        decide there."""
        return self.folded or self.exported

    @property
    def exported(self) -> bool:
        """Whether a model is a file, which keeps nothing between calls."""
        return "onnx" in self.frameworks

    @property
    def names(self) -> tuple[str, str]:
        """Class names of the models; the path of one that is a file."""
        return _name(self.layer), _name(self.module)

    @property
    def given(self) -> dict[str, Any]:
        """The options as given, for the report."""
        return {
            **self.options.as_dict(),
            "auto_weights": self.auto_weights,
            "steps": self.steps,
        }


def _name(model: Any) -> str:
    if isinstance(model, AbsentModel):
        return model.class_name
    return model if isinstance(model, str) else type(model).__name__


def read_request(
    layer: Any,
    module: Any,
    example_inp: Any,
    auto_weights: bool,
    steps: int,
    options: Mapping[str, Any] | None,
    layer_map: Any,
    loss_fn: Any,
    optimizer: Any,
    train_step: Any = None,
) -> CheckRequest:
    """The call as a record; arguments as of `compare`.

    Raises:
        UsageError: for a call that cannot mean anything.
    """
    if optimizer is not None and train_step is not None:
        raise UsageError(
            "optimizer and train_step were both given: a train_step takes its optimizer's step by "
            "itself; leave one of them out"
        )
    asked = parse_options(options, steps, optimizer if train_step is None else train_step)
    if not isinstance(auto_weights, bool):
        raise UsageTypeError(
            f"auto_weights is True or False; found {auto_weights!r} ({type(auto_weights).__name__})"
        )
    frameworks = check_models(layer, module)
    if asked.precision:
        _check_stand_ins((layer, module), frameworks)
    deployed = "onnx" in frameworks
    if deployed:
        asked = _forward_only(asked, options)
    pairs = split_batches(example_inp, steps)
    inputs, *further = (check_inputs(layer, module, pair) for pair in pairs)
    losses = check_losses(loss_fn, frameworks)
    _check_trainable((layer, module), optimizer if train_step is None else train_step)
    steppers = check_optimizers(optimizer, (layer, module), frameworks)
    if train_step is not None:
        steppers = check_train_step(train_step, (layer, module), frameworks)
    observed = asked.observed
    seen = read_saved(*observed) if isinstance(observed, tuple) else observed
    both = None
    if losses[0] is not None and losses[1] is not None:
        both = Losses((losses[0], losses[1]), frameworks)
    return CheckRequest(
        layer,
        module,
        inputs,
        frameworks,
        auto_weights and not deployed,
        int(steps),
        asked,
        LayerMap.of(layer_map).resolve(layer, module),
        both,
        steppers,
        (UNGRADED,) if deployed else (),
        further=tuple(further),
        loops=None if train_step is None else (train_step[0], train_step[1]),
        from_file=auto_weights and frameworks[1] == "onnx" != frameworks[0],
        observed=seen,
    )


def _check_trainable(models: tuple[Any, Any], trained_by: Any) -> None:
    """Refuses training where a model's weights are in files."""
    if trained_by is not None and any(late_model(model) is not None for model in models):
        raise UsageError(
            "optimizer, train_step: a model whose weights are read from files is not trained; "
            "leave them out"
        )


def _check_stand_ins(models: tuple[Any, Any], frameworks: tuple[str, str]) -> None:
    """Refuses half precision where a model cannot be copied in float64 here."""
    for name, model, framework in zip(("layer", "module"), models, frameworks, strict=True):
        if late_model(model) is not None:
            found = "a model whose weights are read from files"
        elif isinstance(model, AbsentModel):
            found = model.kind
        elif framework == "onnx":
            found = "an ONNX model, whose file fixes every dtype"
        else:
            continue
        raise UsageError(
            "options: precision looks at copies of both models, which are torch modules or Paddle "
            f"layers of this process; found {name}: {found}; leave precision out"
        )


def _forward_only(asked: Options, given: Mapping[str, Any] | None) -> Options:
    """The options where a model is ONNX: forward only, and with the weights that the file carries.

    An exporter folds, transposes and merges weights; what it made of them is part of what is
    checked.
    """
    if given and asked.backward and "diff_phase" in given:
        raise UsageError(
            "an ONNX model has no gradients: diff_phase is 'forward' here; "
            f"found {asked.diff_phase!r}"
        )
    return replace(asked, diff_phase="forward")
