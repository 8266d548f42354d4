"""PyTorch, eager: steps per second of plain SGD. Runs in the environment of the peer; `run.py` starts it.

    python peer.py DATA.npz LOOP THREADS EPOCHS

LOOP says how the peer is written:

- module: what its tutorials show: nn.Sequential, cross_entropy, torch.optim.SGD;
- functional: the fastest eager loop found: addmm and relu on plain tensors, torch.autograd.grad, one update of all
  six tensors at once.

Prints two numbers: steps per second with the shuffling of each epoch inside the time, and without it. Each epoch is
shuffled by one index_select into a buffer that is kept, the fastest of the ways tried.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

BATCH, RATE = 64, 0.05


def module(net: nn.Module):
    """Return the step of the tutorials."""
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def functional(net: nn.Module):
    """Return the step without modules and optimizer objects."""
    theta = list(net.parameters())
    a1, b1, a2, b2, a3, b3 = theta

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        hidden = torch.addmm(b1, x, a1.t()).relu()
        hidden = torch.addmm(b2, hidden, a2.t()).relu()
        gradient = torch.autograd.grad(cross_entropy(torch.addmm(b3, hidden, a3.t()), y), theta)
        with torch.no_grad():
            torch._foreach_add_(theta, gradient, alpha=-RATE)

    return step


def main() -> None:
    """Measure one loop."""
    path, loop, threads, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with np.load(path) as archive:
        x = torch.from_numpy(archive["inputs"].reshape(-1, 784)).float()
        y = torch.from_numpy(archive["labels"]).long()
    x = (x - x.mean()) / x.std()
    steps = len(y) // BATCH
    net = nn.Sequential(nn.Linear(784, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 10))
    step = {"module": module, "functional": functional}[loop](net)
    buffer = torch.empty(steps * BATCH, x.shape[1])
    inside = outside = 0.0
    for epoch in range(epochs + 1):
        start = time.perf_counter()
        order = torch.randperm(len(y))[: steps * BATCH]
        torch.index_select(x, 0, order, out=buffer)
        inputs, labels = buffer.view(steps, BATCH, -1).unbind(0), y[order].view(steps, BATCH).unbind(0)
        shuffled = time.perf_counter()
        for images, digits in zip(inputs, labels, strict=True):
            step(images, digits)
        end = time.perf_counter()
        if epoch:  # the first one warms up
            inside, outside = inside + end - start, outside + end - shuffled
    print(json.dumps([epochs * steps / inside, epochs * steps / outside]))


if __name__ == "__main__":
    main()
