"""Make the files of tests/interop/torch_files with PyTorch 2.13: weights, and what PyTorch computes with them.

    python tests/interop/make_torch_files.py

It runs by hand, in an environment with torch and safetensors; the tests read the files and need neither.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).parent / "torch_files"


def trained(model):
    """Return the model with running statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            if module.affine:
                module.weight.data.copy_(torch.randn(module.num_features, generator=generator))
                module.bias.data.copy_(torch.randn(module.num_features, generator=generator))
    return model.eval()


class Named(nn.Module):
    """Modules whose names are in no alphabetical order."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(5, 5)
        self.body = nn.Linear(5, 5, bias=False)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.body(torch.tanh(self.stem(x)))))


def norm():
    return nn.Sequential(
        nn.BatchNorm1d(4), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(),
        nn.Linear(6, 5), nn.BatchNorm1d(5, affine=False), nn.ReLU(), nn.Linear(5, 3, bias=False),
    )  # fmt: skip


def main():
    torch.manual_seed(0)
    relu = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    models = {
        "relu": relu,
        "half": nn.Sequential(nn.Linear(3, 7), nn.Sigmoid(), nn.Linear(7, 2)).half(),
        "bfloat16": nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 2)).bfloat16(),
        "one": nn.Linear(4, 2),
        "named": Named(),
        "norm": trained(norm()),
    }
    torch.set_default_dtype(torch.float64)
    models["double"] = nn.Sequential(nn.Linear(3, 7), nn.Tanh(), nn.Linear(7, 2))
    models["norm_double"] = trained(norm())
    torch.set_default_dtype(torch.float32)
    answers = {}
    for name, model in models.items():
        model.eval()
        torch.save(model.state_dict(), FOLDER / f"{name}.pt")
        exact = model.double()
        inputs = next(each.shape[0] if each.ndim == 1 else each.shape[1] for each in exact.state_dict().values())
        points = torch.randn(16, inputs, dtype=torch.float64)
        answers[f"{name}.x"], answers[f"{name}.y"] = points.numpy(), exact(points).detach().numpy()
    np.savez_compressed(FOLDER / "answers.npz", **answers)

    # Storages that tensors share, view, transpose and expand; parameters instead of tensors.
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    views = OrderedDict(
        [("0.weight", base.T), ("0.bias", base[1]), ("1.weight", base[::2]), ("1.bias", base[1, 1:3]),
         ("2.weight", base[2:, 3:].expand(3, 2)), ("2.bias", torch.ones(1).expand(3))]
    )  # fmt: skip
    torch.save(views, FOLDER / "views.pt")
    torch.save({"weight": nn.Parameter(torch.ones(2, 3)), "bias": nn.Parameter(torch.zeros(2))}, FOLDER / "param.pt")

    refused = {
        "module": nn.Linear(2, 2),
        "checkpoint": {"epoch": 3, "model": relu.state_dict(), "optimizer": torch.optim.Adam([base]).state_dict()},
        "complex": {"0.weight": torch.ones(2, 2, dtype=torch.complex64)},
        "integers": {"0.weight": torch.ones(2, 2, dtype=torch.int32)},
        "convolution": nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)).state_dict(),
        "layer_norm": nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)).state_dict(),
        "gap": trained(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.BatchNorm1d(3), nn.Linear(3, 1))).state_dict(),
        "recurrent": nn.LSTM(2, 2).state_dict(),
        "nan": {"0.weight": torch.tensor([[1.0, float("nan")]])},
        "empty": OrderedDict(),
        "tensor": torch.ones(2, 2),
        "float8": {"0.weight": torch.ones(2, 2).to(torch.float8_e4m3fn)},
        "sparse": {"0.weight": torch.eye(3).to_sparse()},
    }
    for name, thing in refused.items():
        torch.save(thing, FOLDER / f"refused_{name}.pt")
    torch.save(relu.state_dict(), FOLDER / "refused_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(models["one"].state_dict(), FOLDER / "refused_protocol.pt", pickle_protocol=4)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    main()
