"""Weights of PyTorch: against what PyTorch 2.13 computed with them, and hostile bytes against a clock."""

import io
import json
import pickletools
import re
import struct
import sys
import time
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as save_safetensors

from epsnet import DomainError, Network, realize
from epsnet.core.realize import realize_exact
from epsnet.core.rounding_error import float64_error
from epsnet.interop import files, load_torch, tensor_files

FOLDER = Path(__file__).parent / "torch_files"
ANSWERS = np.load(FOLDER / "answers.npz")
ACTIVATIONS = {
    "relu": "relu", "double": "tanh", "half": "sigmoid", "bfloat16": "relu", "one": "relu", "named": "tanh",
    "norm": "relu", "norm_double": "relu",
}  # fmt: skip
RNG = np.random.default_rng(11)


def tensors(name):
    return tensor_files.read_tensors((FOLDER / f"{name}.pt").read_bytes())[0]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_it_computes_what_pytorch_computes(name):
    """PyTorch evaluated the weights in float64; `norm` rounds the factors to 29 bits, its network is that of them."""
    network = load_torch(FOLDER / f"{name}.pt", ACTIVATIONS[name])
    x, y = ANSWERS[f"{name}.x"], ANSWERS[f"{name}.y"]
    values = realize(network, x)
    assert values.shape == y.shape
    rounding = 2 * float64_error(network, x, x) + 2.0**-50 * (1 + np.abs(y).max())
    factors = 100 * 2.0**-30 * np.abs(y).max() if name == "norm" else 0
    assert (np.abs(values - y) <= rounding + factors).all()


@pytest.mark.parametrize("name", ["relu", "double", "half", "bfloat16", "named"])
def test_every_weight_is_the_number_in_the_file(name):
    network = load_torch(FOLDER / f"{name}.pt", "relu")
    stored = list(tensors(name).values())
    found = []
    for layer in network.layers:
        rows, columns, values = layer.terms[0][1].entries()
        matrix = np.zeros(layer.terms[0][1].shape)
        matrix[rows, columns] = values
        found += [matrix, np.asarray(layer.bias)]
    found = [array for array in found if array.any()]  # `named` has a module without bias
    assert len(found) == len(stored)
    for array, tensor in zip(found, stored, strict=True):
        assert (array == tensor.astype(np.float64)).all()


def test_half_precision_is_converted_exactly():
    for name, digits in (("half", 11), ("bfloat16", 8)):
        for array in tensors(name).values():
            mantissa = np.ldexp(np.frexp(array.astype(np.float64))[0], digits)
            assert (mantissa == np.rint(mantissa)).all(), name


def test_views_and_shared_storages():
    found = tensors("views")
    base = np.arange(12.0).reshape(3, 4)
    expected = {
        "0.weight": base.T, "0.bias": base[1], "1.weight": base[::2], "1.bias": base[1, 1:3],
        "2.weight": np.full((3, 2), 11.0), "2.bias": np.ones(3),
    }  # fmt: skip
    assert list(found) == list(expected)
    assert all((found[name] == expected[name]).all() for name in expected)
    assert load_torch(FOLDER / "param.pt", "relu").size.weights == 6


class Tensor:
    """What `load_torch` asks of a tensor of PyTorch, the missing bfloat16 of NumPy included."""

    def __init__(self, array, dtype="torch.float32"):
        self.array, self.dtype = array, dtype

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return Tensor(self.array)

    def numpy(self):
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


@pytest.mark.parametrize("dtype", ["torch.float32", "torch.bfloat16"])
def test_mappings_are_the_files(dtype):
    found = tensors("bfloat16")
    network = load_torch(FOLDER / "bfloat16.pt", "relu")
    assert load_torch(found, "relu").sha256 == network.sha256
    assert load_torch({name: Tensor(array, dtype) for name, array in found.items()}, "relu").sha256 == network.sha256
    assert load_torch({name: array.tolist() for name, array in found.items()}, "relu").sha256 == network.sha256


@pytest.mark.parametrize("name", ["relu", "double", "half", "norm", "norm_double"])
def test_safetensors_are_the_state_dict(name, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(save_safetensors({key: np.ascontiguousarray(each) for key, each in tensors(name).items()}))
    assert load_torch(path, "relu").sha256 == load_torch(FOLDER / f"{name}.pt", "relu").sha256


def test_bfloat16_in_safetensors(tmp_path):
    """NumPy has no bfloat16, so the file is written by hand: the length of the header, the header, the bytes."""
    header, data = {}, b""
    for name, array in tensors("bfloat16").items():
        upper = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [len(data), len(data) + len(upper)]}
        data += upper
    text = json.dumps(header).encode()
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    expected = load_torch(FOLDER / "bfloat16.pt", "relu")
    assert load_torch(tmp_path / "m.safetensors", "relu").sha256 == expected.sha256


def test_the_order_of_modules(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(save_safetensors(tensors("named")))
    with pytest.raises(DomainError, match=r"keeps no order.*layers="):
        load_torch(path, "tanh")
    expected = load_torch(FOLDER / "named.pt", "tanh")
    assert load_torch(path, "tanh", layers=("stem", "body", "head")).sha256 == expected.sha256
    assert load_torch(path, "tanh", layers=("body", "stem", "head")).sha256 != expected.sha256
    assert load_torch(path, "tanh", layers=["head"]).outputs == 2
    many = {f"block.{k}.linear.weight": np.full((1, 1), 1.0 + k) for k in range(12)}
    path.write_bytes(save_safetensors(many))
    matrices = [layer.terms[0][1].weight.item() for layer in load_torch(path, "relu").layers]
    assert matrices == [1.0 + k for k in range(12)]


def test_activations_are_those_that_were_given():
    network = load_torch(FOLDER / "relu.pt", ("tanh", "leaky_relu(0.25)"), output="sigmoid")
    assert [layer.activations for layer in network.layers] == [("tanh",), ("leaky_relu(0.25)",), ("sigmoid",)]


def test_a_batch_normalization_is_exact_but_for_its_factor():
    """The factor is 2 here: running variance 1/4 - epsilon, so that the affine map is known in rationals."""
    state = {
        "0.weight": np.float32([[3, 1]]), "0.bias": np.float32([0.1]), "1.running_mean": np.float32([0.3]),
        "1.running_var": np.float32([0.25 - 2**-10]), "1.weight": np.float32([2]), "1.bias": np.float32([0.7]),
        "1.num_batches_tracked": np.array(7),
    }  # fmt: skip
    network = load_torch(state, "relu", epsilon=2.0**-10)
    tenth, mean, shift = (Fraction(float(np.float32(value))) for value in (0.1, 0.3, 0.7))
    x = (Fraction(1, 3), Fraction(2, 7))
    assert realize_exact(network, x) == (4 * (3 * x[0] + x[1] + tenth - mean) + shift,)
    assert network.size.depth == 1


def test_a_normalization_in_double_precision_is_a_layer_of_its_own():
    """No product of 53-bit numbers is formed: there would be too many rationals."""
    state = {
        "0.weight": linear(1600, 1600, np.float64), "1.running_mean": np.zeros(1600), "1.running_var": np.ones(1600),
        "2.weight": linear(1, 1600, np.float64),
    }  # fmt: skip
    network = load_torch(state, "relu")
    assert [layer.activations for layer in network.layers] == [("identity",), ("relu",), ("identity",)]


def linear(m, n, dtype=np.float32):
    return RNG.standard_normal((m, n)).astype(dtype)


REFUSED = {
    "empty": ({}, "is empty"),
    "unknown parameter": ({"0.weight_v": linear(2, 2)}, "weight_v"),
    "long name": ({"0" * 5000 + ".weight": linear(2, 2)}, "more than 200 characters"),
    "scale": (
        {"0.weight": linear(1, 2), "1.running_mean": np.ones(1), "1.running_var": np.zeros(1),
         "1.weight": np.array([1e308])}, "leaves the floats"
    ),
    "no name": ({"weights": linear(2, 2)}, "none of weight"),
    "chain": ({"0.weight": linear(3, 2), "1.weight": linear(2, 4)}, r"'1'.*\(4,\).*after '0'"),
    "bias": ({"0.weight": linear(3, 2), "0.bias": linear(2, 1)[:, 0]}, r"'0'.*\(2,\)"),
    "bias alone": ({"0.bias": linear(2, 1)[:, 0]}, "neither a linear module"),
    "scalar": ({"0.weight": np.float32(1)}, "neither a linear module"),
    "no inputs": ({"0.weight": np.zeros((3, 0))}, "neither a linear module"),
    "convolution": ({"0.weight": RNG.standard_normal((2, 1, 3))}, "convolution.*load_onnx"),
    "statistics": ({"0.weight": linear(2, 2), "1.running_mean": linear(2, 1)[:, 0]}, "incomplete"),
    "variance": ({"0.weight": linear(1, 2), "1.running_mean": np.ones(1), "1.running_var": -np.ones(1)}, "variance"),
    "normalization of others": (
        {"0.weight": linear(3, 2), "1.running_mean": np.ones(2), "1.running_var": np.ones(2)}, "'1'.*after '0'"
    ),
    "only a normalization": ({"0.running_mean": np.ones(2), "0.running_var": np.ones(2)}, "0 linear modules"),
    "nan": ({"0.weight": np.array([[np.nan]])}, "NaN"),
    "complex": ({"0.weight": np.ones((2, 2), complex)}, "no real floats"),
    "integers": ({"0.weight": np.ones((2, 2), int)}, "no real floats"),
    "text": ({"0.weight": "abc"}, "no real floats"),
    "ragged": ({"0.weight": [[1.0], [1.0, 2.0]]}, "no real floats"),
    "long double": ({"0.weight": np.ones((2, 2), np.longdouble)}, "no real floats"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name):
    state, message = REFUSED[name]
    with pytest.raises(DomainError, match=message) as caught:
        load_torch(state, "relu")
    assert str(caught.value).endswith(".")


def test_a_model_is_no_state_dict():
    with pytest.raises(DomainError, match=r"Tensor is no state_dict. Give model.state_dict\(\)"):
        load_torch(Tensor(np.ones(1)), "relu")


def test_refused_options():
    state = {
        "0.weight": linear(3, 2),
        "2.weight": linear(1, 3),
        "3.running_mean": np.ones(1),
        "3.running_var": np.ones(1),
    }
    for options, message in (
        ({"activation": ("relu", "relu")}, "2 linear modules have 1 hidden"),
        ({"activation": "swish"}, "unknown"),
        ({"activation": "relu", "output": "softmax"}, "unknown"),
        ({"activation": "relu", "layers": ("0", "1")}, "no module '1'"),
        ({"activation": "relu", "layers": ()}, "no module"),
        ({"activation": "relu", "epsilon": float("nan")}, "not positive"),
    ):
        with pytest.raises(DomainError, match=message):
            load_torch(state, **options)


REFUSED_FILES = {
    "module": r"opcode b.\\x81", "checkpoint": "keys epoch, model, optimizer", "complex": "ComplexFloatStorage",
    "integers": "no real floats", "convolution": "convolution", "layer_norm": "neither", "gap": "stands between",
    "recurrent": "weight_ih_l0", "nan": "NaN", "empty": "is empty", "tensor": "no state_dict", "float8": "Untyped",
    "sparse": "calls torch", "legacy": "before 1.6", "protocol": r"opcode b.\\x95",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_FILES)
def test_files_of_pytorch_that_are_refused(name):
    with pytest.raises(DomainError, match=REFUSED_FILES[name]) as caught:
        load_torch(FOLDER / f"refused_{name}.pt", "relu")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"PK\x03\x04", b"not a file of tensors", bytes(range(256))])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(DomainError, match=r"neither a file of torch\.save nor a safetensors file"):
        load_torch(tmp_path / "m.pt", "relu")


def test_missing_folder_and_large_files_are_refused(tmp_path, monkeypatch):
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(DomainError, match="no such file"):
            load_torch(path, "relu")
    for module, limit in ((files, "MAX_FILE_BYTES"), (tensor_files, "MAX_ELEMENTS"), (tensor_files, "MAX_ENTRIES")):
        with monkeypatch.context() as changed, pytest.raises(DomainError, match=r"than [45] "):
            changed.setattr(module, limit, 5 if limit == "MAX_ENTRIES" else 4)
            load_torch(FOLDER / "relu.pt", "relu")


# --- hostile bytes -----------------------------------------------------------------------------------------------

SECONDS = 60  # a hang, not a speed


def archive(pickle, entries=(), compression=zipfile.ZIP_STORED):
    """Return an archive like those of torch.save with this pickle in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as made:
        made.writestr("a/data.pkl", pickle)
        for name, content in entries:
            made.writestr(f"a/{name}", content)
    return stream.getvalue()


def refused(content, tmp_path):
    (tmp_path / "m.pt").write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(DomainError) as caught:
        load_torch(tmp_path / "m.pt", "relu")
    assert time.perf_counter() - start < SECONDS
    return str(caught.value)


def tensor(shape, strides, offset=0, numel=4, key=b"0"):
    """Return the opcodes of a float tensor."""

    def number(value):
        return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    text = b"X" + struct.pack("<I", len(key)) + key
    identity = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + text + b"X\x03\x00\x00\x00cpu" + number(numel) + b"t"
    )
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + identity + b"Q" + number(offset) + numbers(shape) + numbers(strides)
        + b"\x89Nt" + b"R"
    )  # fmt: skip


def state(*opcodes):
    body = b"".join(b"X\x08\x00\x00\x00%d.weight" % k + code for k, code in enumerate(opcodes))
    return b"\x80\x02}(" + body + b"u."


def test_the_hostile_builder_builds(tmp_path):
    (tmp_path / "m.pt").write_bytes(archive(state(tensor((2, 2), (2, 1))), [("data/0", np.ones(4, "<f4").tobytes())]))
    assert load_torch(tmp_path / "m.pt", "relu").size.weights == 4
    big = [("byteorder", b"big"), ("data/0", np.arange(4, dtype=">f4").tobytes())]
    (tmp_path / "m.pt").write_bytes(archive(state(tensor((2, 2), (1, 2))), big))
    assert load_torch(tmp_path / "m.pt", "relu").layers[0].terms[0][1].weight.tolist() == [[0, 2], [1, 3]]


DATA = [("data/0", b"\x00" * 16)]
HOSTILE = {
    "code": (b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.", (), "calls os.system"),
    "code by a text opcode": (b"cos\nsystem\n(S'true'\ntR.", (), "opcode"),
    "constructor": (b"\x80\x02ccollections\nOrderedDict\n]\x85R.", (), "calls collections"),
    "instance": (b"\x80\x02(icollections\nOrderedDict\n.", (), "opcode b.i"),
    "deep hash": (b"\x80\x02}N" + b"q\x00h\x00\x86" * 5000 + b"Ns.", (), "neither a name"),
    "deep tuple": (b"\x80\x02N" + b"\x85" * 100_000 + b".", (), "no state_dict"),
    "underflow": (b"\x80\x02R.", (), "neither a file"),
    "no end": (b"\x80\x02}", (), "neither a file"),
    "not a pickle": (b"\xff" * 100, (), "opcode"),
    "memory": (b"\x80\x02r\xff\xff\xff\xff.", (), "neither a file"),
    "unset memory": (b"\x80\x02h\x07.", (), "neither a file"),
    "number": (b"\x80\x02K\x01.", (), "no state_dict"),
    "persistent": (b"\x80\x02K\x01Q.", (), "neither a file"),
    "foreign persistent": (b"\x80\x02K\x01K\x02K\x03\x87Q.", (), "than a storage"),
    "no storage": (state(tensor((2, 2), (2, 1))), (), "neither a file"),
    "short storage": (state(tensor((2, 3), (3, 1))), DATA, "beyond its storage"),
    "offset": (state(tensor((2, 2), (2, 1), offset=1)), DATA, "beyond its storage"),
    "far offset": (state(tensor((2, 2), (2, 1), offset=2**78)), DATA, "beyond its storage"),
    "negative offset": (state(tensor((2, 2), (2, 1), offset=-1)), DATA, "no shape"),
    "negative stride": (state(tensor((2, 2), (2, -1))), DATA, "no shape"),
    "far stride": (state(tensor((2, 2), (2**78, 1))), DATA, "beyond its storage"),
    "far stride of nothing": (state(tensor((0, 2), (2**78, 1))), DATA, "neither"),
    "huge": (state(tensor((2**40, 2**40), (0, 0))), DATA, "elements"),
    "many huge": (state(*[tensor((2**13, 2**13), (0, 0))] * 3), DATA, "elements"),
    "dimensions": (state(tensor((1,) * 9, (0,) * 9)), DATA, "no shape"),
    "shape and strides": (state(tensor((2, 2), (1,))), DATA, "no shape"),
    "no bytes": (state(tensor((1, 1), (1, 1))), [("data/0", b"")], "beyond its storage|neither"),
    "half a number": (state(tensor((1, 1), (1, 1))), [("data/0", b"\x00" * 6)], "neither a file"),
    "order of bytes": (state(tensor((2, 2), (2, 1))), [("byteorder", b"middle"), *DATA], "neither a file"),
    "outside": (state(tensor((2, 2), (2, 1), key=b"../../m.pt")), DATA, "neither a file"),
    "two archives": (state(tensor((2, 2), (2, 1))), [("b/data.pkl", b""), *DATA], "none of torch.save"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(name, tmp_path, monkeypatch):
    def forbidden(*_):
        raise AssertionError

    monkeypatch.setattr("os.system", forbidden)
    pickle, entries, message = HOSTILE[name]
    found = refused(archive(pickle, entries), tmp_path)
    assert re.search(message, found), found


def test_nothing_is_imported(tmp_path):
    before = set(sys.modules)
    refused(archive(b"\x80\x02cantigravity\nfly\n)R."), tmp_path)
    assert "antigravity" not in set(sys.modules) - before


def test_compressed_and_overlapping_entries_are_refused(tmp_path):
    bomb = archive(b"\x80\x02}.", [("data/0", b"\x00" * 10**7)], zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(bomb, tmp_path)
    # Two storages of 30,000 bytes in a file of 40,000: the second entry of the directory points at the first one.
    content = bytearray(archive(state(tensor((1, 1), (1, 1)), tensor((1, 1), (1, 1), key=b"1")), [
        ("data/0", b"\x00" * 30_000), ("data/1", b""),
    ]))  # fmt: skip
    first, second = (content.rfind(name) for name in (b"a/data/0", b"a/data/1"))
    content[second + 7] = ord("0")
    content[second - 46 : second] = content[first - 46 : first]
    content[second + 7] = ord("1")
    refused(bytes(content), tmp_path)


def mutated(content, rng):
    """Return the bytes with a few flipped, replaced, removed or repeated."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place, kind = int(rng.integers(len(data))), int(rng.integers(5))
        if kind == 0:
            data[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
        elif kind == 2:
            del data[place : place + int(rng.integers(1, 9))]
        elif kind == 3:
            data[place:place] = data[max(place - 8, 0) : place]
        else:
            data[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 9))).tolist())
    return bytes(data)


def attack(path, contents, cases, seed):
    rng = np.random.default_rng(seed)
    accepted = 0
    for case in range(cases):
        path.write_bytes(contents(case, rng))
        start = time.perf_counter()
        try:
            network = load_torch(path, "relu")
        except DomainError as error:
            assert str(error).endswith("."), error
        else:
            accepted += 1
            assert isinstance(network, Network)
        assert time.perf_counter() - start < SECONDS
    return accepted


def test_mutated_files_are_read_or_refused(tmp_path):
    """Mutations of whole archives, mostly caught by their checksums, and of safetensors."""
    bases = [(FOLDER / f"{name}.pt").read_bytes() for name in ("relu", "half", "norm", "views", "refused_checkpoint")]
    bases += [save_safetensors({key: np.ascontiguousarray(each) for key, each in tensors("relu").items()})]
    accepted = attack(tmp_path / "m.pt", lambda case, rng: mutated(bases[case % len(bases)], rng), 1000, 1)
    assert 20 < accepted < 980


def test_mutated_pickles_are_read_or_refused(tmp_path):
    """Mutations behind the checksum, of bytes and of whole opcodes."""
    bases = []
    for name in ("relu", "bfloat16", "norm", "views", "param"):
        with zipfile.ZipFile(FOLDER / f"{name}.pt") as opened:
            parts = {entry.split("/", 1)[1]: opened.read(entry) for entry in opened.namelist()}
        bases.append((parts.pop("data.pkl"), list(parts.items())))

    def content(case, rng):
        pickle, entries = bases[case % len(bases)]
        if case % 2:
            return archive(mutated(pickle, rng), entries)
        places = [place for _, _, place in pickletools.genops(pickle)]
        codes = [pickle[a:b] for a, b in zip(places, [*places[1:], len(pickle)], strict=True)]
        for _ in range(rng.integers(1, 4)):
            a, b = (int(place) for place in rng.integers(len(codes), size=2))
            match int(rng.integers(3)):
                case 0:
                    codes[a], codes[b] = codes[b], codes[a]
                case 1:
                    codes.insert(a, codes[b])
                case 2:
                    del codes[a]
        return archive(b"".join(codes), entries)

    accepted = attack(tmp_path / "m.pt", content, 1000, 2)
    assert 20 < accepted < 980
