"""Answers in the process that holds a model. What may be asked is listed here; nothing that
arrives is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

from padiff_graph.capture.backend import Backend, needed
from padiff_graph.capture.engine import Engine, Run
from padiff_graph.capture.example_tensors import with_tensors
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.late_array import LateArray
from padiff_graph.capture.leaf_names import Fields, Leaf, Tree, replace, tree
from padiff_graph.capture.loss_model import loss_model
from padiff_graph.capture.partial_runs import cut_short
from padiff_graph.capture.python_state import ABSENT, PLAIN, Watch, plain_leaves
from padiff_graph.capture.remote.channel import Channel
from padiff_graph.capture.remote.wire import Buffers, Ref, Unsendable, decode, encode

__all__ = ["Service", "Stays", "members", "plain"]

OURS = "padiff_graph."
METHODS = frozenset({"detach", "clone", "mean", "__add__", "__truediv__"})
"""Methods of a tensor that may be called."""
ENGINE = frozenset(
    {
        "tensor",
        "array",
        "parameters",
        "assign",
        "evaluate",
        "observe",
        "hooked_parameters",
        "hooked",
        "grad",
    }
)
"""Methods of the engine whose arguments and answers cross as they are."""
OPTIMIZERS = frozenset(
    {
        "refusal",
        "trainable",
        "settings",
        "state",
        "bare",
        "advance",
        "learn",
        "clear",
        "gradients",
        "put_gradients",
        "overwrite",
        "masters",
        "copies",
        "is_optimizer",
        "is_hooked",
        "schedule",
    }
)
"""The same of `Optimizers`."""
CONTEXTS = frozenset(
    {
        "engine.quiet",
        "engine.recording",
        "state.kept",
        "threads.threaded",
        "optimizers.watching",
        "optimizers.kept",
        "partial.cut_short",
    }
)
"""Contexts that may be entered."""


class Stays:
    """What a function that is asked whole returns to have it stay where it is."""


class Service:
    """Holds what the other end has references to, and answers one question after the other.

    Args:
        backend: of the model's framework.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.things: dict[int, Any] = {}
        self.engines: dict[int, Engine] = {}
        self.entered: dict[int, tuple[AbstractContextManager[Any], Any]] = {}
        self.last = 0
        self.questions: Mapping[str, Callable[..., Any]] = {
            "call": self._call,
            "whole": self._whole,
            "method": self._method,
            "trace": self._trace,
            "modules": _modules,
            "loss_model": self._loss_model,
            "example": self.example,
            "enter": self._enter,
            "exit": self._exit,
            "values.array": self.backend.values.array,
            "late.read": lambda array: array.read(),
            "threads.threads": lambda: needed(self.backend.threads).threads(),
            "engine.forward": self._forward,
            "engine.backward": self._backward,
            "engine.inputs": lambda model, graph: self.engine(model).inputs(graph),
            "engine.run": self._run,
            "watch.changed": lambda watch: [(c.owner, c.name) for c in watch.python.changed()],
            "watch.now": self._now,
            "watch.restore": lambda watch: watch.python.restore(),
            "watch.written": lambda watch: watch.written(),
            "optimizers.saved": lambda *given: self.kept(
                needed(self.backend.optimizers).saved(*given), "function"
            ),
        }

    def kept(self, thing: Any, *facts: Any) -> Ref:
        """A new reference to a thing."""
        self.last += 1
        self.things[self.last] = thing
        return Ref(self.last, facts)

    def structure(self, thing: Any) -> Any:
        """What a model takes or returns: its members as plain dicts and lists, and a reference to
        itself."""
        is_tensor = self.backend.values.is_tensor
        if is_tensor(thing):
            return thing
        held = members(tree(thing, is_tensor, lambda name, tensor: tensor))
        if not isinstance(held, (dict, list)):
            return held
        return self.kept(thing, "structure", held)

    def example(self, example: Mapping[str, Any]) -> Any:
        """An example with a tensor in the place of each array."""
        return self.structure(with_tensors(self.backend.framework, example))

    def engine(self, model: Any) -> Engine:
        """The engine of a model, one for each."""
        if id(model) not in self.engines:
            self.engines[id(model)] = self.backend.engine(model)
        return self.engines[id(model)]

    def answer(self, what: str, arguments: list[Any], named: Mapping[str, Any]) -> Any:
        """The answer to one question.

        Raises:
            ValueError: it may not be asked.
        """
        if what in self.questions:
            return self.questions[what](*arguments, **named)
        room, _, name = what.partition(".")
        if room == "engine" and name in ENGINE:
            model, *more = arguments
            return getattr(self.engine(model), name)(*more, **named)
        if room == "optimizers" and name in OPTIMIZERS:
            return getattr(needed(self.backend.optimizers), name)(*arguments, **named)
        raise ValueError(f"{what!r} is not answered here")

    def serve(self, connection: Channel, failed: Callable[[BaseException], Any]) -> None:
        """Answers until the other end is gone.

        Args:
            failed: an exception as plain data.

        Raises:
            Closed: the other end is gone.
        """
        while True:
            connection.send(*self.answered(*connection.receive(), failed))

    def answered(
        self, message: Any, got: Buffers, failed: Callable[[BaseException], Any]
    ) -> tuple[dict[str, Any], Buffers]:
        """The answer to one question as it crosses, with its arrays.

        Args:
            message, got: the question as it crossed.
            failed: an exception as plain data.
        """
        buffers: Buffers = []
        try:
            what, arguments, named, dropped = decode(message, got, self._found)
            for number in dropped:
                self.things.pop(number, None)
            value = self.answer(what, arguments, named)
            return {"value": encode(value, buffers, self.stays)}, buffers
        except BaseException as error:  # whatever the user's code raises is the answer
            return {"error": failed(error)}, []

    def _found(self, ref: Ref) -> Any:
        thing = self.things[ref.number]
        if not ref.facts:
            return thing
        if ref.facts[0] == "engine":
            return self.engine(thing)
        return replace(thing, self.backend.values.is_tensor, ref.facts[0])

    def stays(self, value: Any) -> Ref | None:
        """The reference that crosses in the place of a tensor or an optimizer; None for what
        crosses itself."""
        if isinstance(value, LateArray):
            return self.kept(value, "late", value.shape, value.dtype.str)
        tools = self.backend.values
        if tools.is_tensor(value):
            shape, filled = tuple(int(extent) for extent in value.shape), tools.materialised(value)
            return self.kept(value, "tensor", shape, tools.dtype(value), filled)
        optimizers = self.backend.optimizers
        if optimizers is not None and optimizers.is_optimizer(value):
            return self.kept(value, "optimizer", type(value).__name__)
        return None

    # -- questions

    def _whole(self, name: str, arguments: list[Any], named: Mapping[str, Any]) -> Any:
        """Runs a function that is marked `asked_whole`."""
        module, _, qualname = name.partition(":")
        function = None
        if module.startswith(OURS):
            function = getattr(import_module(module), qualname, None)
        if not getattr(function, "asked_whole", False):
            raise ValueError(f"{name!r} is not answered here")
        assert function is not None
        answer = function(*arguments, **named)
        return self.kept(answer, "kept") if isinstance(answer, Stays) else answer

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        return self.structure(function(*arguments, **named))

    def _method(self, tensor: Any, method: str, *arguments: Any) -> Any:
        if method not in METHODS:
            raise ValueError(f"{method!r} is not called here")
        return getattr(tensor, method)(*arguments)

    def _loss_model(self, loss: Any, structure: Any, numbers: Mapping[str, Any]) -> Any:
        made = loss_model(self.backend.framework, loss, structure, numbers)
        if made is None:
            return None
        model, example = made
        facts = self.backend.framework, type(model).__name__, "", False
        return self.kept(model, "model", *facts), self.structure(example)

    def _trace(self, model: Any, example: Mapping[str, Any], below: str) -> dict[str, Any]:
        graph = self.backend.trace(model, example, below=below)
        session = graph.session
        return {
            "graph": self.kept(graph, "graph"),
            "framework": graph.framework,
            "rung": session.rung if session is not None else "",
            "abstract": session is None or session.abstract,
            "nodes": graph.records(),
            "facts": _facts(graph),
        }

    def _forward(self, model: Any, example: Mapping[str, Any], grad: bool) -> Any:
        run = self.engine(model).forward(example, grad=grad)
        facts = {
            "outputs": run.outputs,
            "structure": self.structure(run.structure),
            "buffers": run.buffers,
            "gradients": run.gradients,
            "leaves": run.leaves,
            "written": run.written,
            "containers": run.containers,
            "drew": run.drew,
        }
        return self.kept(run, "run"), facts

    def _backward(
        self, model: Any, run: Run, cotangents: Any, loss: Any, again: bool
    ) -> dict[str, Any]:
        run.gradients = {}
        self.engine(model).backward(run, cotangents, loss, again=again)
        return run.gradients

    def _run(
        self, model: Any, graph: ComputationGraph, node: int, operands: list[Any], **how: Any
    ) -> Any:
        return self.engine(model).run(graph.record(node), operands, **how)

    def _now(self, watch: Watch, owner: str, name: str) -> Any:
        assert watch.python is not None
        value = watch.python.now(owner, name)
        if value is ABSENT:
            return None
        is_tensor = self.backend.values.is_tensor
        return {
            way: leaf if is_tensor(leaf) else plain(leaf)
            for way, leaf in plain_leaves(value, is_tensor).items()
        }

    def _enter(self, what: str, arguments: list[Any], named: Mapping[str, Any]) -> Any:
        if what not in CONTEXTS:
            raise ValueError(f"{what!r} is not entered here")
        room, _, name = what.partition(".")
        if room == "engine":
            model, *arguments = arguments
            context = getattr(self.engine(model), name)(*arguments, **named)
        elif room == "partial":
            context = cut_short(self.backend, *arguments, **named)
        else:
            context = getattr(getattr(self.backend, room), name)(*arguments, **named)
        yielded = context.__enter__()
        self.last += 1
        self.entered[self.last] = context, yielded
        if isinstance(yielded, Watch):
            return self.last, (self.kept(yielded, "watch"), yielded.python is not None)
        return self.last, yielded

    def _exit(self, number: int) -> Any:
        context, yielded = self.entered.pop(number)
        context.__exit__(None, None, None)
        return yielded if isinstance(yielded, list) else None


def members(structure: Tree) -> Any:
    """What a model takes or returns as plain dicts and lists; a tensor as it stands there."""
    if isinstance(structure, Leaf):
        return plain(structure.value) if not _is_handle(structure.value) else structure.value
    if isinstance(structure, Fields):
        return {name: members(member) for name, member in structure.members.items()}
    return [members(member) for member in structure.members]


def _is_handle(value: Any) -> bool:
    """Whether it is a tensor of a framework: those are the only values with a shape and a dtype
    that numpy does not make."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, PLAIN)


def plain(value: Any) -> Any:
    """A value that is no tensor, as it crosses; what cannot is said in words."""
    try:
        encode(value, [], lambda thing: None)
    except Unsendable:
        return f"<{type(value).__module__}.{type(value).__qualname__}>"
    return value


def _modules(model: Any) -> dict[str, list[str]]:
    """The classes of each module of a model by its dotted path."""
    listed = getattr(model, "named_sublayers", None) or getattr(model, "named_modules", None)
    modules = {"": model} | ({} if listed is None else {path: own for path, own in listed()})
    return {path: [kind.__name__ for kind in type(own).__mro__] for path, own in modules.items()}


def _facts(graph: ComputationGraph) -> dict[str, Any]:
    return {
        "training": graph.training,
        "modules": graph.modules,
        "parameters": graph.parameters,
        "notes": graph.notes,
        "decided": graph.decided,
        "updates": graph.updates,
    }
