"""LayerMap: what a user says, or the matcher found, about which sub-model corresponds to which."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from padiff_graph.alignment.align import align
from padiff_graph.alignment.correspondence import ModuleRow, ParameterEntry, ResolvedMap, inside
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.layer_map.map_file import Stored, dump, parse
from padiff_graph.request.module_tree import class_of, find_path, has_modules, modules_of

__all__ = ["LayerMap"]


class LayerMap:
    """Corresponding sub-models, what to leave out, and the parameter map.

    Modules are given as themselves or by name: the dotted path, or its end where that is unique.

        layer_map = LayerMap()
        layer_map.map = {paddle_model.attention: torch_model.attn}   # merges; either orientation
        layer_map.ignore(paddle_model.dropout)
        layer_map.save("map.yaml")

    Inside a mapped pair nothing is compared, their outputs are; their weights are aligned all the same.
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[Any, Any]] = []
        self._ignored: list[tuple[Any, bool]] = []
        self._classes: list[tuple[Any, Any]] = []
        self._found: tuple[ModuleRow, ...] = ()
        self._parameters: tuple[ParameterEntry, ...] = ()
        self._unused_second: tuple[str, ...] = ()
        self._models: tuple[str, str] = ("", "")
        self._bound: tuple[Any, Any] | None = None

    @classmethod
    def of(cls, given: Any) -> LayerMap:
        """A LayerMap from what users pass: one, a dict of corresponding modules, a path of a file, nothing.

        Raises:
            UsageTypeError: for anything else.
        """
        if isinstance(given, cls):
            return given
        made = cls()
        if given is None:
            return made
        if isinstance(given, (str, os.PathLike)):
            return cls.load(given)
        if isinstance(given, Mapping):
            made.map = given
            return made
        raise UsageTypeError(
            f"layer_map is a LayerMap, a dict {{paddle_layer: torch_module}}, or a file made by LayerMap.save; found {type(given).__qualname__}"
        )

    # -- corresponding sub-models

    @property
    def map(self) -> MutableMapping[Any, Any]:
        """The pairs that are compared at their outputs only. Assigning a dict merges it in."""
        return _Pairs(self._pairs)

    @map.setter
    def map(self, pairs: Mapping[Any, Any]) -> None:
        if not isinstance(pairs, Mapping):
            raise UsageTypeError(
                f"layer_map.map is a dict {{paddle_layer: torch_module}}, found {type(pairs).__qualname__}"
            )
        shown = _Pairs(self._pairs)
        for one, other in pairs.items():
            _check_reference(one, "layer_map.map")
            _check_reference(other, "layer_map.map")
            shown[one] = other

    @property
    def rows(self) -> tuple[ModuleRow, ...]:
        """Module rows by dotted path: found by the matcher or read from a file, and the pairs given by path."""
        given = tuple(ModuleRow(one, other, output_only=True) for one, other in self._paths())
        taken = {row.paddle_path for row in given}
        return given + tuple(row for row in self._found if row.paddle_path not in taken)

    @property
    def parameters(self) -> tuple[ParameterEntry, ...]:
        """The parameter map, as found by the matcher or read from a file."""
        return self._parameters

    @property
    def unused_second(self) -> tuple[str, ...]:
        """Parameters of the second model that no row uses."""
        return self._unused_second

    @property
    def models(self) -> tuple[str, str]:
        """Class names of the two models that the parameter map was made for; "" where unknown."""
        return self._models

    # -- what to leave out

    def ignore(self, layer: Any) -> None:
        """Leaves the layer's own output out of the comparison; its sublayers stay in."""
        _check_reference(layer, "ignore")
        self._ignored.append((layer, False))

    def ignore_recursively(self, layer: Any) -> None:
        """Leaves the layer and everything below it out of the comparison."""
        _check_reference(layer, "ignore_recursively")
        self._ignored.append((layer, True))

    ignore_recursivly = ignore_recursively
    """The older tool's spelling."""

    def ignore_class(self, layer: Any, layer_class: Any) -> None:
        """Leaves every sublayer of a class, at or below a layer, out of the comparison.

        Args:
            layer: where to look.
            layer_class: the class, or its name.
        """
        _check_reference(layer, "ignore_class")
        if not isinstance(layer_class, (type, str)):
            raise UsageTypeError(
                f"ignore_class: expected a class or its name, found {type(layer_class).__qualname__}"
            )
        self._classes.append((layer, layer_class))

    # -- found by the matcher

    def auto(self, layer: Any, module: Any, example_inp: Any = None) -> LayerMap:
        """Fills the map by the graph matcher: module rows and the parameter map.

        Rows found so are compared as usual, inside too; what the user mapped stays as it is.

        Args:
            layer, module: the two models.
            example_inp: (paddle_input, torch_input); without it inputs are inferred where they can be.
        Returns:
            Itself.
        Raises:
            CaptureError: where a model cannot be captured.
        """
        alignment = align(layer, module, example_inp, self.resolve(layer, module))
        self.fill(
            alignment.module_rows(),
            alignment.parameter_entries(),
            alignment.unneeded_second(),
            (class_of(layer), class_of(module)),
        )
        self._bound = (layer, module)
        return self

    def fill(
        self,
        rows: Iterable[ModuleRow],
        parameters: Iterable[ParameterEntry],
        unused_second: Iterable[str] = (),
        models: tuple[str, str] = ("", ""),
    ) -> None:
        """Takes over what the matcher found."""
        self._found = tuple(rows)
        self._parameters = tuple(parameters)
        self._unused_second = tuple(unused_second)
        self._models = models

    # -- files

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The map as text that a person can read and edit; also written to `path` where given."""
        given = [pair for pair in self._pairs if not all(isinstance(one, str) for one in pair)]
        if given and self._bound is None:
            raise UsageError(
                "this LayerMap names modules by themselves; a file names them by path: call layer_map.bind(layer, module) first, or use dotted paths"
            )
        layer, module = self._bound or (None, None)
        stored = Stored(
            self.rows,
            self._parameters,
            tuple(
                self._path(reference, layer, module)
                for reference, below in self._ignored
                if not below
            ),
            tuple(
                self._path(reference, layer, module) for reference, below in self._ignored if below
            ),
            tuple(
                (
                    self._path(reference, layer, module),
                    kind if isinstance(kind, str) else kind.__name__,
                )
                for reference, kind in self._classes
            ),
            self._models,
            self._unused_second,
        )
        text = dump(stored)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the map as YAML."""
        self.to_yaml(path)

    @classmethod
    def from_yaml(cls, text: str, where: str = "the layer map") -> LayerMap:
        """Reads a map from text.

        Raises:
            UsageError: naming the row and what is wrong with it.
        """
        stored = parse(text, where)
        made = cls()
        made._found = tuple(row for row in stored.modules if not row.output_only)
        made._pairs = [
            (row.paddle_path, row.torch_path) for row in stored.modules if row.output_only
        ]
        made._ignored = [(path, False) for path in stored.ignored_outputs] + [
            (path, True) for path in stored.ignored_below
        ]
        made._classes = list(stored.ignored_classes)
        made._parameters = stored.parameters
        made._unused_second = stored.unused_second
        made._models = stored.models
        return made

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LayerMap:
        """Reads a map from a YAML file.

        Raises:
            UsageError: where there is no such file, or naming the row and what is wrong with it.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"layer map {path}: {error.strerror or error}") from None
        return cls.from_yaml(text, str(path))

    # -- held against two models

    def bind(self, layer: Any, module: Any) -> LayerMap:
        """Says which two models the map is about, so that modules given as themselves have paths."""
        self._bound = (layer, module)
        self.resolve(layer, module)
        return self

    def resolve(self, layer: Any, module: Any) -> ResolvedMap:
        """Everything by dotted path.

        Raises:
            UsageError: for a module or name that neither model has.
        """
        ignored = [
            (*_located(reference, layer, module, "ignore"), below)
            for reference, below in self._ignored
        ]
        outputs = {(side, path) for side, path, below in ignored if not below}
        below = {(side, path) for side, path, deep in ignored if deep}
        for reference, kind in self._classes:
            side, path = _located(reference, layer, module, "ignore_class")
            for inner, found in modules_of((layer, module)[side]).items():
                if inside(inner, path) and _is_class(found, kind):
                    below.add((side, inner))
        hints = tuple((row.paddle_path, row.torch_path) for row in self._found)
        return ResolvedMap(
            tuple(_oriented(one, other, layer, module) for one, other in self._pairs),
            hints,
            frozenset(outputs),
            frozenset(below),
            tuple(entry for entry in self._parameters if entry.row.pieces),
        )

    def __bool__(self) -> bool:
        return bool(
            self._pairs or self._ignored or self._classes or self._found or self._parameters
        )

    def __repr__(self) -> str:
        return f"LayerMap({len(self._pairs)} pairs, {len(self._found)} rows, {len(self._parameters)} parameters, {len(self._ignored) + len(self._classes)} left out)"

    def _paths(self) -> list[tuple[str, str]]:
        if self._bound is None:
            return [
                (one, other)
                for one, other in self._pairs
                if isinstance(one, str) and isinstance(other, str)
            ]
        return [_oriented(one, other, *self._bound) for one, other in self._pairs]

    def _path(self, reference: Any, layer: Any, module: Any) -> str:
        if isinstance(reference, str):
            return reference
        if layer is None:
            raise UsageError(
                "this LayerMap names modules by themselves; a file names them by path: call layer_map.bind(layer, module) first, or use dotted paths"
            )
        return _located(reference, layer, module, "ignore")[1]


class _Pairs(MutableMapping[Any, Any]):
    """The pairs as a mapping; a module can stand on either side of only one pair."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self._pairs = pairs

    def __getitem__(self, one: Any) -> Any:
        for mine, theirs in self._pairs:
            if _same(mine, one):
                return theirs
        raise KeyError(one)

    def __setitem__(self, one: Any, other: Any) -> None:
        self._pairs[:] = [pair for pair in self._pairs if not _same(pair[0], one)]
        self._pairs.append((one, other))

    def __delitem__(self, one: Any) -> None:
        self[one]
        self._pairs[:] = [pair for pair in self._pairs if not _same(pair[0], one)]

    def __iter__(self) -> Iterator[Any]:
        return iter([one for one, _ in self._pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return repr(dict(self._pairs))


def _same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, str) and isinstance(other, str) and one == other)


def _check_reference(reference: Any, where: str) -> None:
    if isinstance(reference, str) or has_modules(reference):
        return
    raise UsageTypeError(
        f"{where}: expected a layer, a module or its dotted path; found {reference!r} ({type(reference).__qualname__})"
    )


def _located(reference: Any, layer: Any, module: Any, where: str) -> tuple[int, str]:
    """Side and path of a reference; the first model is asked first."""
    for side, model in enumerate((layer, module)):
        path = find_path(model, reference)
        if path is not None:
            return side, path
    shown = repr(reference) if isinstance(reference, str) else f"a {class_of(reference)}"
    raise UsageError(
        f"layer_map, {where}: {shown} is in neither model ({class_of(layer)}, {class_of(module)})"
    )


def _oriented(one: Any, other: Any, layer: Any, module: Any) -> tuple[str, str]:
    """A pair as (first path, second path), whichever way round it was given."""
    straight = find_path(layer, one), find_path(module, other)
    if straight[0] is not None and straight[1] is not None:
        return straight[0], straight[1]
    turned = find_path(layer, other), find_path(module, one)
    if turned[0] is not None and turned[1] is not None:
        return turned[0], turned[1]
    missing = [
        (reference, model)
        for reference, model, found in ((one, layer, straight[0]), (other, module, straight[1]))
        if found is None
    ]
    reference, model = missing[0]
    shown = repr(reference) if isinstance(reference, str) else f"a {class_of(reference)}"
    raise UsageError(
        f"layer_map.map: {shown} is not in {class_of(model)}; give a sub-model of each side, or their dotted paths"
    )


def _is_class(module: Any, kind: Any) -> bool:
    if isinstance(kind, type):
        return isinstance(module, kind)
    return any(cls.__name__ == kind for cls in type(module).__mro__)
