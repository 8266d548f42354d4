"""Data: samples with a content hash, the bundled MNIST digits, readers for idx, npz and csv, deterministic splits."""

from epsnet.data.mnist import load_mnist
from epsnet.data.read import read_data
from epsnet.data.sample import Sample
from epsnet.data.splitting import split

__all__ = ["Sample", "load_mnist", "read_data", "split"]
