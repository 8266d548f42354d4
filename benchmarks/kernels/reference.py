"""The kernels in 50-digit arithmetic, for every pair of points and pixels: short, slow, and no line shared with epsnet.

python benchmarks/kernels/reference.py    # writes benchmarks/kernels/results/reference.csv
"""

import csv
import functools
from pathlib import Path

import mpmath as mp

mp.mp.dps = 50


def dual(name, a, b, c):
    """Return E phi(u) phi(v) and E phi'(u) phi'(v)."""
    s = mp.sqrt(a * b)
    if name in ("tanh", "silu", "softplus"):
        return quadrature(name, a, b, c)
    if name == "erf":
        d = (1 + 2 * a) * (1 + 2 * b)
        return 2 / mp.pi * mp.asin(2 * c / mp.sqrt(d)), 4 / mp.pi / mp.sqrt(d - 4 * c * c)
    if name == "gelu":
        d = (1 + a) * (1 + b)
        q = mp.sqrt(d - c * c)
        scale, share = 1 / (2 * mp.pi * q), mp.mpf(1) / 4 + mp.asin(c / mp.sqrt(d)) / (2 * mp.pi)
        f = c * share + scale * (a * b + c * c * (1 - a * b) / d)
        return f, share + c * scale * (1 / (1 + a) + 1 / (1 + b) + 1 / q**2)
    if name in ("sin", "cos"):
        pair = mp.exp(-(a + b) / 2) * mp.sinh(c), mp.exp(-(a + b) / 2) * mp.cosh(c)
        return pair if name == "sin" else pair[::-1]
    if name == "exp":
        value = mp.exp((a + b) / 2 + c)
        return value, value
    if name == "power(3)":
        return 9 * a * b * c + 6 * c**3, 9 * (a * b + 2 * c * c)
    angle = mp.acos(min(max(c / s, mp.mpf(-1)), mp.mpf(1))) if s else mp.pi / 2
    if name == "sign":
        return 1 - 2 * angle / mp.pi, mp.mpf(0)
    slope = {"relu": mp.mpf(0), "abs": mp.mpf(-1)}.get(name)
    slope = mp.mpf(float(name[11:-1])) if slope is None else slope
    left, right = ((1 + slope) / 2) ** 2, ((1 - slope) / 2) ** 2
    bend = 2 / mp.pi * (mp.pi / 2 - angle)
    return left * c + right * (2 / mp.pi * s * mp.sin(angle) + bend * c), left + right * bend


PHI = {
    "tanh": (mp.tanh, lambda x: mp.sech(x) ** 2),
    "silu": (
        lambda x: x / (1 + mp.exp(-x)),
        lambda x: 1 / (1 + mp.exp(-x)) + x * mp.exp(-x) / (1 + mp.exp(-x)) ** 2,
    ),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), lambda x: 1 / (1 + mp.exp(-x))),
}


@functools.cache
def nodes(h):
    """Return the trapezoid rule for a standard normal variable."""
    found = [k * h for k in range(-int(11 / h), int(11 / h) + 1)]
    return [(z, h * mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)) for z in found]


def quadrature(name, a, b, c):
    """Return F and G by the tensor trapezoid rule, at 25 digits."""
    phi, slope = PHI[name]
    with mp.workdps(25):
        ra = mp.sqrt(a)
        rest = mp.sqrt(max(b - c * c / a, 0))
        f = g = mp.mpf(0)
        rule = nodes(mp.mpf(1) / 10)
        for s, weight in rule:
            inner = [(w, c / ra * s + rest * t) for t, w in rule] if rest > 1e-20 else [(mp.mpf(1), c / ra * s)]
            f += weight * phi(ra * s) * mp.fsum(w * phi(v) for w, v in inner)
            g += weight * slope(ra * s) * mp.fsum(w * slope(v) for w, v in inner)
        return f, g


class Pair:
    """K[p, q] and Theta[p, q] of pixels p of one point and q of another; () is the pixel of a vector."""

    def __init__(self, x, y, same):
        self.same = same
        if x.ndim == 1:
            self.k = {((), ()): mp.fsum(mp.mpf(u) * mp.mpf(v) for u, v in zip(x, y, strict=True)) / len(x)}
        else:
            places = [(i, j) for i in range(x.shape[0]) for j in range(x.shape[1])]
            self.k = {(p, q): mp.fsum(mp.mpf(u) * mp.mpf(v) for u, v in zip(x[p], y[q], strict=True)) / x.shape[2]
                      for p in places for q in places}  # fmt: skip
        self.t = dict.fromkeys(self.k, mp.mpf(0))


def run(layers, points, i, j):
    """Return K and Theta of the points i and j."""
    pairs = {(s, t): Pair(points[s], points[t], s == t) for s, t in ((i, i), (j, j), (i, j))}
    sides = {(s, t): ((s, s), (t, t)) for s, t in pairs}
    advance(layers, pairs, sides)
    end = pairs[i, j]
    return end.k[(), ()], end.t[(), ()]


def advance(layers, pairs, sides):
    """Apply the layers to all pairs at once."""
    for layer in layers:
        kind, *numbers = layer
        if kind == "res":
            before = {key: (dict(pair.k), dict(pair.t)) for key, pair in pairs.items()}
            advance(numbers[0], pairs, sides)
            for key, pair in pairs.items():
                pair.k = {p: pair.k[p] + before[key][0][p] for p in pair.k}
                pair.t = {p: pair.t[p] + before[key][1][p] for p in pair.t}
            continue
        own = {key: {p: v for (p, q), v in pair.k.items() if p == q} for key, pair in pairs.items() if pair.same}
        for key, pair in pairs.items():
            step(kind, numbers, pair, *(own[side] for side in sides[key]))


def step(kind, numbers, pair, a, b):
    """Apply one layer to one pair; a and b are the variances of the two points."""
    numbers = [mp.mpf(n) if isinstance(n, float) else n for n in numbers]
    k, t = pair.k, pair.t
    if kind == "dense":
        w, beta = numbers
        pair.k = {p: w * w * v + beta * beta for p, v in k.items()}
        pair.t = {p: w * w * v + pair.k[p] for p, v in t.items()}
    elif kind == "act":
        values = {(p, q): dual(numbers[0], a[p], b[q], v) for (p, q), v in k.items()}
        pair.k = {p: f for p, (f, _) in values.items()}
        pair.t = {p: t[p] * g for p, (_, g) in values.items()}
    elif kind == "conv":
        size, w, beta, stride, padding = numbers
        start = -((size - 1) // 2) if padding == "same" else 0
        side = 1 + max(p[0] for p, _ in k)
        count = range(0, side if padding == "same" else side - size + 1, stride)
        offsets = [(d, e) for d in range(start, start + size) for e in range(start, start + size)]
        places = [(i, j) for i in count for j in count]

        def moved(table, p, q):
            return (
                mp.fsum(table.get(((p[0] + d, p[1] + e), (q[0] + d, q[1] + e)), mp.mpf(0)) for d, e in offsets)
                / size**2
            )

        pair.k = {(p, q): w * w * moved(k, p, q) + beta * beta for p in places for q in places}
        pair.t = {(p, q): w * w * moved(t, p, q) + pair.k[p, q] for p in places for q in places}
        rename = {p: (p[0] // stride, p[1] // stride) for p in places}
        pair.k, pair.t = ({(rename[p], rename[q]): v for (p, q), v in x.items()} for x in (pair.k, pair.t))
    elif kind == "pool":
        size, how = numbers
        side = (1 + max(p[0] for p, _ in k)) // size
        places = [(i, j) for i in range(side) for j in range(side)]
        window = [(d, e) for d in range(size) for e in range(size)]
        factor = mp.mpf(1) / size**4 if how == "average" else 1

        def pooled(table, p, q):
            return factor * mp.fsum(
                table[(p[0] * size + d, p[1] * size + e), (q[0] * size + f, q[1] * size + g)]
                for d, e in window for f, g in window
            )  # fmt: skip

        pair.k, pair.t = ({(p, q): pooled(x, p, q) for p in places for q in places} for x in (k, t))
    elif kind == "flatten":
        pair.k, pair.t = ({((), ()): mp.fsum(v for (p, q), v in x.items() if p == q) / mp.sqrt(len(x))} for x in (k, t))
    elif kind == "gap":
        pair.k, pair.t = ({((), ()): mp.fsum(x.values()) / len(x)} for x in (k, t))
    elif kind == "norm":
        pair.k, pair.t = ({(p, q): v / mp.sqrt(a[p] * b[q]) for (p, q), v in x.items()} for x in (k, t))
    elif kind == "drop":
        pair.k, pair.t = (
            {(p, q): v / numbers[0] if pair.same and p == q else v for (p, q), v in x.items()} for x in (k, t)
        )


def main():
    """Write all reference values, 30 digits."""
    import cases

    x, images = cases.points()
    near = cases.near_pairs()
    table = [(name, "x", layers, x, [(i, j) for i in range(5) for j in range(i, 5)])
             for name, layers in cases.VECTORS.items()]  # fmt: skip
    table += [(name, "images", layers, images, [(0, 0), (0, 1), (1, 2)]) for name, layers in cases.IMAGES.items()]
    table += [(name, "x", layers, x, [(0, 0), (0, 1), (3, 4)]) for name, layers in cases.ANY.items()]
    for name in ("relu, depth 3", "relu, bias, depth 20", "erf before relu", "abs, depth 4", "leaky, depth 4"):
        table += [(name, f"near {eps:g}", cases.VECTORS[name], pair, [(0, 0), (1, 1), (0, 1)])
                  for eps, pair in near.items()]  # fmt: skip
        table.append((name, "opposite", cases.VECTORS[name], cases.opposite_pair(), [(0, 0), (1, 1), (0, 1)]))
    target = Path(__file__).parent / "results" / "reference.csv"
    target.parent.mkdir(exist_ok=True)
    with target.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["case", "points", "i", "j", "nngp", "ntk"])
        for name, label, layers, data, entries in table:
            for i, j in entries:
                k, t = run(layers, data, i, j)
                writer.writerow([name, label, i, j, mp.nstr(k, 30), mp.nstr(t, 30)])
            print(name, label, flush=True)


if __name__ == "__main__":
    main()
