"""What stands around a program's steps: hooks, frozen weights, what a forward keeps and writes,
types and places of outputs, stochastic depth, sharing; the same in both models, or one of it
changed on the Paddle side.

    python benchmarks/property.py --wide --count 2000 --seed 0
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import paddle
import torch
from random_pairs import Mutation, PaddleProgram, Program, TorchProgram, _shapes

RATES = (0.5, 0.9)
FACTORS = (0.5, -1.0, 2.0)
AROUND = ("hook", "weight_hook", "frozen", "count", "buffer", "keep", "cast", "number", "coin")
STEPWISE = ("exchange", "untie", "tie")
DTYPES = ("float64", "float16", "int64")


@dataclass(frozen=True)
class Effect:
    """One thing besides the steps.

    `at` is the value or the output it stands at, or the key of the layer; `number` how much.
    """

    kind: str
    at: Any
    number: Any


def drawn_effects(program: Program) -> tuple[Effect, ...]:
    """One to four effects that fit a program, the same for its seed."""
    rng = random.Random(program.seed + 77)
    kinds = rng.sample(AROUND, rng.randint(1, 4))
    drawn = (effect(kind, program, rng) for kind in kinds)
    return tuple(found for found in drawn if found is not None)


def effect(kind: str, program: Program, rng: random.Random) -> Effect | None:
    """An effect of a kind; None where the program has no place for it."""
    made = [number for step in program.steps for number in step.makes]
    keys = sorted({step.key for step in program.steps if step.op in ("linear", "conv")})
    if kind in ("weight_hook", "frozen"):
        return Effect(kind, rng.choice(keys), rng.choice(FACTORS)) if keys else None
    if kind == "cast":
        return Effect(kind, rng.randrange(len(program.outputs)), rng.choice(DTYPES))
    if kind == "coin" and not program.train:
        return None
    if kind == "coin":
        return Effect(kind, rng.choice(_read_outside(program)), rng.choice(RATES))
    if kind == "keep" and program.train:
        return None  # what is kept of random draws cannot be compared
    return Effect(kind, rng.choice(made), rng.choice(FACTORS))


def _read_outside(program: Program) -> list[int]:
    """The values that are read behind the block that makes them: what is done to others there
    changes nothing."""
    found = []
    for position, block in enumerate(program.blocks):
        behind = [step for later in program.blocks[position + 1 :] for step in later]
        read = {number for step in behind for number in step.reads} | set(program.outputs)
        found += [number for step in block for number in step.makes if number in read]
    return found


def changed_effects(program: Program, effects: tuple[Effect, ...], seed: int):
    """(program, effects, mutation) of the Paddle side with one thing changed; None where this draw
    finds nothing to change."""
    rng = random.Random(seed)
    kind = rng.choice((*AROUND, *STEPWISE))
    if kind in STEPWISE:
        changed = _STEPWISE[kind](program, rng)
        if changed is None:
            return None
        return changed, effects, Mutation(kind, 0, ("",), f"{kind}: {changed.outputs}")
    known = [own for own in effects if own.kind == kind]
    if not known:
        new = effect(kind, program, rng)
        return None if new is None else (program, (*effects, new), _mutation(new, "lone "))
    own = rng.choice(known)
    rest = tuple(one for one in effects if one is not own)
    if kind == "frozen" or rng.random() < 0.5:
        return program, rest, _mutation(own, "lone ")
    other = replace(own, number=rng.choice([n for n in _numbers(kind) if n != own.number]))
    return program, (*rest, other), _mutation(other)


def _numbers(kind: str) -> tuple[Any, ...]:
    return {"cast": DTYPES, "coin": RATES}.get(kind, FACTORS)


def _mutation(own: Effect, only: str = "") -> Mutation:
    return Mutation(only + own.kind, 0, ("",), str(own))


def _exchanged(program: Program, rng: random.Random) -> Program | None:
    """Two outputs of one shape in each other's place."""
    shapes = _shapes(program)
    places = [
        (a, b)
        for a in range(len(program.outputs))
        for b in range(a)
        if shapes[program.outputs[a]] == shapes[program.outputs[b]]
    ]
    if not places:
        return None
    a, b = rng.choice(places)
    outputs = list(program.outputs)
    outputs[a], outputs[b] = outputs[b], outputs[a]
    return replace(program, outputs=tuple(outputs))


def _untied(program: Program, rng: random.Random) -> Program | None:
    """A layer that is called twice becomes two."""
    keys = [step.key for step in program.steps if step.key]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    return None if not twice else _rekeyed(program, rng.choice(twice), "apart", rng)


def _tied(program: Program, rng: random.Random) -> Program | None:
    """Two linear layers of one shape become one."""
    shapes = _shapes(program)
    likes: dict[Any, list[str]] = {}
    for step in program.steps:
        if step.op == "linear":
            like = shapes[step.reads[0]][-1], step.shape[-1], step.option("bias")
            likes.setdefault(like, [])
            if step.key not in likes[like]:
                likes[like].append(step.key)
    several = [keys for keys in likes.values() if len(keys) > 1]
    if not several:
        return None
    first, second = rng.sample(rng.choice(several), 2)
    return _rekeyed(program, first, second, None)


def _rekeyed(program: Program, old: str, new: str, rng: random.Random | None) -> Program:
    """Layers of one key under another; with `rng` one call alone."""
    calls = [step for step in program.steps if step.key == old]
    chosen = calls if rng is None else [rng.choice(calls)]
    blocks = tuple(
        tuple(replace(step, key=new) if step in chosen else step for step in block)
        for block in program.blocks
    )
    return replace(program, blocks=blocks)


_STEPWISE = {"exchange": _exchanged, "untie": _untied, "tie": _tied}


# -- the two builders


def _layers(model: Any, key: str) -> list[Any]:
    """The layers of a key, each once."""
    layers = model.sublayers() if isinstance(model, paddle.nn.Layer) else list(model.modules())
    blocks = [layer for layer in layers if hasattr(layer, "steps")]
    found = []
    for block in blocks:
        for position, step in enumerate(block.steps):
            if step.key != key:
                continue
            style = getattr(block, "style", None)
            name = f"step{position}" if style is None else style.get((position, "name"))
            found.append(getattr(block, name))
    return list({id(layer): layer for layer in found}.values())


class _Around:
    """What both programs do around their steps."""

    effects: tuple[Effect, ...]

    def prepared(self, framework: Any) -> None:
        self.framework = framework
        for own in sorted(self.effects, key=lambda own: own.kind == "frozen"):
            if own.kind == "frozen":
                for layer in _layers(self, own.at):
                    freeze(layer.weight)
            elif own.kind == "weight_hook":
                for layer in _layers(self, own.at):
                    layer.weight.register_hook(lambda gradient, by=own.number: gradient * by)
            elif own.kind == "buffer":
                self.register_buffer(f"seen{own.at}", framework.zeros([1]))
            elif own.kind == "count":
                setattr(self, f"count{own.at}", 0)

    def passed(self, values: dict[int, Any], before: set[int]) -> None:
        """Around the values that a block has made."""
        for own in self.effects:
            if own.at in values and own.at not in before:
                self._around(own, values)

    def _around(self, own: Effect, values: dict[int, Any]) -> None:
        value, number = values[own.at], own.number
        if own.kind == "hook":
            value = values[own.at] = value * 1.0
            if graded(value):
                value.register_hook(lambda gradient: gradient * number)
        elif own.kind == "count":
            name = f"count{own.at}"
            setattr(self, name, getattr(self, name) + number)
        elif own.kind == "keep":
            setattr(self, f"kept{own.at}", value.detach() * number)
        elif own.kind == "buffer":
            written(getattr(self, f"seen{own.at}"), number)
        elif own.kind == "coin":
            values[own.at] = value * self.coin([value.shape[0]] + [1] * (value.ndim - 1), number)

    def returned(self, answer: Any) -> Any:
        """The answer with types and numbers as the effects say."""
        for own in self.effects:
            if own.kind == "cast":
                answer = _cast(answer, own)
        numbers = [own.number for own in self.effects if own.kind == "number"]
        return answer if not numbers else {"answer": answer, "numbers": numbers}

    def coin(self, shape: list[int], keep: float) -> Any:
        raise NotImplementedError


def _cast(answer: Any, own: Effect) -> Any:
    def cast(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(getattr(torch, own.number))
        return value.astype(own.number)

    if isinstance(answer, dict):
        place = list(answer)[own.at]
        return {key: cast(value) if key == place else value for key, value in answer.items()}
    if isinstance(answer, (tuple, list)):
        cast_members = [cast(value) if n == own.at else value for n, value in enumerate(answer)]
        return type(answer)(cast_members)
    return cast(answer)


def freeze(parameter: Any) -> None:
    if isinstance(parameter, torch.Tensor):
        parameter.requires_grad_(False)
    else:
        parameter.stop_gradient = True


def graded(value: Any) -> bool:
    return value.requires_grad if isinstance(value, torch.Tensor) else not value.stop_gradient


def written(buffer: Any, number: float) -> None:
    if isinstance(buffer, torch.Tensor):
        buffer.add_(number)
    else:
        buffer.set_value(buffer + number)


class WidePaddle(_Around, PaddleProgram):
    """A program in Paddle with what stands around it."""

    def __init__(self, program: Program, effects: tuple[Effect, ...]) -> None:
        super().__init__(program)
        self.effects = effects
        self.prepared(paddle)

    def forward(self, a, b=None, c=None):
        values = {number: value for number, value in enumerate((a, b, c)) if value is not None}
        for block in self.blocks:
            before = set(values)
            values = block(values)
            self.passed(values, before)
        return self.returned(_answer(self.program, values))

    def coin(self, shape, keep):
        return paddle.floor(paddle.rand(shape) + keep) / keep


class WideTorch(_Around, TorchProgram):
    """A program in torch with what stands around it."""

    def __init__(self, program: Program, effects: tuple[Effect, ...], style: int | None = None):
        super().__init__(program, style)
        self.effects = effects
        self.prepared(torch)

    def forward(self, first, second=None, third=None):
        given = enumerate((first, second, third))
        values = {number: value for number, value in given if value is not None}
        for number in range(len(self.program.blocks)):
            before = set(values)
            values = getattr(self, self.names[number])(values)
            self.passed(values, before)
        return self.returned(_answer(self.program, values))

    def coin(self, shape, keep):
        if self.program.seed % 4 < 2:
            return torch.empty(shape).bernoulli_(keep).div_(keep)
        return (torch.rand(shape) < keep).float() * (1 / keep)


def _answer(program: Program, values: dict[int, Any]) -> Any:
    answers = [values[number] for number in program.outputs]
    if len(answers) == 1:
        return answers[0]
    if program.structure == "dict":
        return {f"out{position}": value for position, value in enumerate(answers)}
    return tuple(answers) if program.structure == "tuple" else answers
