"""A convolutional network with a prior without data: filters, ReLU, means over windows, normalization, linear head.

Filters are v = L e, where e ~ N(0, I) per filter and L L^T = exp(-|i - j|^2/(2*1.5^2)) makes them smooth. The prior is
N(e_0, tau^2 I) around the filters e_0 of a seed, the posterior N(e_0 + D, tau^2 I) with a learned shift D, and one
network is drawn: filters first, then the head from a posterior that may depend on them. With xi the noise of the draw,

    ln dQ/dP = |D|^2/(2 tau^2) + xi . D/tau + ln dQ_head/dP_head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE, STRIDE, COUNT, POOL = 7, 2, 64, 3
TAU = 0.5
_BLOCK = 1000

Floats = NDArray[np.float64]


def smoothing() -> Floats:
    """Return L of the smooth filters."""
    places = np.indices((SIDE, SIDE)).reshape(2, -1).T
    distances = ((places[:, None] - places) ** 2).sum(-1)
    return np.linalg.cholesky(np.exp(-distances / (2 * 1.5**2)) + 1e-6 * np.eye(SIDE**2))


def patches(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the windows (n, 11, 11, 49) of images (n, 28, 28) in [0, 1]."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (SIDE, SIDE), (1, 2))[:, ::STRIDE, ::STRIDE]
    return windows.reshape(*windows.shape[:3], -1).astype(np.float32) / np.float32(255)


def conv_features(images: NDArray[np.uint8], filters: Floats) -> Floats:
    """Return the normalized features (n, 25*64) of images (n, 28, 28) for filters (49, 64)."""
    rows = []
    for start in range(0, len(images), _BLOCK):
        found = np.maximum(patches(images[start : start + _BLOCK]) @ filters.astype(np.float32), 0)
        means = np.lib.stride_tricks.sliding_window_view(found, (POOL, POOL), (1, 2))[:, ::2, ::2].mean((-2, -1))
        rows.append(means.reshape(len(means), -1))
    features = np.concatenate(rows).astype(np.float64)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths, lengths, 1)


def learn_filters(
    images: NDArray[np.uint8], labels: NDArray[np.int64], epochs: int, seed: int, weight: float = 2.0
) -> tuple[Floats, float]:
    """Return drawn filters (49, 64) and ln dQ/dP of the draw; 0 epochs leave the prior."""
    start = np.random.default_rng([seed, 0]).standard_normal((SIDE**2, COUNT))
    noise = np.random.default_rng([seed, 1]).standard_normal(start.shape)
    shift = _shift(images, labels, start, epochs, seed, weight) if epochs else np.zeros_like(start)
    nats = float((shift**2).sum() / (2 * TAU**2) + (noise * shift).sum() / TAU)
    return smoothing() @ (start + shift + TAU * noise), nats


def _shift(
    images: NDArray[np.uint8], labels: NDArray[np.int64], start: Floats, epochs: int, seed: int, weight: float
) -> Floats:
    """Minimize cross entropy in bits plus weight*|D|^2/(2 tau^2 n) over D and a head, with fresh noise in each step."""
    import jax
    import jax.numpy as jnp
    import optax

    batch, generator = 250, np.random.default_rng([seed, 2])
    smooth, first = smoothing().astype(np.float32), start.astype(np.float32)

    def objective(params, noise, windows, classes):
        filters = smooth @ (first + params["shift"] + TAU * noise)
        found = jax.nn.relu(windows @ filters)
        means = jax.lax.reduce_window(found, 0.0, jax.lax.add, (1, POOL, POOL, 1), (1, 2, 2, 1), "VALID")
        flat = means.reshape(len(means), -1)
        flat = flat / jnp.linalg.norm(flat + 1e-9, axis=1, keepdims=True)
        loss = optax.softmax_cross_entropy_with_integer_labels(flat @ params["head"], classes).mean() / np.log(2)
        return loss + weight * (params["shift"] ** 2).sum() / (2 * TAU**2 * len(labels))

    size = 25 * COUNT
    params = {"shift": jnp.zeros(start.shape, jnp.float32), "head": jnp.zeros((size, 10), jnp.float32)}
    steps = epochs * len(images) // batch
    optimizer = optax.multi_transform(
        {
            "shift": optax.adam(optax.linear_schedule(0.01, 0.0, steps)),
            "head": optax.adam(optax.linear_schedule(0.3, 0.0, steps)),
        },
        {"shift": "shift", "head": "head"},
    )
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, noise, windows, classes):
        slope = jax.grad(objective)(params, noise, windows, classes)
        change, state = optimizer.update(slope, state, params)
        return optax.apply_updates(params, change), state

    for _ in range(epochs):
        order = generator.permutation(len(images))
        for i in range(0, len(images) - batch + 1, batch):
            chosen = order[i : i + batch]
            noise = generator.standard_normal(start.shape).astype(np.float32)
            params, state = step(params, state, noise, patches(images[chosen]), labels[chosen].astype(np.int32))
    return np.asarray(params["shift"], dtype=np.float64)
