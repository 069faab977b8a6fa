"""LayerMap: what a user says, or the matcher found, about which sub-model corresponds to which."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from padiff_graph.alignment.align import align
from padiff_graph.alignment.correspondence import (
    GIVEN,
    ModuleRow,
    ParameterEntry,
    ResolvedMap,
    inside,
)
from padiff_graph.capture.remote.handles import AbsentModule
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.file_writing import write_text
from padiff_graph.layer_map.map_file import Stored, dump, parse
from padiff_graph.layer_map.row_checks import check_rows, once
from padiff_graph.request.module_tree import class_of, find_path, has_modules, modules_of

__all__ = ["LayerMap"]

NOT_BOUND = (
    "this LayerMap names modules by themselves; a file names them by path: "
    "call layer_map.bind(layer, module) first, or use dotted paths"
)


class LayerMap:
    """Corresponding sub-models, what to leave out, and the parameter map.

    Modules are given as themselves or by name: the dotted path, or its end where that is unique;
    those of a model in another process or a recording by name.

        layer_map = LayerMap()
        layer_map.map = {paddle_model.attention: torch_model.attn}   # merges; either orientation
        layer_map.ignore(paddle_model.dropout)
        layer_map.save("map.yaml")

    Inside a mapped pair nothing is compared, their outputs are; their weights are aligned all the
    same.
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[Any, Any]] = []
        self._ignored_outputs: list[Any] = []
        self._ignored_below: list[Any] = []
        self._ignored_classes: list[tuple[Any, type | str]] = []
        self._rows: tuple[ModuleRow, ...] = ()
        self._parameters: tuple[ParameterEntry, ...] = ()
        self._unused_second: tuple[str, ...] = ()
        self._models: tuple[str, str] = ("", "")
        self._bound: tuple[Any, Any] | None = None

    @classmethod
    def of(cls, given: Any) -> LayerMap:
        """A LayerMap from what users pass.

        That is one, a dict of corresponding modules, a file's path, or nothing.

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
            "layer_map is a LayerMap, a dict {paddle_layer: torch_module}, or a file made by "
            f"LayerMap.save; found {type(given).__qualname__}"
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
                "layer_map.map is a dict {paddle_layer: torch_module}, "
                f"found {type(pairs).__qualname__}"
            )
        shown = _Pairs(self._pairs)
        for first, second in pairs.items():
            _check_reference(first, "layer_map.map")
            _check_reference(second, "layer_map.map")
            shown[first] = second

    @property
    def rows(self) -> tuple[ModuleRow, ...]:
        """Module rows by dotted path: the pairs given by path, then what was matched or read."""
        given = tuple(ModuleRow(*pair, output_only=True) for pair in self._paths())
        taken = {row.paddle_path for row in given}
        return given + tuple(row for row in self._rows if row.paddle_path not in taken)

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
        self._ignored_outputs.append(layer)

    def ignore_recursively(self, layer: Any) -> None:
        """Leaves the layer and everything below it out of the comparison."""
        _check_reference(layer, "ignore_recursively")
        self._ignored_below.append(layer)

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
                "ignore_class: expected a class or its name, "
                f"found {type(layer_class).__qualname__}"
            )
        self._ignored_classes.append((layer, layer_class))

    # -- found by the matcher

    def auto(self, layer: Any, module: Any, example_inp: Any = None) -> LayerMap:
        """Fills the map by the graph matcher: module rows and the parameter map.

        Rows found so are compared as usual, inside too; what the user mapped stays as it is.

        Args:
            layer, module: the two models.
            example_inp: (paddle_input, torch_input); without it inputs are inferred where they
                can be.
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
        self._rows = tuple(rows)
        self._parameters = tuple(parameters)
        self._unused_second = tuple(unused_second)
        self._models = models

    # -- files

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The map as text that a person can read and edit; also written to `path` where given."""
        if self._bound is None and not all(
            isinstance(reference, str) for pair in self._pairs for reference in pair
        ):
            raise UsageError(NOT_BOUND)
        stored = Stored(
            self.rows,
            self._parameters,
            tuple(map(self._path, self._ignored_outputs)),
            tuple(map(self._path, self._ignored_below)),
            tuple((self._path(layer), _class_name(kind)) for layer, kind in self._ignored_classes),
            self._models,
            self._unused_second,
        )
        text = dump(stored)
        if path is not None:
            write_text(path, text)
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
        made._rows = tuple(row for row in stored.modules if not row.output_only)
        made._pairs = [
            (row.paddle_path, row.torch_path) for row in stored.modules if row.output_only
        ]
        made._ignored_outputs = list(stored.ignored_outputs)
        made._ignored_below = list(stored.ignored_below)
        made._ignored_classes = list(stored.ignored_classes)
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
        except ValueError:  # bytes or a name that are no UTF-8, a name with a zero in it
            raise UsageError(
                f"layer map {str(path)!r}: expected a file of YAML in UTF-8; found another"
            ) from None
        return cls.from_yaml(text, str(path))

    # -- held against two models

    def bind(self, layer: Any, module: Any) -> LayerMap:
        """Says which two models the map is about; modules given as themselves have paths then."""
        self._bound = (layer, module)
        self.resolve(layer, module)
        return self

    def resolve(self, layer: Any, module: Any) -> ResolvedMap:
        """Everything by dotted path.

        Raises:
            UsageError: for a module or name that neither model has, and for rows that contradict
                each other.
        """
        check_rows(self._rows, self._parameters, layer, module)
        pairs = tuple(_oriented(first, second, layer, module) for first, second in self._pairs)
        given = (*pairs, *(_paths(row) for row in self._rows if row.reason == GIVEN))
        once(given, "module")
        outputs = {_located(ref, layer, module, "ignore") for ref in self._ignored_outputs}
        below = {_located(ref, layer, module, "ignore") for ref in self._ignored_below}
        for reference, kind in self._ignored_classes:
            side, path = _located(reference, layer, module, "ignore_class")
            modules = modules_of((layer, module)[side])
            below |= {
                (side, inner)
                for inner, submodule in modules.items()
                if inside(inner, path) and _is_class(submodule, kind)
            }
        mapped = [entry for entry in self._parameters if entry.row.pieces]
        return ResolvedMap(
            pairs,
            given[len(pairs) :],
            tuple(_paths(row) for row in self._rows if row.reason != GIVEN),
            frozenset(outputs),
            frozenset(below),
            tuple(entry for entry in mapped if entry.reason == GIVEN),
            tuple(entry for entry in mapped if entry.reason != GIVEN),
            tuple(entry.row.first for entry in self._parameters if entry.status == "unread"),
            self._unused_second,
            self._models,
        )

    def __bool__(self) -> bool:
        return bool(self._pairs or self._left_out() or self._rows or self._parameters)

    def __repr__(self) -> str:
        counts = (
            f"{len(self._pairs)} pairs",
            f"{len(self._rows)} rows",
            f"{len(self._parameters)} parameters",
            f"{self._left_out()} left out",
        )
        return f"LayerMap({', '.join(counts)})"

    def _left_out(self) -> int:
        return len([*self._ignored_outputs, *self._ignored_below, *self._ignored_classes])

    def _paths(self) -> list[tuple[str, str]]:
        """The pairs by path; before the models are known, those that were given so."""
        if self._bound is not None:
            return [_oriented(first, second, *self._bound) for first, second in self._pairs]
        return [
            (first, second)
            for first, second in self._pairs
            if isinstance(first, str) and isinstance(second, str)
        ]

    def _path(self, reference: Any) -> str:
        if isinstance(reference, str):
            return reference
        if self._bound is None:
            raise UsageError(NOT_BOUND)
        return _located(reference, *self._bound, "ignore")[1]


class _Pairs(MutableMapping[Any, Any]):
    """The pairs as a mapping; a module can stand on either side of only one pair."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self._pairs = pairs

    def __getitem__(self, wanted: Any) -> Any:
        for first, second in self._pairs:
            if _same(first, wanted):
                return second
        raise KeyError(wanted)

    def __setitem__(self, first: Any, second: Any) -> None:
        self._drop(first)
        self._pairs.append((first, second))

    def __delitem__(self, first: Any) -> None:
        self[first]
        self._drop(first)

    def _drop(self, first: Any) -> None:
        self._pairs[:] = [pair for pair in self._pairs if not _same(pair[0], first)]

    def __iter__(self) -> Iterator[Any]:
        return iter([first for first, _ in self._pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return repr(dict(self._pairs))


def _paths(row: ModuleRow) -> tuple[str, str]:
    return row.paddle_path, row.torch_path


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, str) and isinstance(second, str):
        return first == second
    return first is second


def _class_name(kind: type | str) -> str:
    return kind if isinstance(kind, str) else kind.__name__


def _check_reference(reference: Any, where: str) -> None:
    if isinstance(reference, str) or has_modules(reference):
        return
    raise UsageTypeError(
        f"{where}: expected a layer, a module or its dotted path; "
        f"found {reference!r} ({type(reference).__qualname__})"
    )


def _named(reference: Any) -> str:
    """A reference as an error message says it."""
    return repr(reference) if isinstance(reference, str) else f"a {class_of(reference)}"


def _located(reference: Any, layer: Any, module: Any, where: str) -> tuple[int, str]:
    """Side and path of a reference; the first model is asked first."""
    for side, model in enumerate((layer, module)):
        path = find_path(model, reference)
        if path is not None:
            return side, path
    raise UsageError(
        f"layer_map, {where}: {_named(reference)} is in neither model "
        f"({class_of(layer)}, {class_of(module)})"
    )


def _oriented(left: Any, right: Any, layer: Any, module: Any) -> tuple[str, str]:
    """A pair as (first path, second path), whichever way round it was given."""
    for first, second in ((left, right), (right, left)):
        paths = find_path(layer, first), find_path(module, second)
        if paths[0] is not None and paths[1] is not None:
            return paths[0], paths[1]
    missing, model = (right, module) if find_path(layer, left) is not None else (left, layer)
    raise UsageError(
        f"layer_map.map: {_named(missing)} is not in {class_of(model)}; "
        "give a sub-model of each side, or their dotted paths"
    )


def _is_class(module: Any, kind: type | str) -> bool:
    if isinstance(module, AbsentModule):
        return _class_name(kind) in module.classes
    if isinstance(kind, type):
        return isinstance(module, kind)
    return any(cls.__name__ == kind for cls in type(module).__mro__)
