"""Causes in English: what fills in the sentences of `findings/sentences`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from string import Formatter

from padiff_graph.capture.spoken_operations import spoken
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.sentences import DEEDS, MOVES, SENTENCES

__all__ = ["sentence"]

TITLES = {"paddle": "Paddle", "torch": "torch", "onnx": "ONNX"}
"""What a framework is called in a sentence."""
ROOTS = {
    "path": "the root",
    "first_path": "the root",
    "second_path": "the root",
    "first_from": "root",
    "second_from": "root",
}
"""What the empty module path is called, by the fact that holds it."""
LISTS = {
    "operations": (", ", 6),
    "first_operations": (", ", 6),
    "second_operations": (", ", 6),
    "parameters": (", ", 6),
    "some": (", ", 3),
    "first_some": (", ", 3),
    "second_some": (", ", 3),
    "paths": (", ", 6),
    "outputs": (", ", 6),
    "first_places": (", ", 6),
    "second_places": (", ", 6),
    "modules": (" and ", 4),
    "others": (" and ", 4),
}
"""How the members of a fact are joined, and how many are shown at most; all with commas where not
listed."""
COUNTED = frozenset({"operations", "first_operations", "second_operations"})
"""Facts in which equal members are shown once, with their number."""
QUOTED = frozenset({"first_value", "second_value", "tried"})
"""Facts that are the value of an attribute: strings stand in quotes, floats in six digits."""
PLAIN = frozenset({"first_setting", "second_setting"})
"""Facts that are the value of a setting: floats in six digits."""
CONVENTIONS = {
    (
        "BatchNormalization",
        "momentum",
    ): "the share of the new batch, as torch counts it; Paddle's momentum is 1 minus it"
}
"""What to say where the frameworks count an attribute differently: the code may show another
number."""

SHORTER: Mapping[str, Mapping[str, str]] = {"deed": DEEDS, "transform": MOVES}
"""How a cause that is a fact of another one is said, by the fact's name; in full where not listed.
"""


def sentence(cause: Cause, frameworks: tuple[str, str] = ("paddle", "torch")) -> str:
    """A cause in English, the models named by their frameworks, or first and second where both are
    of one."""
    facts = _facts(cause, frameworks)
    said = _filled(SENTENCES.get(cause.kind) or SENTENCES[cause.kind.partition(".")[0]], facts)
    if "alike" in facts:
        said += f" (and {facts['alike']} more parameters alike)"
    if cause.seen is not None:
        said += f": {sentence(cause.seen, frameworks)}"
    return "; ".join((said, *(sentence(more, frameworks) for more in cause.further)))


def _filled(candidates: tuple[str, ...], facts: Mapping[str, object]) -> str:
    for candidate in candidates:
        names = {name for _, name, _, _ in Formatter().parse(candidate) if name}
        if names <= facts.keys():
            return candidate.format_map(dict(facts))
    raise KeyError(f"no sentence of {candidates} is filled by the facts {sorted(facts)}")


def _facts(cause: Cause, frameworks: tuple[str, str]) -> dict[str, object]:
    """What a sentence may speak of: the facts as they are shown, and what the models are called."""
    told = dict(cause.facts)
    shown = {name: _shown(name, value, frameworks) for name, value in told.items()}
    names, owners = _names(frameworks)
    shown |= {"first": names[0], "second": names[1]}
    shown |= {"the_first": owners[0], "the_second": owners[1]}
    labels = frameworks if frameworks[0] != frameworks[1] else names
    shown |= {"first_label": labels[0], "second_label": labels[1]}
    side = told.get("side")
    if isinstance(side, int):
        shown |= {"side": names[side], "other": names[1 - side], "the_other": owners[1 - side]}
        shown["surplus"] = ("extra", "missing")[side]
    of = told.get("of")
    if isinstance(of, int):
        shown["of_side"] = names[of]
    convention = CONVENTIONS.get((str(told.get("op")), str(told.get("name"))))
    if convention is not None:
        shown["convention"] = convention
    return shown


def _names(frameworks: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    """What the two models are called before a noun, and as owners of something."""
    if frameworks[0] == frameworks[1]:
        return ("first", "second"), ("the first", "the second")
    first, second = (TITLES.get(framework, framework) for framework in frameworks)
    return (first, second), (first, second)


def _shown(name: str, value: object, frameworks: tuple[str, str]) -> object:
    """One fact as a sentence shows it; numbers stay numbers for the sentence to format."""
    if isinstance(value, Cause):
        shorter = SHORTER.get(name, {})
        if value.kind in shorter:
            return shorter[value.kind].format_map(_facts(value, frameworks))
        return sentence(value, frameworks)
    if name in QUOTED or name in PLAIN:
        return _value(value, quoted=name in QUOTED)
    if name in ROOTS:
        return value or ROOTS[name]
    if isinstance(value, tuple):
        return _listed(name, value)
    return spoken(value) if isinstance(value, str) else value


def _value(value: object, quoted: bool) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return repr(value) if quoted and isinstance(value, str) else str(value)


def _listed(name: str, members: tuple[object, ...]) -> str:
    """Several names, or the numbers of a shape."""
    if not all(isinstance(member, str) for member in members):
        return str(list(members))
    members = tuple(spoken(str(member)) for member in members)
    if name in COUNTED:
        members = _counted(members)
    joint, most = LISTS.get(name, (", ", len(members)))
    rest = len(members) - most
    shown = joint.join(str(member) for member in members[:most])
    return f"{shown} and {rest} more" if rest > 0 else shown


def _counted(members: tuple[object, ...]) -> tuple[str, ...]:
    """Equal members once, with their number in front."""
    counts = Counter(str(member) for member in members)
    return tuple(word if count == 1 else f"{count} {word}" for word, count in counts.items())
