"""Bad input: the exit code, one clear sentence on stderr, nothing on stdout, and no folder left behind."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

CHECK_FAILED, BAD_INPUT, NOT_CERTIFIED = 1, 2, 3
EXP = "learn exp(x) --on 0,1 --eps 1e-3"


def table(rows):
    return "a,b,label\n" + "".join(f"{row}\n" for row in rows)


TEXTS = {
    "nan.csv": table(["1,nan,0", "2,3,1"]),
    "ragged.csv": table(["1,2,0", "2,3"]),
    "words.csv": table(["1,two,0", "2,3,1"]),
    "one-class.csv": table(["1,2,cat", "2,3,cat"]),
    "few.csv": table(["1,2,0", "2,3,1"]),
    "header.csv": table([]),
    "good.csv": table(f"{k / 7:.3f},{k % 5},{k % 2}" for k in range(60)),
    "real.csv": table(f"{k / 7:.3f},{k % 5},{k / 3:.3f}" for k in range(60)),
    "empty.csv": "",
    "no-label.csv": "u,v,w\n1,2,0\n2,3,1\n",
    "file.bin": "neither idx nor anything else",
    "model.onnx": "not read",
    "run/run.json": '{"target": 5}',
}

# Arguments, exit code, a phrase of the sentence.
TABLE = [
    # data
    ("learn nan.csv", BAD_INPUT, "Line 2, column 'b' of nan.csv is 'nan', not a finite number"),
    ("learn ragged.csv", BAD_INPUT, "Line 3 of ragged.csv has 2 cells, but the first line has 3"),
    ("learn words.csv", BAD_INPUT, "Line 2, column 'b' of words.csv is 'two', not a number"),
    ("learn empty.csv", BAD_INPUT, "empty.csv is empty"),
    ("learn header.csv", BAD_INPUT, "has a header but no row"),
    ("learn one-class.csv", BAD_INPUT, "one class only"),
    ("learn few.csv", BAD_INPUT, "Give more examples"),
    ("learn range.npz", BAD_INPUT, "Label 7 of range.npz train (row 3, counted from 0) is out of range"),
    ("learn negative.npz", BAD_INPUT, "Label -1 of negative.npz train (row 3, counted from 0) is out of range"),
    ("learn infinite.npz", BAD_INPUT, "contain inf in row 3, column 0"),
    ("learn pickled.npz", BAD_INPUT, "no readable npz archive"),
    ("learn no-label.csv", BAD_INPUT, "The columns of no-label.csv are u, v, w"),
    ("learn no-label.csv --label z", BAD_INPUT, "The columns of no-label.csv are u, v, w; 'z' is not one of them"),
    ("learn range.npz --label y", BAD_INPUT, "is not a table"),
    ("learn data.csv", BAD_INPUT, "data.csv does not exist"),
    ("learn no/such/folder", BAD_INPUT, "no/such/folder does not exist"),
    ("learn ~/digits.npz", BAD_INPUT, "~/digits.npz does not exist"),
    ("learn file.bin", BAD_INPUT, "is no idx file"),
    ("learn run", BAD_INPUT, "no idx file of training images"),
    ("learn other.onnx --eps 1e-2", BAD_INPUT, "other.onnx does not exist"),
    ("learn mnist --data no-such.npz", BAD_INPUT, "no-such.npz does not exist"),
    ("learn mnist --label digit", BAD_INPUT, "Leave --label out"),
    ("learn good.csv --data nan.csv", BAD_INPUT, "--data is for presets"),
    ("learn good.csv --on 0,1", BAD_INPUT, "--on and --norm are for formulas"),
    ("learn good.csv --norm L2", BAD_INPUT, "--on and --norm are for formulas"),
    ("learn good.csv --eps 0", BAD_INPUT, "eps = 0 is not positive"),
    ("learn good.csv --method piecewise-linear", BAD_INPUT, "needs a formula"),
    ("learn good.csv --require VERIFIED", BAD_INPUT, "STATISTICAL"),
    ("learn good.csv --hidden wide", BAD_INPUT, "The widths 'wide' are no list of numbers"),
    ("learn good.csv --hidden 20,,20", BAD_INPUT, "The widths '20,,20' are no list of numbers"),
    ("learn good.csv --hidden 0", BAD_INPUT, "Give at least two positive integers"),
    ("learn good.csv --step-size -1", BAD_INPUT, "step_size is -1"),
    ("learn good.csv --step-size nan", BAD_INPUT, "step_size is nan"),
    ("learn good.csv --epochs 0", BAD_INPUT, "epochs is 0"),
    ("learn good.csv --optimizer newton", BAD_INPUT, "The optimizer 'newton' is unknown"),
    ("learn good.csv --loss hinge", BAD_INPUT, "The loss 'hinge' is unknown"),
    ("learn good.csv --loss square", BAD_INPUT, "the labels of good.csv are classes"),
    ("learn real.csv --loss cross_entropy", BAD_INPUT, "the labels of real.csv are real numbers"),
    # formulas
    ("learn", BAD_INPUT, "There is no target"),
    ("learn ''", BAD_INPUT, "There is no target"),
    ("learn foo(x) --on 0,1 --eps 1e-3", BAD_INPUT, "the name 'foo' is unknown"),
    ("learn lnn(x)/x --on 0,1 --eps 1e-3", BAD_INPUT, "the name 'lnn' is unknown"),
    ("learn exp(x --on 0,1 --eps 1e-3", BAD_INPUT, "a closing parenthesis is missing (at character 6)"),
    ("learn x+*2 --on 0,1 --eps 1e-3", BAD_INPUT, "(at character 3)"),
    ("learn 1/x --on -1,1 --eps 1e-3", BAD_INPUT, "see near x = "),
    ("learn log(x) --on 0,1 --eps 1e-3", BAD_INPUT, "see near x = 0"),
    ("learn sqrt(x) --on -1,1 --eps 1e-3", BAD_INPUT, "needs x >= 0, which fails or cannot be shown near x = -1"),
    ("learn exp(x) --on 0,1 --eps 0", BAD_INPUT, "eps = 0 is not positive"),
    ("learn exp(x) --on 0,1 --eps -1e-3", BAD_INPUT, "eps = -1e-3 is not positive"),
    ("learn exp(x) --on 0,1 --eps nan", BAD_INPUT, "eps 'nan' is not a finite number"),
    ("learn exp(x) --on 0,1 --eps inf", BAD_INPUT, "eps 'inf' is not a finite number"),
    ("learn exp(x) --on 0,1 --eps abc", BAD_INPUT, "eps 'abc' is not a finite number"),
    ("learn exp(x) --on 0,1 --eps 1e400", BAD_INPUT, "beyond the numbers of float64"),
    ("learn exp(x) --on 0,1 --eps 1e-400", BAD_INPUT, "beyond the numbers of float64"),
    ("learn exp(x) --on 0,1 --eps 1e999999999", BAD_INPUT, "is not a finite number"),
    ("learn exp(x) --on 0,1", BAD_INPUT, "A formula needs an accuracy"),
    ("learn exp(x) --eps 1e-3", BAD_INPUT, "The formula 'exp(x)' needs a domain"),
    ("learn exp(x) --on 1,0 --eps 1e-3", BAD_INPUT, "The interval [1, 0] is empty"),
    ("learn exp(x) --on 1,1 --eps 1e-3", BAD_INPUT, "The interval [1, 1] is empty"),
    ("learn exp(x) --on '0;1' --eps 1e-3", BAD_INPUT, "The domain '0;1' is no box"),
    ("learn exp(x) --on 0,inf --eps 1e-3", BAD_INPUT, "the name 'inf' is unknown"),
    ("learn exp(x) --on 0,1e999999999 --eps 1e-3", BAD_INPUT, "is out of range"),
    ("learn x*y --on 0,1 --eps 1e-3", BAD_INPUT, "Give one for each variable"),
    ("learn exp(x) --on t=0,1 --eps 1e-3", BAD_INPUT, "1 interval for t. Give one for each variable"),
    ("learn x*y --on 'x=0,1;0,1' --eps 1e-3", BAD_INPUT, "names some variables only"),
    ("learn x*y --on 'x=0,1;y=0,1' --eps 1e-3 --method deep", BAD_INPUT, "Fix all but one"),
    ("learn 'step(x)' --on -1,1 --eps 1e-3", BAD_INPUT, "jump"),
    (f"{EXP} --norm L3", BAD_INPUT, "The norm 'L3' is unknown"),
    (f"{EXP} --method magic", BAD_INPUT, "The method 'magic' is unknown"),
    (f"{EXP} --method train", BAD_INPUT, "the target is a formula"),
    (f"{EXP} --require CERTAIN", BAD_INPUT, "The kind 'CERTAIN' cannot be required"),
    (f"{EXP} --require ESTIMATED", BAD_INPUT, "The kind 'ESTIMATED' cannot be required"),
    (f"{EXP} --data good.csv", BAD_INPUT, "--data, --label and training options are for data"),
    (f"{EXP} --epochs 5", BAD_INPUT, "--data, --label and training options are for data"),
    (f"{EXP} --out file.bin", BAD_INPUT, "The output folder file.bin cannot be written"),
    (f"{EXP} --out file.bin/out", BAD_INPUT, "The output folder file.bin/out cannot be written"),
    (f"{EXP} --out taken", BAD_INPUT, "taken/run.json: Is a directory"),
    ("learn exp(x) --on 0,1 --eps 1e-18", NOT_CERTIFIED, "Ask for a larger eps"),
    ("learn exp(x) --on 0,1 --eps 1e-18 --out a/b/c", NOT_CERTIFIED, "Ask for a larger eps"),
    # resume, check, inspect
    ("learn --resume no-such", BAD_INPUT, "There is no run to resume in no-such"),
    ("learn --resume run", BAD_INPUT, "There is no run to resume in run"),
    ("learn mnist --resume started", BAD_INPUT, "The run in started is about 'good.csv'"),
    ("learn --resume started --epochs 7 --seed 1", BAD_INPUT, "Leave out --seed, --epochs"),
    ("check no-such", BAD_INPUT, "There is no solution in no-such"),
    ("check file.bin", BAD_INPUT, "There is no solution in file.bin"),
    ("inspect no-such", BAD_INPUT, "The file no-such does not exist"),
    ("inspect file.bin", BAD_INPUT, "file.bin cannot be read"),
    ("inspect run", BAD_INPUT, "The file run/network.safetensors does not exist"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("bad")
    for name, text in TEXTS.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    infinite = x.copy()
    infinite[3, 0] = np.inf
    np.savez(place / "infinite.npz", x=infinite, y=y)
    np.savez(place / "pickled.npz", x=np.array([None] * 20), y=y)
    for name, wrong in (("range", 7), ("negative", -1)):
        np.savez(place / f"{name}.npz", x=x, y=np.where(np.arange(20) == 3, wrong, y))
    (place / "taken/run.json").mkdir(parents=True)
    (place / "started").mkdir()
    run = {"target": "good.csv", "folder": None, "formula": False}
    (place / "started/run.json").write_text(json.dumps(run))
    return place


def contents(place):
    return {path: path.read_bytes() if path.is_file() else None for path in place.rglob("*")}


def assert_one_sentence(done, code, phrase):
    assert done.code == code, done
    assert not done.out
    assert phrase in done.err
    assert "Traceback" not in done.err
    lines = done.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("epsnet: "), done.err
    # What is wrong, then what to do.
    assert lines[0].endswith(".") and lines[0].count(". ") >= 1


@pytest.mark.parametrize(("arguments", "code", "phrase"), TABLE, ids=[row[0] for row in TABLE])
def test_table(arguments, code, phrase, folder, epsnet, monkeypatch):
    monkeypatch.chdir(folder)
    before = contents(folder)
    assert_one_sentence(epsnet(*shlex.split(arguments)), code, phrase)
    assert contents(folder) == before


USAGE = [
    ("", "Usage"),
    ("prove", "No such command"),
    ("learn exp(x) --on 0,1 --epz 1e-3", "No such option: --epz"),
    ("learn -exp(x) --on 0,1 --epz=1e-3", "No such option: --epz"),
    ("learn exp(x) -y --on 0,1", "unexpected extra argument"),
    ("learn exp(x) --seed x", "--seed"),
    ("learn exp(x) --seed -1", "--seed"),
    ("learn good.csv --epochs many", "--epochs"),
    ("learn good.csv --step-size wide", "--step-size"),
    ("check", "Missing argument"),
]


@pytest.mark.parametrize(("arguments", "phrase"), USAGE)
def test_usage(arguments, phrase, folder, epsnet, monkeypatch):
    monkeypatch.chdir(folder)
    before = contents(folder)
    done = epsnet(*shlex.split(arguments))
    assert done.code == BAD_INPUT
    assert phrase in done.out + done.err
    assert contents(folder) == before


def replace(name, old, new):
    def change(place):
        text = (place / name).read_text()
        assert old in text
        (place / name).write_text(text.replace(old, new))

    return change


def cut(name):
    return lambda place: (place / name).write_bytes((place / name).read_bytes()[:-40])


def write(name, content):
    return lambda place: (place / name).write_bytes(content)


def claim(field, value):
    """Write a text in place of a field of the first claim."""

    def change(place):
        path = place / "solution.json"
        data = json.loads(path.read_text())
        data["certificate"][0]["claim"][field] = "@"
        path.write_text(json.dumps(data).replace('"@"', value))

    return change


DAMAGE = {
    "solution cut": (cut("solution.json"), CHECK_FAILED, "solution.json cannot be read"),
    "solution garbage": (write("solution.json", b"\xff\x00garbage"), CHECK_FAILED, "solution.json cannot be read"),
    "solution a list": (write("solution.json", b"[1, 2]"), CHECK_FAILED, "The solution cannot be read"),
    "solution deep": (write("solution.json", b"[" * 100_000), CHECK_FAILED, "solution.json cannot be read"),
    "network cut": (cut("network.safetensors"), CHECK_FAILED, "cannot be read"),
    "network garbage": (write("network.safetensors", b"garbage" * 30), CHECK_FAILED, "cannot be read"),
    "network empty": (write("network.safetensors", b""), CHECK_FAILED, "cannot be read"),
    "witness cut": (cut("witness.safetensors"), CHECK_FAILED, "cannot be read"),
    "witness deleted": (lambda place: (place / "witness.safetensors").unlink(), BAD_INPUT, "does not exist"),
    "network deleted": (lambda place: (place / "network.safetensors").unlink(), BAD_INPUT, "does not exist"),
    "format": (replace("solution.json", "epsnet-solution-1", "epsnet-solution-9"), CHECK_FAILED, "epsnet-solution-9"),
    "nan": (claim("value", "NaN"), CHECK_FAILED, "is not a number"),
    "infinite": (claim("value", "1e999999999"), CHECK_FAILED, ""),
    "value a text": (claim("value", '"1e-3"'), CHECK_FAILED, "is not a number"),
    "value false": (claim("value", "0.0"), CHECK_FAILED, "does not hold"),
    "huge delta": (claim("delta", '"1e999999999"'), CHECK_FAILED, "is not a finite number"),
    "huge exact": (claim("exact", '"1/0"'), CHECK_FAILED, "is not a finite number"),
    "huge integer": (claim("value", "9" * 5000), CHECK_FAILED, "solution.json cannot be read"),
    "unknown rule": (claim("rule", '"trust-me"'), CHECK_FAILED, "The rule 'trust-me' is unknown"),
    "unknown theorem": (claim("theorem", '"folklore"'), CHECK_FAILED, "folklore"),
    "formula": (replace("solution.json", '"exp(x)"', '"exp(2*x)"'), CHECK_FAILED, "does not hold"),
    "norm": (
        replace("solution.json", '"norm": "sup",\n  "variables"', '"norm": "H1",\n  "variables"'),
        CHECK_FAILED,
        "H1",
    ),
}


@pytest.fixture(scope="module")
def solution(tmp_path_factory):
    from epsnet import Box, Target, learn, save_solution

    place = tmp_path_factory.mktemp("solution") / "exp"
    save_solution(learn(Target("exp(x)", Box(0, 1)), 1e-3), place)
    return place


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_solution(damage, solution, epsnet, tmp_path, monkeypatch):
    change, code, phrase = DAMAGE[damage]
    monkeypatch.chdir(shutil.copytree(solution, tmp_path / "exp").parent)
    change(Path("exp"))
    assert_one_sentence(epsnet("check", "exp"), code, phrase)


def test_refused_run_leaves_an_earlier_one_as_it_was(folder, epsnet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "good.csv", tmp_path)
    assert epsnet("learn", "x", "--on", "0,1", "--eps", "1e-3", "--out", "out").code == 0
    before = contents(tmp_path)
    assert epsnet("learn", "good.csv", "--optimizer", "newton", "--out", "out").code == BAD_INPUT
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("arguments", "code", "phrase"), [row for row in TABLE if row[0] in (
    "learn nan.csv", "learn 1/x --on -1,1 --eps 1e-3", "learn exp(x) --on 0,1 --eps 1e-18", "check no-such",
)])  # fmt: skip
def test_in_a_process_of_its_own(arguments, code, phrase, folder, shell, tmp_path):
    shutil.copy(folder / "nan.csv", tmp_path)
    assert_one_sentence(shell(*shlex.split(arguments)), code, phrase)
    assert {path.name for path in tmp_path.iterdir()} == {"nan.csv"}


def test_without_jax(folder, shell, tmp_path):
    shutil.copy(folder / "good.csv", tmp_path)
    done = shell("learn", "good.csv", before="import sys; sys.modules['jax'] = None")
    assert done.code == BAD_INPUT and not done.out
    assert done.err == ("epsnet: Training on data needs the extra 'jax'. Type: python -m pip install 'epsnet[jax]'\n")
    assert {path.name for path in tmp_path.iterdir()} == {"good.csv"}
