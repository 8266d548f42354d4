"""The commands: what they print, the JSON contract of docs/json.md, interruption and resuming."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

DOCS = (Path(__file__).parents[2] / "docs/json.md").read_text(encoding="utf-8")
EXP = ("learn", "exp(x)", "--on", "0,1", "--eps", "1e-3")
RUN = ("learn", "points.csv", "--hidden", "8", "--epochs", "400", "--out", "out")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty folder with a table of 80 points of two classes."""
    monkeypatch.chdir(tmp_path)
    x = np.random.Generator(np.random.Philox(0)).normal(size=(80, 2))
    rows = [f"{a:.6f},{b:.6f},{'inside' if a * a + b * b < 1 else 'outside'}\n" for a, b in x]
    Path("points.csv").write_text("a,b,label\n" + "".join(rows))
    return tmp_path


def sha256(folder):
    from epsnet import load_network

    return load_network(Path(folder) / "network.safetensors").sha256


def structure(value):
    """Return the keys of nested objects, with a type in place of every other value."""
    if isinstance(value, dict):
        return {key: structure(item) for key, item in value.items()}
    return [structure(item) for item in value] if isinstance(value, list) else type(value).__name__


# --- text


def test_learn_check_inspect(epsnet):
    done = epsnet(*EXP)
    assert done.code == 0 and not done.err
    assert "11 linear pieces; no polygon with 10 pieces is that close" in done.out
    assert "VERIFIED" in done.out
    last = done.out.splitlines()[-1]
    assert last == "epsnet check epsnet-out/exp-x"
    checked = epsnet(*shlex.split(last)[1:])
    assert checked.code == 0 and not checked.err
    assert re.search(r"all \d+ claims hold", checked.out)
    for path in ("epsnet-out/exp-x", "epsnet-out/exp-x/network.safetensors"):
        inspected = epsnet("inspect", path)
        assert inspected.code == 0 and not inspected.err
        assert re.search(r"weights M +33\b", inspected.out)
        assert sha256("epsnet-out/exp-x") in inspected.out


def test_learn_from_data_and_check(epsnet):
    done = epsnet(*RUN)
    assert done.code == 0
    assert "STATISTICAL" in done.out and "assumed   the points of the sample are independent" in done.out
    assert re.search(r"epoch 400/400 .* 0 s left", done.err)
    assert epsnet(*shlex.split(done.out.splitlines()[-1])[1:]).code == 0
    # Without run.json the origin of the data has to be named, and its hash still decides.
    Path("out/run.json").unlink()
    assert epsnet("check", "out").code == 2
    assert epsnet("check", "out", "--data", "points.csv").code == 0
    Path("points.csv").write_text(Path("points.csv").read_text().replace("inside", "outside", 1))
    assert epsnet("check", "out", "--data", "points.csv").code == 1


def test_doctor(epsnet):
    done = epsnet("doctor")
    lines = done.out.splitlines()
    assert done.code == 0 and len(lines) >= 12
    assert all(line.startswith("ok  ") for line in lines)


def test_folder_with_a_space_is_quoted(epsnet):
    last = epsnet(*EXP, "--out", "my nets/exp").out.splitlines()[-1]
    assert last == "epsnet check 'my nets/exp'"
    assert epsnet(*shlex.split(last)[1:]).code == 0


# --- JSON


def documented(title):
    section = DOCS.split(f"\n## {title}\n", 1)[1] if title else DOCS
    return re.findall(r"^\| `(\w+)` \|", section.split("\n## ", 1)[0], re.MULTILINE)


@pytest.mark.parametrize("arguments", [EXP, RUN], ids=["formula", "data"])
def test_documented_keys_are_the_printed_ones(arguments, epsnet):
    done = epsnet(*arguments, "--json")
    assert done.code == 0 and not done.err
    printed = json.loads(done.out)
    assert documented("") == list(printed)
    assert sorted(documented("`network`")) == sorted(printed["network"])
    assert documented("`error`") == list(printed["error"])
    assert documented("`files`") == list(printed["files"])
    assert all(Path(path).exists() for path in printed["files"].values())
    assert printed["optimality"] is None or list(printed["optimality"]) == documented("`error`")


def test_documented_example(epsnet):
    (example,) = re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)
    example, printed = json.loads(example), json.loads(epsnet(*EXP, "--json").out)
    assert structure(example) == structure(printed)
    # Other processors may round the search, and so the last digits of the weights, in other ways.
    stable = ("weights", "depth", "neurons", "width", "operations", "bits")
    assert [example["network"][key] for key in stable] == [printed["network"][key] for key in stable]
    for part in (example, printed):
        part["error"]["network"] = part["error"]["value"] = None
        del part["network"], part["seconds"], part["code_bytes"]
    assert example == printed


def test_json_of_the_other_commands(epsnet):
    learned = json.loads(epsnet(*EXP, "--json").out)
    commands = dict(re.findall(r"^\| `(check|inspect|doctor)` \| (.*) \|$", DOCS, re.MULTILINE))
    checked = json.loads(epsnet("check", "epsnet-out/exp-x", "--json").out)
    assert re.findall(r"`(\w+)`", commands["check"].partition(";")[0]) == list(checked)
    assert {key: checked[key] for key in ("network", "error", "optimality")} == {
        key: learned[key] for key in ("network", "error", "optimality")
    }
    assert all(list(claim) == documented("`error`") for claim in checked["checked"])
    inspected = json.loads(epsnet("inspect", "epsnet-out/exp-x", "--json").out)["network"]
    counted = {**learned["network"], "inputs": 1, "outputs": 1, "sha256": sha256("epsnet-out/exp-x")}
    assert {key: inspected[key] for key in counted} == counted
    assert list(inspected) == [*counted, *documented("What `inspect` says besides the sizes")]
    findings = json.loads(epsnet("doctor", "--json").out)["findings"]
    assert all(list(finding) == re.findall(r"`(\w+)`", commands["doctor"])[1:] for finding in findings)
    assert all(finding["holds"] for finding in findings)


# --- targets and options


FORMULAS = [
    ("-x^2 --on 0,1 --eps 1e-2", "F(x) = -x^2 on [0, 1]"),
    ("--on 0,1 --eps 1e-2 -exp(-x)", "F(x) = -exp(-x) on [0, 1]"),
    ("--on 0,1 --eps 1e-2 -- --x", "F(x) = x on [0, 1]"),
    ("sin(x) --on=-pi,pi --eps 1e-2", "F(x) = sin(x) on [-3.141592653589794, 3.141592653589794]"),
    ("sin(x) --on -pi,pi --eps 1e-2", "F(x) = sin(x) on [-3.141592653589794, 3.141592653589794]"),
    ("t**2 --on t=-1/3,1 --eps 1/100", "F(t) = t^2 on [-1/3, 1]"),
    ("x/2/3 --on 0,1 --eps 1e-2", "F(x) = "),
    (".5*x --on 0,1 --eps 1e-2", "F(x) = "),
    (f"{'+'.join(['x'] * 200)} --on 0,1 --eps 1e-2", "F(x) = x + x"),
    ("exp(x) --on 0,1 --eps 1e-2 --norm L2", "in the L2 norm"),
]


@pytest.mark.parametrize(("arguments", "target"), FORMULAS, ids=[row[0][:40] for row in FORMULAS])
def test_formulas(arguments, target, epsnet):
    done = epsnet("learn", *shlex.split(arguments))
    assert done.code == 0 and not done.err
    first = done.out.splitlines()[0]
    assert first.startswith("target    F(") and target in first


def test_l2(epsnet):
    error = json.loads(epsnet(*EXP, "--norm", "L2", "--json").out)["error"]
    assert (error["norm"], error["kind"], error["measure"]) == ("L2", "VERIFIED", "Lebesgue")
    assert error["value"] <= 1e-3


def test_existing_path_wins_and_formula_forces(epsnet):
    Path("x").write_text("not data")
    done = epsnet("learn", "x", "--on", "0,1", "--eps", "1e-3")
    assert done.code == 2 and "add --formula" in done.err
    assert epsnet("learn", "x", "--on", "0,1", "--eps", "1e-3", "--formula").code == 0
    Path("mnist").write_text("a,label\n1,cat\n2,cat\n")
    done = epsnet("learn", "mnist")
    assert done.code == 2 and "mnist is no idx file" in done.err
    assert "'mnist'" in epsnet("learn", "mnist", "--formula", "--on", "0,1", "--eps", "1").err


def test_preset_takes_its_input_by_data(epsnet):
    images = np.random.Generator(np.random.Philox(0)).integers(0, 256, size=(40, 4, 4)).astype(np.uint8)
    np.savez("tiny.npz", x_train=images, y_train=np.arange(40) % 2, x_test=images[:20], y_test=np.arange(20) % 2)
    done = epsnet("learn", "mnist", "--data", "tiny.npz", "--epochs", "1", "--hidden", "3", "--json")
    assert done.code == 0
    assert json.loads(done.out)["error"]["hypotheses"][0].endswith("in 20 points")
    assert epsnet("check", "epsnet-out/mnist").code == 0


def test_eps_not_reached_keeps_the_best_network(epsnet):
    done = epsnet(*RUN, "--epochs", "5", "--eps", "1e-6")
    assert done.code == 3 and not done.out
    assert done.err.splitlines()[-1].endswith("The best network is kept in out.")
    assert epsnet("check", "out").code == 0


def test_options_reach_the_training(epsnet):
    options = ("--optimizer", "sgd", "--step-size", "0.5", "--hidden", "5,4", "--epochs", "3", "--seed", "7")
    done = epsnet("learn", "points.csv", *options, "--loss", "cross_entropy", "--json")
    assert done.code == 0
    stats = json.loads(Path("epsnet-out/points/solution.json").read_text())["stats"]
    assert (stats["optimizer"], stats["step_size"], stats["epochs"], stats["seed"]) == ("sgd", 0.5, 3, 7)
    assert stats["widths"] == [2, 5, 4, 2]


# --- the program as a whole


@pytest.mark.parametrize("arguments", [("--help",), ("learn", "--help"), ("--version",), EXP], ids=" ".join)
def test_no_jax_without_need(arguments, shell):
    """On leaving, say which of the heavy packages were loaded."""
    heavy = "import atexit, sys; atexit.register(lambda: print(sorted({'jax', 'optax'} & set(sys.modules))))"
    done = shell(*arguments, before=heavy)
    if arguments == ("--version",) and "PackageNotFoundError" in done.err:
        pytest.skip("the version is known of an installed package only")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "[]"


def test_version(shell):
    from importlib.metadata import PackageNotFoundError, version

    try:
        expected = version("epsnet")
    except PackageNotFoundError:
        pytest.skip("the version is known of an installed package only")
    assert shell("--version") == (0, f"epsnet {expected}\n", "")


def test_python_dash_m(folder):
    done = subprocess.run([sys.executable, "-m", "epsnet", *EXP], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.splitlines()[-1] == "epsnet check epsnet-out/exp-x"


# --- interruption


def interrupt(arguments, stop, out, at_least=1):
    """Start a training, send it a signal once its checkpoint has been written so many times, return what it said."""
    # A parent that runs in the background may have told its children to ignore Ctrl-C.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom epsnet.cli import main\nmain()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    checkpoint, seen, limit = Path(out) / "checkpoint.npz", set(), time.monotonic() + 300
    while len(seen) < at_least and process.poll() is None and time.monotonic() < limit:
        if checkpoint.exists():
            seen.add(checkpoint.stat().st_mtime_ns)
        time.sleep(0.002)
    process.send_signal(stop)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_training_is_resumed_to_the_same_network(stop, epsnet):
    code, out, err = interrupt(RUN, stop, "out")
    assert not out
    assert not Path("out/solution.json").exists()
    if stop == signal.SIGINT:
        assert code == 130
        assert "Traceback" not in err
        assert err.splitlines()[-1] == (
            "epsnet: interrupted; the progress is kept. Continue with: epsnet learn --resume out"
        )
    with np.load("out/checkpoint.npz") as state:
        before = len(state["history"])
    assert 1 <= before < 400
    assert epsnet("learn", "--resume", "out").code == 0
    assert epsnet("check", "out").code == 0
    assert epsnet(*RUN[:-1], "whole").code == 0
    assert sha256("out") == sha256("whole")


def test_resuming_a_finished_run_changes_nothing(epsnet):
    assert epsnet(*RUN).code == 0
    before = sha256("out")
    resumed = epsnet("learn", "points.csv", "--resume", "out")
    assert resumed.code == 0
    assert "epoch" not in resumed.err  # nothing was left to train
    assert sha256("out") == before


def test_resuming_with_other_data_is_refused(epsnet):
    assert epsnet(*RUN).code == 0
    Path("points.csv").write_text(Path("points.csv").read_text().replace("0.", "1."))
    done = epsnet("learn", "--resume", "out")
    assert done.code == 2 and "different data" in done.err


@pytest.mark.slow
def test_mnist_survives_kill(epsnet):
    run = ("learn", "mnist", "--epochs", "3", "--out")
    interrupt((*run, "out"), signal.SIGKILL, "out")
    with np.load("out/checkpoint.npz") as state:
        assert 1 <= len(state["history"]) < 3
    assert epsnet("learn", "--resume", "out").code == 0
    assert epsnet(*run, "whole").code == 0
    assert sha256("out") == sha256("whole")
    assert epsnet("check", "out").code == 0


def test_several_values_and_the_options_of_formulas(shell):
    options = ("--cost", "neurons", "--weight-bound", "polynomial", "--skips", "--out", "circle")
    learned = shell("learn", "cos(t); sin(t)", "--on", "0,3", "--eps", "1e-2", *options)
    assert learned.code == 0 and "components" in learned.out
    assert shell("check", "circle").code == 0
    refused = shell("learn", "exp(x)", "--on", "0,1", "--eps", "1e-2", "--weight-bound", "0")
    assert refused.code == 2 and "not positive" in refused.err


def test_a_network_beyond_float64_is_learned_drawn_and_checked(epsnet):
    pytest.importorskip("matplotlib")
    done = epsnet("learn", "exp(x)", "--on", "0,1", "--eps", "0.1", "--method", "universal", "--out", "one")
    assert done.code == 0 and not done.err
    assert "1 neuron, " in done.out and Path("one/report.html").exists()
    assert epsnet("check", "one").code == 0


def test_inspect_cells_and_check_the_folder(epsnet):
    epsnet("learn", "abs(x) - abs(y)", "--on", "x=-1,1;y=-1,1", "--eps", "1e-3", "--out", "roof")
    done = epsnet("inspect", "roof", "--cells", "--level", "0", "--out", "found")
    assert done.code == 0 and not done.err
    assert re.search(r"activation regions +4   PROVED", done.out)
    assert re.search(r"\{Phi >= 0\} .* b_0 = 1, b_1 = 0", done.out)
    last = done.out.splitlines()[-1]
    assert last == "epsnet check found"
    checked = epsnet("check", "found")
    assert checked.code == 0 and "activation regions == 4 on" in checked.out
    sliced = epsnet("inspect", "roof", "--slice", "1,0", "--cells", "--json")
    assert json.loads(sliced.out)["network"]["geometry"]["cells"][-1] == 4


def test_inspect_against_another_network(epsnet):
    for name, eps in (("fine", "1e-3"), ("coarse", "1e-2")):
        epsnet("learn", "exp(x)", "--on", "0,1", "--eps", eps, "--out", name)
    done = epsnet("inspect", "coarse", "--against", "fine", "--on", "0,1", "--out", "apart")
    assert done.code == 0 and not done.err
    bounds = [float(value) for value in re.findall(r"Phi\| [<>]= (\S+)", done.out)]
    assert 0.005 < bounds[1] <= bounds[0] < 0.012
    assert epsnet("check", "apart").code == 0
    assert "distance" in json.loads(epsnet("inspect", "coarse", "--against", "fine", "--on", "0,1", "--json").out)
    refused = epsnet("inspect", "coarse", "--against", "fine")
    assert refused.code == 2 and "--on" in refused.err
