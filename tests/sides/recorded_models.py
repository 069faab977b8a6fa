"""A reference in torch and ports of it in Paddle. A framework is imported where it is used."""

from __future__ import annotations

import numpy as np

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def reference():
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)
            self.norm = torch.nn.LayerNorm(8)
            self.gate = torch.nn.Linear(8, 8)

        def forward(self, x):
            hidden = torch.nn.functional.gelu(self.fc1(x))
            gated = self.norm(hidden) * torch.sigmoid(self.gate(hidden))
            logits = self.fc2(gated + hidden)
            return {"logits": logits, "shares": logits.softmax(-1)}

    torch.manual_seed(0)
    return Net().eval(), {"x": torch.from_numpy(X)}


def changed(
    epsilon=1e-5, residual=True, squash="sigmoid", exchanged=False, detached=False, noting=False
):
    import paddle

    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = paddle.nn.Linear(6, 8), paddle.nn.Linear(8, 3)
            self.norm = paddle.nn.LayerNorm(8, epsilon=epsilon)
            self.gate = paddle.nn.Linear(8, 8)

        def forward(self, x):
            if noting:
                self.rows = x.shape[0]
            functional = paddle.nn.functional
            squashed = {
                "sigmoid": functional.sigmoid,
                "tanh": functional.tanh,
                "spelled": lambda x: (functional.tanh(x * 0.5) + 1) * 0.5,
                "nearly": lambda x: (functional.tanh(x * 0.5) + 1) * 0.5 + 2e-6,
                "misspelled": lambda x: (functional.tanh(x * 0.5) + 1) * 0.51,
            }
            hidden = functional.gelu(self.fc1(x))
            gate = squashed[squash](self.gate(hidden))
            gated = self.norm(hidden) * (gate.detach() if detached else gate)
            logits = self.fc2(gated + hidden if residual else gated)
            shares = functional.softmax(logits, -1)
            both = (shares, logits) if exchanged else (logits, shares)
            return {"logits": both[0], "shares": both[1]}

    paddle.seed(0)
    model = Net()
    model.eval()
    return model


def port():
    return changed(), {"x": X}


def port_epsilon():
    return changed(epsilon=1e-3), {"x": X}


def port_with_loss():
    return {"model": changed(), "inputs": {"x": X}, "loss": lambda out: out["logits"].mean()}


def port_without_inputs():
    return {"model": changed()}


def port_of_other_inputs():
    return changed(), {"x": X + 1}


def keeping(framework, step=1, noting=True):
    """A model that counts its calls and reads the count."""
    if framework == "torch":
        import torch as package

        base, linear = package.nn.Module, package.nn.Linear
        package.manual_seed(0)
    else:
        import paddle as package

        base, linear = package.nn.Layer, package.nn.Linear

    class Counting(base):
        def __init__(self):
            super().__init__()
            self.fc = linear(6, 3)
            self.calls = 0

        def forward(self, x, seen=None):
            out = self.fc(x)
            if seen is not None and noting:
                seen.append(out.shape[0])
            if self.calls > 0:
                out = out * 2
            self.calls += step
            return out

    model = Counting()
    model.eval()
    return model


def training(framework, rate=0.25):
    """Dropout and a BatchNorm in training mode."""
    if framework == "torch":
        import torch

        torch.manual_seed(0)
        layers = torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(rate)
        return torch.nn.Sequential(*layers, torch.nn.Linear(8, 3)).train()
    import paddle

    layers = paddle.nn.Linear(6, 8), paddle.nn.BatchNorm1D(8), paddle.nn.Dropout(rate)
    model = paddle.nn.Sequential(*layers, paddle.nn.Linear(8, 3))
    model.train()
    return model


def attention(framework):
    """One head, written out."""
    if framework == "torch":
        import torch as package

        base, linear, softmax = package.nn.Module, package.nn.Linear, package.softmax
        package.manual_seed(0)
    else:
        import paddle as package

        base, linear = package.nn.Layer, package.nn.Linear
        softmax = package.nn.functional.softmax

    class Attention(base):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (linear(6, 6) for _ in range(3))

        def forward(self, x):
            turned = (1, 2) if framework == "torch" else ([0, 2, 1],)
            scores = package.matmul(self.query(x), self.key(x).transpose(*turned))
            return package.matmul(softmax(scores * 0.5, -1), self.value(x))

    model = Attention()
    model.eval()
    return model
