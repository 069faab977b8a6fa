"""Small paired models: the same function, built differently."""

from __future__ import annotations

import numpy as np
import paddle
import torch

N, L, E, H = 2, 5, 16, 4


def example(array, first="x", second="x"):
    return {first: paddle.to_tensor(array)}, {second: torch.from_numpy(array.copy())}


def sequence(seed=0):
    return np.random.RandomState(seed).randn(N, L, E).astype("float32")


def randomised(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(
                0.3 * torch.randn(tensor.shape, generator=generator)
                + (1.0 if tensor.ndim == 1 else 0.0)
            )
    return module.eval()


class Mlp(paddle.nn.Layer):
    """Layers defined in another order than they are called in."""

    def __init__(self):
        super().__init__()
        self.fc2 = paddle.nn.Linear(16, 4)
        self.norm = paddle.nn.LayerNorm(16)
        self.fc1 = paddle.nn.Linear(8, 16)

    def forward(self, x):
        return self.fc2(self.norm(paddle.nn.functional.relu(self.fc1(x))))


class TorchMlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(8, 16)
        self.n = torch.nn.LayerNorm(16)
        self.b = torch.nn.Linear(16, 4)

    def forward(self, y):
        return self.b(self.n(torch.relu(self.a(y))))


class Attention(paddle.nn.Layer):
    """Query, key and value of their own."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (paddle.nn.Linear(E, E) for _ in range(4))

    def forward(self, x):
        heads = [
            linear(x).reshape([N, L, H, E // H]).transpose([0, 2, 1, 3])
            for linear in (self.q, self.k, self.v)
        ]
        scores = paddle.nn.functional.softmax(
            heads[0] @ heads[1].transpose([0, 1, 3, 2]) / (E // H) ** 0.5, -1
        )
        return self.o((scores @ heads[2]).transpose([0, 2, 1, 3]).reshape([N, L, E]))


class Fused(torch.nn.Module):
    """One product for all three, packed for each head: [H, 3, D]."""

    def __init__(self):
        super().__init__()
        self.qkv, self.o = torch.nn.Linear(E, 3 * E), torch.nn.Linear(E, E)

    def forward(self, x):
        q, k, v = self.qkv(x).reshape(N, L, H, 3, E // H).permute(3, 0, 2, 1, 4)
        return self.o(
            torch.nn.functional.scaled_dot_product_attention(q, k, v)
            .transpose(1, 2)
            .reshape(N, L, E)
        )


class LengthFirst(torch.nn.Module):
    """torch's own attention, which runs length-first."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(E, H)

    def forward(self, x):
        x = x.transpose(0, 1)
        return self.attention(x, x, x, need_weights=False)[0].transpose(0, 1)


class Interleaved(torch.nn.Module):
    """Heads along the other axis: feature d * H + h where the others have h * D + d."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (torch.nn.Linear(E, E) for _ in range(4))

    def forward(self, x):
        q, k, v = (
            linear(x).reshape(N, L, E // H, H).permute(0, 3, 1, 2)
            for linear in (self.q, self.k, self.v)
        )
        scores = torch.softmax(q @ k.transpose(-1, -2) / (E // H) ** 0.5, -1)
        return self.o((scores @ v).permute(0, 2, 3, 1).reshape(N, L, E))


class Swapped(paddle.nn.Layer):
    """fc1 and fc2 called in the other order."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 8)

    def forward(self, x):
        return self.fc1(paddle.nn.functional.relu(self.fc2(x)))


class Straight(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


class Experts(paddle.nn.Layer):
    """A mixture whose experts are layers of their own, each run on the rows that choose it."""

    def __init__(self, count=3):
        super().__init__()
        self.gate = paddle.nn.Linear(E, count, bias_attr=False)
        self.experts = paddle.nn.LayerList(
            [paddle.nn.Linear(E, E, bias_attr=False) for _ in range(count)]
        )

    def forward(self, x):
        rows = x.reshape([-1, E])
        best = self.gate(rows).argmax(axis=-1)
        found = paddle.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            places = paddle.nonzero(best == number).flatten()
            if places.shape[0]:
                found = paddle.index_add(found, places, 0, expert(paddle.gather(rows, places)))
        return paddle.tanh(found).reshape(x.shape)


class TorchExperts(torch.nn.Module):
    """The same experts in one tensor, [expert, out, in], each row multiplied by its own."""

    def __init__(self, count=3):
        super().__init__()
        self.gate = torch.nn.Linear(E, count, bias=False)
        self.experts = torch.nn.Parameter(torch.randn(count, E, E) * 0.3)

    def forward(self, x):
        rows = x.reshape(-1, E)
        chosen = self.experts[self.gate(rows).argmax(-1)]
        return torch.tanh(torch.bmm(chosen, rows.unsqueeze(-1)).squeeze(-1)).reshape(x.shape)
