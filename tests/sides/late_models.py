"""A small pair that is built without numbers, and the files of its weights."""

from __future__ import annotations

import numpy as np

IDS = np.random.default_rng(0).integers(0, 11, (3, 5))
WIDTH = 6


def shapes():
    """Shapes of the torch model's tensors, by name; the head is tied to the embedding."""
    return {
        "embed.weight": (11, WIDTH),
        "fc.weight": (2 * WIDTH, WIDTH),
        "fc.bias": (2 * WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
        "norm.running_mean": (WIDTH,),
        "norm.running_var": (WIDTH,),
    }


def torch_numbers():
    generator = np.random.default_rng(1)
    numbers = {
        name: generator.uniform(0.5, 1.5, shape).astype(np.float32)
        for name, shape in shapes().items()
    }
    numbers["norm.num_batches_tracked"] = np.array(3, np.int64)
    return numbers


def paddle_numbers(**other):
    own = {**torch_numbers(), **other}
    first, second = np.split(own["fc.weight"], 2)
    return {
        "words.weight": own["embed.weight"],
        "a.weight": np.ascontiguousarray(first.T),
        "b.weight": np.ascontiguousarray(second.T),
        "a.bias": own["fc.bias"][:WIDTH].copy(),
        "b.bias": own["fc.bias"][WIDTH:].copy(),
        "bn.weight": own["norm.weight"],
        "bn.bias": own["norm.bias"],
        "bn._mean": own["norm.running_mean"],
        "bn._variance": own["norm.running_var"],
    }


def _torch(device):
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(11, WIDTH)
            self.fc = torch.nn.Linear(WIDTH, 2 * WIDTH)
            self.norm = torch.nn.BatchNorm1d(WIDTH)
            self.head = torch.nn.Linear(WIDTH, 11, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids):
            gate, up = self.fc(self.embed(ids)).chunk(2, dim=-1)
            hidden = torch.nn.functional.silu(gate) * up
            return self.head(self.norm(hidden.transpose(1, 2)).transpose(1, 2))

    with torch.device(device):
        return Net()


def _paddle(lazy, epsilon):
    from contextlib import nullcontext

    import paddle

    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.bn = paddle.nn.BatchNorm1D(WIDTH, momentum=0.9, epsilon=epsilon)
            self.b, self.a = paddle.nn.Linear(WIDTH, WIDTH), paddle.nn.Linear(WIDTH, WIDTH)
            self.words = paddle.nn.Embedding(11, WIDTH)

        def forward(self, ids):
            x = self.words(ids)
            hidden = paddle.nn.functional.silu(self.a(x)) * self.b(x)
            normed = self.bn(hidden.transpose([0, 2, 1])).transpose([0, 2, 1])
            return paddle.matmul(normed, self.words.weight, transpose_y=True)

    with paddle.LazyGuard() if lazy else nullcontext():
        return Net()


def torch_side():
    import torch

    return _torch("meta").eval(), {"ids": torch.from_numpy(IDS)}


def torch_training():
    return _torch("meta"), {"ids": IDS}


def torch_filled():
    """The same in memory."""
    import torch

    model = _torch("cpu")
    numbers = {name: torch.from_numpy(array) for name, array in torch_numbers().items()}
    model.load_state_dict({**numbers, "head.weight": numbers["embed.weight"]})
    return model.eval(), {"ids": torch.from_numpy(IDS)}


def paddle_side():
    model = _paddle(True, 1e-5)
    model.eval()
    return model, {"ids": IDS}


def paddle_training():
    return _paddle(True, 1e-5), {"ids": IDS}


def paddle_epsilon():
    model = _paddle(True, 1e-3)
    model.eval()
    return model, {"ids": IDS}
