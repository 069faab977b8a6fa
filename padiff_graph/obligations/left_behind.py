"""What one eager run left behind: attributes of modules, written buffers, parameters and inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array, Engine, Run, same_numbers
from padiff_graph.capture.handed_in import Containers
from padiff_graph.capture.held_weights import held_weights
from padiff_graph.capture.python_state import ABSENT, PythonState, Watch, plain_leaves

__all__ = ["Leaves", "LeftBehind", "Place", "attribute_now", "left_behind", "written_since"]

Place = tuple[str, str]
"""(path of a module, name of its attribute or buffer)."""
Leaves = Mapping[str, object]
"""Numbers, texts, flags and arrays of a value by the way to them, "" for the value itself."""


@dataclass(frozen=True)
class LeftBehind:
    """What a run left otherwise than it found it.

    Attributes:
        attributes: attributes that the forward changed, and buffers that it wrote, as it left them.
        parameters: the parameters that the forward wrote, as it left them.
        inputs: the caller's tensors that it wrote in place, by leaf name.
        in_backward: buffers that the backward wrote once more.
        containers: the lists and dicts that it was handed, with what it made of them.
        drew: whether it drew numbers of Python's or numpy's own generator.
    """

    attributes: Mapping[Place, Leaves] = field(default_factory=dict)
    parameters: Mapping[str, Array] = field(default_factory=dict)
    inputs: Mapping[str, Array] = field(default_factory=dict)
    in_backward: frozenset[str] = frozenset()
    containers: Containers = field(default_factory=dict)
    drew: bool = False


def left_behind(watch: Watch, engine: Engine, run: Run, buffers: Collection[str]) -> LeftBehind:
    """What a forward has left behind, asked before anything else is run.

    Args:
        watch: of the quiet that the run was made in.
        engine: of the model.
        run: the forward.
        buffers: names of what is a buffer by meaning.
    """
    if watch.python is None:
        return LeftBehind(inputs=run.written, containers=run.containers)
    changed: dict[Place, Leaves] = {}
    for change in watch.python.changed():
        place = change.owner, change.name.partition(".")[0]
        changed[place] = _leaves(watch.python, engine, place)
    names = watch.written()
    for name in names & run.buffers.keys() & set(buffers):
        owner, _, own = name.rpartition(".")
        changed[owner, own] = {"": run.buffers[name]}
    trained = names - set(buffers)
    now = engine.parameters() if trained else {}
    parameters = {name: engine.array(now[name]) for name in trained & now.keys()}
    return LeftBehind(changed, parameters, run.written, containers=run.containers)


def written_since(engine: Engine, run: Run) -> frozenset[str]:
    """Buffers that are not as the forward left them."""
    now = held_weights(engine, list(run.buffers))
    return frozenset(
        name
        for name, array in run.buffers.items()
        if name in now and not same_numbers(array, now[name])
    )


def attribute_now(engine: Engine, place: Place) -> Leaves | None:
    """What stands at a place in a model as it is; None where nothing does."""
    with engine.quiet(values=False) as watch:
        if watch.python is None or watch.python.now(*place) is ABSENT:
            return None
        return _leaves(watch.python, engine, place)


def _leaves(python: PythonState, engine: Engine, place: Place) -> Leaves:
    """The value at a place, its tensors as arrays; nothing where there is none any more."""
    value = python.now(*place)
    if value is ABSENT:
        return {}
    is_tensor = backend(engine.framework).values.is_tensor
    found = plain_leaves(value, is_tensor)
    return {way: _plain(leaf, engine) if is_tensor(leaf) else leaf for way, leaf in found.items()}


def _plain(tensor: Any, engine: Engine) -> object:
    return np.array(engine.array(tensor))
