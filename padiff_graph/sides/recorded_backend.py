"""A framework of which a model is recorded: what is of the recording is answered from it, the rest
of the framework by what answers for it otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from padiff_graph.capture.abilities import Optimizers, State, Values
from padiff_graph.capture.backend import Backend, needed
from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.sides.recorded_engine import RecordedEngine
from padiff_graph.sides.recorded_model import RecordedModel, RecordedTensor
from padiff_graph.sides.recorded_training import RecordedOptimizer, RecordedOptimizers

__all__ = ["recorded_backend"]

RECORDED = (RecordedModel, RecordedOptimizer, RecordedTensor)
"""What is of a recording."""


def recorded_backend(framework: str, beside: Backend | None) -> Backend:
    """The backend of a framework while a model of it is a recording.

    Args:
        framework: its name.
        beside: what answers for its other models; None where there are none.
    """

    def trace(model: Any, example: Mapping[str, Any], *, below: str = "") -> ComputationGraph:
        if isinstance(model, RecordedModel):
            return model.graph
        return _there(beside).trace(model, example, below=below)

    def engine(model: Any) -> Any:
        return (
            RecordedEngine(model)
            if isinstance(model, RecordedModel)
            else _there(beside).engine(model)
        )

    own = beside or Backend(framework, trace, engine, cast(Values, None), cast(State, None))
    return replace(
        own,
        trace=trace,
        engine=engine,
        values=cast(Values, _values(beside)),
        state=cast(State, _state(beside)),
        optimizers=None
        if framework == "onnx"
        else cast(Optimizers, _optimizers(framework, beside)),
    )


def _there(beside: Backend | None) -> Backend:
    if beside is None:
        raise TypeError("a model of a framework of which there are recordings only")
    return beside


def _values(beside: Backend | None) -> Any:
    def known(value: object) -> bool:
        if isinstance(value, RecordedTensor):
            return True
        return beside is not None and beside.values.is_tensor(value)

    def materialised(value: Any) -> bool:
        return isinstance(value, RecordedTensor) or _there(beside).values.materialised(value)

    def dtype(value: Any) -> str:
        if isinstance(value, RecordedTensor):
            return value.dtype
        return _there(beside).values.dtype(value)

    def array(value: Any) -> Array:
        if isinstance(value, RecordedTensor):
            return value.numpy()
        return _there(beside).values.array(value)

    def tensor(value: Array) -> Any:
        return RecordedTensor.of(value) if beside is None else beside.values.tensor(value)

    return SimpleNamespace(
        is_tensor=known, materialised=materialised, dtype=dtype, array=array, tensor=tensor
    )


def _state(beside: Backend | None) -> Any:
    def kept(model: Any) -> AbstractContextManager[None]:
        if isinstance(model, RecordedModel):
            return nullcontext()
        return _there(beside).state.kept(model)

    def snapshot(model: Any, example: Any) -> dict[str, object]:
        return _there(beside).state.snapshot(model, example)

    return SimpleNamespace(kept=kept, snapshot=snapshot)


def _optimizers(framework: str, beside: Backend | None) -> Any:
    """Each function goes where its first argument belongs."""
    recorded = RecordedOptimizers()

    def going(name: str) -> Any:
        def asked(thing: Any, *more: Any) -> Any:
            if isinstance(thing, RECORDED):
                return getattr(recorded, name)(thing, *more)
            return getattr(needed(_there(beside).optimizers), name)(thing, *more)

        return asked

    def is_optimizer(thing: object) -> bool:
        if isinstance(thing, RecordedOptimizer):
            return thing.model.framework == framework
        there = None if beside is None else beside.optimizers
        return there is not None and there.is_optimizer(thing)

    names = [name for name in vars(Optimizers) if not name.startswith("_")]
    return SimpleNamespace(**{name: going(name) for name in names} | {"is_optimizer": is_optimizer})
