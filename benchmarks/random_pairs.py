"""Random paired models with a known answer: a small program, built once in Paddle and once in
torch.

A program is a list of steps over tensors [batch, time, width] or images; both builders follow it,
each in its own style: other names, another definition order, modules here and functions there,
fused and split projections, swapped operands of sums. A mutation changes one step of the Paddle
side.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import numpy as np
import paddle
import torch
import torch.nn.functional as TF

PF = paddle.nn.functional

ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid", "silu", "leaky_relu", "softplus")
NARROW = ("softmax", "layer_norm", *ACTIVATIONS)


@dataclass(frozen=True)
class Step:
    """One operation: reads values by number, makes one (or two) new ones.

    `key` names the layer that holds the weights; two steps with one key share them.
    """

    op: str
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    shape: tuple[int, ...] = ()
    key: str = ""
    options: tuple[tuple[str, object], ...] = ()

    def option(self, name, default=None):
        return dict(self.options).get(name, default)

    def having(self, **options):
        return replace(self, options=tuple({**dict(self.options), **options}.items()))


@dataclass(frozen=True)
class Program:
    """Inputs, blocks of steps, outputs."""

    inputs: tuple[tuple[int, ...], ...]
    blocks: tuple[tuple[Step, ...], ...]
    outputs: tuple[int, ...]
    train: bool = False
    seed: int = 0
    structure: str = "tuple"

    @property
    def steps(self):
        return [step for block in self.blocks for step in block]


@dataclass
class Writer:
    """Grows a program step by step."""

    rng: random.Random
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    read: set[int] = field(default_factory=set)

    def value(self, shape):
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def add(self, op, reads, shape, key="", made=1, **options):
        makes = tuple(self.value(shape) for _ in range(made))
        self.steps.append(Step(op, tuple(reads), makes, shape, key, tuple(options.items())))
        self.read |= set(reads)
        return makes[0]

    def pick(self, *, ndim=None, shape=None, recent=True):
        found = [
            number
            for number, known in enumerate(self.shapes)
            if (ndim is None or len(known) == ndim) and (shape is None or known == shape)
        ]
        if not found:
            return None
        unread = [number for number in found if number not in self.read]
        if unread and self.rng.random() < 0.6:
            return self.rng.choice(unread)
        return found[-1] if recent and self.rng.random() < 0.5 else self.rng.choice(found)


def random_program(seed: int) -> Program:
    """A program of 4 to 20 steps."""
    rng = random.Random(seed)
    writer = Writer(rng)
    batch, time, width = 2, rng.choice((3, 4)), rng.choice((4, 6, 8))
    images = rng.random() < 0.3
    inputs = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        shape = (batch, 3, 6, 6) if images and not inputs else (batch, time, width)
        inputs.append(shape)
        writer.value(shape)
    number = 0
    while len(writer.steps) < 3 or number < rng.randint(4, 20):
        _grow(writer, rng, f"layer{number}", width, batch, time)
        number += 1
    if images:
        _pool_images(writer, batch, time, width)
    unread = [
        number for number in range(len(inputs), len(writer.shapes)) if number not in writer.read
    ]
    outputs = list(dict.fromkeys(unread[-3:] or [len(writer.shapes) - 1]))
    live = _live(writer.steps, outputs)
    steps = [step for step in writer.steps if live & set(step.makes)]
    blocks, position = [], 0
    while position < len(steps):
        size = rng.randint(1, 5)
        blocks.append(tuple(steps[position : position + size]))
        position += size
    return Program(
        tuple(inputs),
        tuple(blocks),
        tuple(outputs),
        rng.random() < 0.4,
        seed,
        rng.choice(("tuple", "dict", "list")),
    )


def _live(steps, outputs):
    live = set(outputs)
    for step in reversed(steps):
        if live & set(step.makes):
            live |= set(step.reads)
    return live


def _grow(writer, rng, key, width, batch, time):
    kind = rng.choice(
        (
            "linear",
            "linear",
            "linear",
            "narrow",
            "narrow",
            "add",
            "add",
            "mul",
            "sub",
            "scale",
            "two",
            "attend",
            "shared",
            "concat",
            "image",
            "image",
            "image",
            "dropout",
        )
    )
    if kind == "image":
        value = writer.pick(ndim=4)
        if value is None:
            return
        _grow_image(writer, rng, key, value)
        return
    value = writer.pick(ndim=3)
    if value is None:
        return
    shape = writer.shapes[value]
    if kind == "linear":
        made = rng.choice((width, width, width * 2))
        writer.add("linear", [value], (*shape[:2], made), key, bias=rng.random() < 0.8)
    elif kind == "shared":
        known = [
            step
            for step in writer.steps
            if step.op == "linear" and writer.shapes[step.reads[0]] == shape
        ]
        if known:
            first = rng.choice(known)
            writer.steps.append(replace(first, reads=(value,), makes=(writer.value(first.shape),)))
            writer.read.add(value)
    elif kind == "narrow":
        op = rng.choice(NARROW)
        options = {"epsilon": rng.choice((1e-5, 1e-6, 1e-12))} if op == "layer_norm" else {}
        writer.add(op, [value], shape, key if op == "layer_norm" else "", **options)
    elif kind in ("add", "mul", "sub"):
        other = next(
            (found for _ in range(4) if (found := writer.pick(shape=shape, recent=False)) != value),
            None,
        )
        if other is not None:
            writer.add(kind, [value, other], shape)
    elif kind == "scale":
        writer.add(
            "scale",
            [value],
            shape,
            factor=rng.choice((0.5, 2.0, 0.125)),
            shift=rng.choice((0.0, 1.0)),
        )
    elif kind == "two":
        writer.add("two", [value], (*shape[:2], width), key, made=2)
    elif kind == "attend":
        keys = writer.pick(shape=shape)
        values = writer.pick(shape=shape)
        writer.add("attend", [value, keys, values], shape)
    elif kind == "concat":
        other = writer.pick(shape=shape)
        if shape[2] <= 16:
            writer.add("concat", [value, other], (*shape[:2], 2 * shape[2]))
    elif kind == "dropout":
        writer.add("dropout", [value], shape, p=rng.choice((0.1, 0.5)))


def _grow_image(writer, rng, key, value):
    shape = writer.shapes[value]
    kind = rng.choice(("conv", "conv", "batch_norm", "relu", "pool", "add"))
    if kind == "conv":
        channels = rng.choice((4, 4, 8))
        groups = 2 if shape[1] % 2 == 0 and rng.random() < 0.3 else 1
        writer.add("conv", [value], (shape[0], channels, *shape[2:]), key, groups=groups)
    elif kind == "batch_norm":
        writer.add(
            "batch_norm",
            [value],
            shape,
            key,
            epsilon=rng.choice((1e-5, 1e-3)),
            momentum=rng.choice((0.1, 0.01)),
        )
    elif kind == "relu":
        writer.add(rng.choice(("relu", "silu")), [value], shape)
    elif kind == "pool" and shape[2] >= 4:
        writer.add(
            rng.choice(("max_pool", "avg_pool")),
            [value],
            (*shape[:2], shape[2] // 2, shape[3] // 2),
        )
    elif kind == "add":
        other = writer.pick(shape=shape)
        if other is not None and other != value:
            writer.add("add", [value, other], shape)


def _pool_images(writer, batch, time, width):
    """Every image that is not read yet becomes a vector."""
    for number, shape in enumerate(list(writer.shapes)):
        if len(shape) == 4 and number not in writer.read:
            pooled = writer.add("mean_pixels", [number], (batch, 1, shape[1]))
            writer.add("linear", [pooled], (batch, 1, width), f"readout{number}", bias=True)


# -- the two builders

PADDLE_ACTIVATIONS = {
    "relu": paddle.nn.ReLU,
    "gelu": paddle.nn.GELU,
    "tanh": paddle.nn.Tanh,
    "sigmoid": paddle.nn.Sigmoid,
    "silu": paddle.nn.Silu,
    "leaky_relu": paddle.nn.LeakyReLU,
    "softplus": paddle.nn.Softplus,
}
TORCH_ACTIVATIONS = {
    "relu": torch.nn.ReLU,
    "gelu": torch.nn.GELU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "silu": torch.nn.SiLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "softplus": torch.nn.Softplus,
}


class PaddleBlock(paddle.nn.Layer):
    """Some steps of a program."""

    def __init__(self, steps, shapes, shared):
        super().__init__()
        self.steps = steps
        for position, step in enumerate(steps):
            made = self._layer(step, shapes)
            if step.key and made is not None:
                made = shared.setdefault(step.key, made)
            if made is not None:
                setattr(self, f"step{position}", made)

    def _layer(self, step, shapes):
        width = shapes[step.reads[0]][-1]
        channels = shapes[step.reads[0]][1]
        if step.op == "linear":
            return paddle.nn.Linear(
                width, step.shape[-1], bias_attr=None if step.option("bias") else False
            )
        if step.op == "two":
            return paddle.nn.LayerList(
                [paddle.nn.Linear(width, step.shape[-1]), paddle.nn.Linear(width, step.shape[-1])]
            )
        if step.op == "layer_norm":
            return paddle.nn.LayerNorm(width, epsilon=step.option("epsilon"))
        if step.op == "conv":
            return paddle.nn.Conv2D(
                channels,
                step.shape[1],
                3,
                padding=step.option("padding", 1),
                groups=step.option("groups"),
            )
        if step.op == "batch_norm":
            return paddle.nn.BatchNorm2D(
                channels, epsilon=step.option("epsilon"), momentum=1 - step.option("momentum")
            )
        if step.op == "dropout":
            return paddle.nn.Dropout(step.option("p"))
        if step.op in PADDLE_ACTIVATIONS:
            return PADDLE_ACTIVATIONS[step.op]()
        return None

    def forward(self, values):
        for position, step in enumerate(self.steps):
            made = self._run(
                step,
                getattr(self, f"step{position}", None),
                [values[number] for number in step.reads],
            )
            if step.option("detach"):
                made = tuple(one.detach() for one in made)
            for number, value in zip(step.makes, made, strict=True):
                values[number] = value
        return values

    def _run(self, step, layer, read):
        x = read[0]
        if step.op == "two":
            return layer[0](x), layer[1](x)
        if layer is not None:
            return (layer(x),)
        if step.op == "identity":
            return (x,)
        if step.op == "add":
            return (x + read[1],)
        if step.op == "mul":
            return (x * read[1],)
        if step.op == "sub":
            return (x - read[1],)
        if step.op == "scale":
            return (x * step.option("factor") + step.option("shift"),)
        if step.op == "attend":
            scale = step.option("temperature", x.shape[-1] ** -0.5)
            return (
                PF.softmax(paddle.matmul(x, read[1], transpose_y=True) * scale, axis=-1) @ read[2],
            )
        if step.op == "concat":
            return (paddle.concat(read, axis=-1),)
        if step.op == "softmax":
            return (PF.softmax(x, axis=step.option("axis", -1)),)
        if step.op == "max_pool":
            return (PF.max_pool2d(x, 2),)
        if step.op == "avg_pool":
            return (PF.avg_pool2d(x, 2),)
        if step.op == "mean_pixels":
            return (x.mean(axis=[2, 3]).unsqueeze(1),)
        if step.op == "flip":
            return (paddle.flip(x, [1]),)
        raise AssertionError(step.op)


class PaddleProgram(paddle.nn.Layer):
    """A program in Paddle."""

    def __init__(self, program: Program):
        super().__init__()
        self.program = program
        shapes = _shapes(program)
        shared: dict = {}
        self.blocks = paddle.nn.LayerList(
            [PaddleBlock(steps, shapes, shared) for steps in program.blocks]
        )

    def forward(self, a, b=None, c=None):
        values = {number: value for number, value in enumerate((a, b, c)) if value is not None}
        for block in self.blocks:
            values = block(values)
        return _returned(self.program, values)


class TorchBlock(torch.nn.Module):
    """Some steps of a program, in another style."""

    def __init__(self, steps, shapes, shared, rng):
        super().__init__()
        self.steps, self.style = steps, {}
        order = list(range(len(steps)))
        rng.shuffle(order)
        for position in order:
            step = steps[position]
            self.style[position] = rng.random()
            made = self._layer(step, shapes, self.style[position])
            if step.key and made is not None:
                made = shared.setdefault(step.key, made)
            if made is not None:
                self.add_module(f"part_{chr(97 + order.index(position))}", made)
                self.style[position, "name"] = f"part_{chr(97 + order.index(position))}"

    def _layer(self, step, shapes, style):
        width = shapes[step.reads[0]][-1]
        channels = shapes[step.reads[0]][1]
        if step.op == "linear":
            return torch.nn.Linear(width, step.shape[-1], bias=bool(step.option("bias")))
        if step.op == "two":
            return torch.nn.Linear(width, 2 * step.shape[-1])
        if step.op == "layer_norm":
            return torch.nn.LayerNorm(width, eps=step.option("epsilon"))
        if step.op == "conv":
            return torch.nn.Conv2d(
                channels,
                step.shape[1],
                3,
                padding=step.option("padding", 1),
                groups=step.option("groups"),
            )
        if step.op == "batch_norm":
            return torch.nn.BatchNorm2d(
                channels, eps=step.option("epsilon"), momentum=step.option("momentum")
            )
        if step.op in TORCH_ACTIVATIONS and style < 0.5:
            return TORCH_ACTIVATIONS[step.op]()
        return None

    def forward(self, values):
        for position, step in enumerate(self.steps):
            name = self.style.get((position, "name"))
            made = self._run(
                step,
                getattr(self, name) if name else None,
                [values[number] for number in step.reads],
                self.style[position],
            )
            if step.option("detach"):
                made = tuple(one.detach() for one in made)
            for number, value in zip(step.makes, made, strict=True):
                values[number] = value
        return values

    def _run(self, step, layer, read, style):
        x = read[0]
        if step.op == "two":
            return (
                layer(x).chunk(2, dim=-1)
                if style < 0.5
                else layer(x).reshape(*x.shape[:2], 2, -1).unbind(2)
            )
        if layer is not None:
            return (layer(x),)
        if step.op in TORCH_ACTIVATIONS:
            return (getattr(TF, step.op)(x),)
        if step.op == "identity":
            return (x,)
        if step.op == "add":
            return (read[1] + x if style < 0.5 else x + read[1],)
        if step.op == "mul":
            return (read[1] * x if style < 0.5 else x * read[1],)
        if step.op == "sub":
            return (x - read[1],)
        if step.op == "scale":
            shifted = x / (1 / step.option("factor")) if style < 0.5 else step.option("factor") * x
            return (shifted + step.option("shift"),)
        if step.op == "attend":
            scale = step.option("temperature", x.shape[-1] ** -0.5)
            if style < 0.4:
                return (TF.scaled_dot_product_attention(x, read[1], read[2], scale=scale),)
            return (
                torch.bmm(
                    torch.softmax(torch.einsum("btw,bsw->bts", x * scale, read[1]), dim=2), read[2]
                ),
            )
        if step.op == "concat":
            return (torch.cat(read, dim=2),)
        if step.op == "softmax":
            return (x.softmax(step.option("axis", -1)),)
        if step.op == "max_pool":
            return (TF.max_pool2d(x, 2, 2),)
        if step.op == "avg_pool":
            return (TF.avg_pool2d(x, 2),)
        if step.op == "mean_pixels":
            return (
                (
                    TF.adaptive_avg_pool2d(x, 1).flatten(1).unsqueeze(1)
                    if style < 0.5
                    else x.flatten(2).mean(-1)[:, None]
                ),
            )
        if step.op == "dropout":
            return (TF.dropout(x, step.option("p"), self.training),)
        if step.op == "flip":
            return (x.flip(1),)
        raise AssertionError(step.op)


class TorchProgram(torch.nn.Module):
    """A program in torch."""

    def __init__(self, program: Program, style: int | None = None):
        super().__init__()
        self.program = program
        rng = random.Random(program.seed + 1 if style is None else style)
        shared: dict = {}
        shapes = _shapes(program)
        stages = [TorchBlock(steps, shapes, shared, rng) for steps in program.blocks]
        order = list(range(len(stages)))
        rng.shuffle(order)
        self.names = {}
        for place, number in enumerate(order):
            self.names[number] = f"stage_{place}"
            self.add_module(self.names[number], stages[number])

    def forward(self, first, second=None, third=None):
        values = {
            number: value
            for number, value in enumerate((first, second, third))
            if value is not None
        }
        for number in range(len(self.program.blocks)):
            values = getattr(self, self.names[number])(values)
        return _returned(self.program, values)


def _shapes(program: Program):
    shapes = dict(enumerate(program.inputs))
    for step in program.steps:
        for number in step.makes:
            shapes[number] = step.shape
    return shapes


def _returned(program, values):
    found = [values[number] for number in program.outputs]
    if len(found) == 1:
        return found[0]
    return (
        {f"out{position}": value for position, value in enumerate(found)}
        if program.structure == "dict"
        else tuple(found)
        if program.structure == "tuple"
        else found
    )


def example(program: Program):
    """The same inputs for both sides."""
    rng = np.random.default_rng(program.seed)
    arrays = [rng.standard_normal(shape).astype("float32") for shape in program.inputs]
    first = {
        name: paddle.to_tensor(array) for name, array in zip(("a", "b", "c"), arrays, strict=False)
    }
    second = {
        name: torch.from_numpy(array.copy())
        for name, array in zip(("first", "second", "third"), arrays, strict=False)
    }
    return first, second


# -- mutations


@dataclass(frozen=True)
class Mutation:
    """What was changed, and at which Paddle modules the answer may point."""

    kind: str
    block: int
    paths: tuple[str, ...]
    words: str


def mutate(program: Program, seed: int) -> tuple[Program, Mutation] | None:
    """The program with one step changed; None where this draw fits no step."""
    rng = random.Random(seed)
    block = rng.randrange(len(program.blocks))
    position = rng.randrange(len(program.blocks[block]))
    step = program.blocks[block][position]
    shapes = _shapes(program)
    changed = _changed(step, rng, shapes, program)
    if changed is None:
        return None
    kind, new = changed
    steps = list(program.blocks[block])
    steps[position] = new
    blocks = list(program.blocks)
    blocks[block] = tuple(steps)
    path = f"blocks.{block}"
    return replace(program, blocks=tuple(blocks)), Mutation(
        kind, block, (path, f"{path}.step{position}"), f"{step} -> {new}"
    )


def _changed(step, rng, shapes, program):
    same = step.shape == shapes[step.reads[0]] and len(step.makes) == 1
    choices = []
    if step.op in ACTIVATIONS:
        choices.append(
            (
                "activation",
                replace(step, op=rng.choice([name for name in ACTIVATIONS if name != step.op])),
            )
        )
    if step.op in (*ACTIVATIONS, "softmax", "scale") and same:
        choices.append(("removed", replace(step, op="identity", key="", options=())))
    if step.op in ("layer_norm", "batch_norm") and same:
        choices.append(("removed", replace(step, op="identity", key="", options=())))
        choices.append(
            ("epsilon", step.having(epsilon=1e-3 if step.option("epsilon") < 1e-3 else 1e-5))
        )
        choices.append(("epsilon", step.having(epsilon=step.option("epsilon") / 10)))
    if step.op == "batch_norm" and program.train:
        choices.append(("momentum", step.having(momentum=0.5)))
    if step.op == "add" and step.reads[0] != step.reads[1]:
        choices.append(("residual", replace(step, op="identity", reads=step.reads[:1])))
        choices.append(("operator", replace(step, op="sub")))
    if step.op == "sub":
        choices.append(("operands", replace(step, reads=step.reads[::-1])))
    if step.op == "mul":
        choices.append(("operator", replace(step, op="add")))
    if step.op == "scale":
        choices.append(("constant", step.having(factor=step.option("factor") * 1.01)))
    if step.op == "attend":
        choices.append(("constant", step.having(temperature=1.0)))
        if len(set(step.reads)) > 1:
            choices.append(
                ("rewired", replace(step, reads=(step.reads[1], step.reads[0], step.reads[2])))
            )
    if step.op == "softmax":
        choices.append(("axis", step.having(axis=1)))
    if step.op in ("max_pool", "avg_pool"):
        choices.append(
            ("pooling", replace(step, op="avg_pool" if step.op == "max_pool" else "max_pool"))
        )
    if (
        step.op == "linear"
        and step.option("bias")
        and sum(other.key == step.key for other in program.steps) == 1
    ):
        choices.append(("bias", step.having(bias=False)))
    if step.op == "dropout" and program.train:
        choices.append(("dropout", step.having(p=0.3)))
    if step.op in ("linear", "add", "layer_norm") and same:
        choices.append(("detach", step.having(detach=True)))
    others = [
        number
        for number in range(min(step.makes))
        if shapes.get(number) == shapes[step.reads[0]] and number not in step.reads
    ]
    if others:
        choices.append(("rewired", replace(step, reads=(rng.choice(others), *step.reads[1:]))))
    return rng.choice(choices) if choices else None


def changes_something(program: Program, mutated: Program) -> bool:
    """Whether a mutation changes outputs, gradients or buffers, told in float64 by torch alone."""
    return differ(program, [TorchProgram(one, style=7).double() for one in (program, mutated)])


def differ(program: Program, models) -> bool:
    """Whether two torch models of a program differ in outputs, gradients or buffers."""
    own = {name: value.clone() for name, value in models[0].state_dict().items()}
    generator = torch.Generator().manual_seed(program.seed)
    for name, value in own.items():
        if value.is_floating_point() and not name.endswith("running_var"):
            own[name] = torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.5
    results = []
    for model in models:
        model.load_state_dict(
            {name: own[name] for name in model.state_dict() if name in own}, strict=False
        )
        model.train(program.train)
        _, given = example(program)
        inputs = {name: value.double().requires_grad_() for name, value in given.items()}
        torch.manual_seed(0)
        returned = model(**inputs)
        outputs = [value for value in tensors_of(returned) if value.is_floating_point()]
        weights = torch.Generator().manual_seed(1)
        loss = sum(
            (out.double() * torch.randn(out.shape, generator=weights, dtype=torch.float64)).sum()
            for out in outputs
        )
        if getattr(loss, "requires_grad", False):
            loss.backward()
        found = {f"out{number}": out.detach() for number, out in enumerate(outputs)}
        found.update({f"grad {name}": value.grad for name, value in inputs.items()})
        found.update({f"grad {name}": value.grad for name, value in model.named_parameters()})
        found.update(
            {
                f"buffer {name}": value.clone()
                for name, value in model.named_buffers()
                if value.is_floating_point()
            }
        )
        results.append(found)
    for name, one in results[0].items():
        other = results[1].get(name)
        one = torch.zeros(1) if one is None else one
        other = torch.zeros_like(one) if other is None else other
        if one.shape != other.shape or float((one - other).abs().max()) > 1e-7 * max(
            1.0, float(one.abs().max())
        ):
            return True
    return False


def tensors_of(returned):
    """The tensors of an answer."""
    if isinstance(returned, torch.Tensor):
        return [returned]
    if isinstance(returned, dict):
        returned = list(returned.values())
    if isinstance(returned, (tuple, list)):
        return [value for member in returned for value in tensors_of(member)]
    return []


def build(program: Program, paddle_program: Program | None = None):
    """(layer, module, example_inp) in the program's mode.

    The Paddle side may follow another program.
    """
    return ready(program, PaddleProgram(paddle_program or program), TorchProgram(program))


def ready(program: Program, layer, module):
    """(layer, module, example_inp) in the program's mode, biases and norms drawn."""
    generator = torch.Generator().manual_seed(program.seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    (layer.train if program.train else layer.eval)()
    module.train(program.train)
    return layer, module, example(program)
