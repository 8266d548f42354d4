"""The report says what the solution says: every bound with its kind, every mistake, nothing executable, equal bytes."""

import base64
import io
import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from epsnet import (
    CheckError,
    DataTarget,
    DomainError,
    MissingExtraError,
    Network,
    Sample,
    load_mnist,
    load_solution,
    save_solution,
)
from epsnet.report.document import write_report

VOID = {"meta", "link", "img", "wbr", "br", "path", "use", "rect", "line", "mspace"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\u202e$\\frac$"


class Reader(HTMLParser):
    """Reads a page: elements with their attributes and texts, and whether what is opened is closed."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], ""
        self.feed(source)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        found = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_startendtag(self, tag, attrs):
        self.elements.append({"tag": tag, "text": "", **dict(attrs)})

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        self.text += data
        for element in self.open:
            element["text"] += data

    def all(self, tag, kind=None):
        return [e for e in self.elements if e["tag"] == tag and (kind is None or kind in e.get("class", "").split())]


def read(solution, folder, sample=None):
    path = write_report(solution, folder / "report.html", sample)
    return Reader(path.read_text(encoding="utf-8"))


def assert_alone(page):
    """Nothing runs, nothing is fetched, no name stands for two things."""
    tags = Counter(element["tag"] for element in page.elements)
    assert not set(tags) & {"script", "iframe", "object", "embed", "form", "base", "video", "audio", "source", "image"}
    identifiers = [element["id"] for element in page.elements if "id" in element]
    assert len(identifiers) == len(set(identifiers))
    assert [element["href"] for element in page.all("link")] == ["data:,"]
    for element in page.elements:
        assert not [name for name in element if name.startswith("on") or name in ("srcset", "action", "xlink:href")]
        assert element.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        if "href" in element and element["tag"] != "link":
            target = element["href"]
            web = element["tag"] == "a" and target.startswith("https://")
            assert web or target[1:] in identifiers
        inside = [element.get("style", ""), element.get("clip-path", "")]
        inside += [element["text"]] if element["tag"] == "style" else []
        assert all(name in identifiers for text in inside for name in re.findall(r"url\(#?(.*?)\)", text))
        assert not any("@import" in text for text in inside)


def shown(decimal):
    """Return a decimal as the page sets it."""
    mantissa, e, exponent = decimal.partition("e")
    return mantissa + (f"×10{int(exponent)}".replace("-", "−") if e else "")


def assert_bounds(page, solution):
    claims = [element["text"] for element in page.all("span", "claim")]
    values = [element["text"] for element in page.all("dd")]
    for node in solution.certificate.nodes:
        bound = node.claim
        found = [text for text in claims if shown(bound.decimal()) in text and text.endswith(" " + bound.kind.value)]
        # Once in the derivation and once in the list of what is re-derived.
        assert len(found) >= 2, (bound.decimal(), claims)
        assert any(repr(bound.value) in text for text in values)
        assert all(text in page.text for text in (*bound.hypotheses, *bound.assumptions))
    for text in (solution.network.sha256, solution.target.sha256, *solution.certificate.witnesses):
        assert text in page.text
    for line in solution.error.cite().splitlines():
        assert line in page.text


def test_report(case, tmp_path):
    solution, sample = case
    page = read(solution, tmp_path, sample)
    assert_alone(page)
    assert_bounds(page, solution)
    assert solution.result in page.text
    assert f"epsnet check {tmp_path}" in page.text
    cells = [element["text"] for element in page.all("td")]
    for value in (solution.size.weights, solution.size.depth, solution.size.operations, solution.bits):
        assert f"{value:,}" in cells


def test_a_shared_premise_is_derived_once(curve, tmp_path):
    page = read(curve, tmp_path)
    # The least number of neurons follows from the least number of pieces, which has a tree of its own.
    assert page.text.count("derived above") == 1
    assert len([e for e in page.all("details") if e["text"].startswith("pieces(g)≥")]) == 1


def test_hostile_texts(named_images, tmp_path):
    solution, sample = named_images()
    plain = read(solution, tmp_path, sample)
    classes = ("<script>", '"', "$x$", "&lt;")
    stats = {HOSTILE: HOSTILE, "history": solution.stats["history"]}
    solution, sample = named_images(HOSTILE, classes, result=HOSTILE, stats=stats)
    page = read(solution, tmp_path, sample)
    assert_alone(page)
    printed = HOSTILE.replace("\u202e", "\ufffd")
    assert page.all("h1")[0]["text"] == printed == page.all("title")[0]["text"].removesuffix(" · epsnet")
    assert [e["text"] for e in page.all("p", "result")] == [printed]
    assert printed in [e["text"] for e in page.all("dd")]
    heads = [e["text"] for e in page.all("th")]
    assert all(name in heads for name in classes)
    assert {e["tag"] for e in page.elements} <= {e["tag"] for e in plain.elements}


def pixels(image):
    from matplotlib.image import imread

    content = base64.b64decode(image["src"].partition(",")[2])
    return np.round(255 * imread(io.BytesIO(content), format="png")[..., :3]).astype(int)


def test_mistakes(named_images, tmp_path):
    solution, sample = named_images()
    page = read(solution, tmp_path, sample)
    # The identity network answers with the bright pixel: the last three images are wrong, the brightest most of all.
    assert "3 of 10 answers are wrong (30.00%)" in page.text
    tiles = [element["text"] for element in page.all("figure") if " → " in element["text"]]
    assert tiles == ["c → b", "b → a", "a → d"]
    shown = [image for image in page.all("img") if "taken for" in image["alt"]]
    assert [np.argmax(pixels(image)) for image in shown] == [1, 0, 3]
    assert pixels(shown[0]).max() == 109
    rows = page.all("div", "confusion")[0]["text"]
    assert rows == "abcdwrong" + "a2··133.3%" + "b12··33.3%" + "c·12·33.3%" + "d···10.0%"
    weights = [image for image in page.all("img") if "weights of neuron" in image["alt"]]
    assert len(weights) == 4
    for neuron, image in enumerate(weights):
        colors = pixels(image).reshape(4, 3)
        assert np.array_equal(np.flatnonzero((colors != 247).any(axis=1)), [neuron])


def test_signs_of_weights_have_two_colors(tmp_path, named_images):
    solution, sample = named_images()
    mixed = Network.from_layers([(np.diag([-1.0, 1.0, -1.0, 1.0]), np.zeros(4))])
    page = read(replace(solution, network=mixed), tmp_path, sample)
    first, second = [pixels(i) for i in page.all("img") if "weights of neuron" in i["alt"]][:2]
    assert first[0, 0].tolist() == [0, 114, 178] and second[0, 1].tolist() == [213, 94, 0]


def test_images_are_known_from_the_sample_alone(named_images, tmp_path):
    solution, sample = named_images()
    flat = Sample(sample.matrix(), sample.labels, sample.name, sample.classes)
    for given in (flat, None):
        page = read(solution, tmp_path, given)
        assert "3 of 10 answers are wrong" in page.text
        assert not [image for image in page.all("img") if "taken for" in image["alt"]]
    stored = replace(solution, target=solution.target.without_data())
    page = read(stored, tmp_path)
    assert "answers are wrong" not in page.text and not page.all("img")


def test_many_classes(named_images, tmp_path):
    n, k = 60, 25
    x = np.eye(k)[np.arange(n) % k]
    labels = np.arange(n) % k
    labels[:3] = [5, 5, 7]  # instead of 0, 1, 2
    labels[25] = 5
    sample = Sample(x, labels, "many", tuple(f"class {i}" for i in range(k)))
    solution, _ = named_images()
    target = DataTarget.from_arrays("many", x, labels)
    network = Network.from_layers([(np.eye(k), np.zeros(k))])
    page = read(replace(solution, target=target, network=network), tmp_path, sample)
    assert "4 of 60 answers are wrong" in page.text
    assert "labelanswerpoints" + "class 5class 02" + "class 5class 11" + "class 7class 21" in page.text.replace(
        "\n", ""
    )


def test_refusals(named_images, curve, tmp_path):
    solution, sample = named_images()
    with pytest.raises(DomainError, match="Leave the sample out"):
        write_report(curve, tmp_path / "a.html", sample)
    other = Sample(sample.inputs[::-1], sample.labels, sample.name, sample.classes)
    with pytest.raises(CheckError, match="hash differs"):
        write_report(solution, tmp_path / "a.html", other)
    with pytest.raises(DomainError, match="cannot be written"):
        write_report(solution, tmp_path / "missing" / "a.html", sample)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib(curve, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'epsnet\[plot\]'"):
        write_report(curve, tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


PROGRAM = """
import sys
from epsnet import load_solution
from epsnet.report.document import write_report
write_report(load_solution(sys.argv[1]), sys.argv[1] + "/again.html")
"""


@pytest.mark.parametrize("seed", ["0", "1"])
def test_equal_solutions_give_equal_bytes(curve, tmp_path, seed):
    save_solution(curve, tmp_path)
    one = write_report(curve, tmp_path / "one.html").read_bytes()
    assert write_report(load_solution(tmp_path), tmp_path / "two.html").read_bytes() == one
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "again.html").read_bytes() == one


def test_stored_stats_read_as_the_ones_in_memory(named_images, tmp_path):
    solution, sample = named_images()
    stats = {"widths": (4, 20, 4), "step_size": 0.05, "nested": {"b": 1, "a": [None, True]}, "history": []}
    in_memory = replace(solution, stats=stats)
    stored = replace(solution, stats=json.loads(json.dumps(stats)))
    one, two = (write_report(s, tmp_path / "a.html", sample).read_bytes() for s in (in_memory, stored))
    assert one == two and b"4, 20, 4" in one


def test_mnist_stays_small(named_images, tmp_path):
    sample = load_mnist("test")
    generator = np.random.default_rng(0)
    widths = [784, 20, 20, 10]
    layers = [(generator.normal(size=(m, d)), np.zeros(m)) for d, m in itertools.pairwise(widths)]
    history = [[epoch, *generator.uniform(0.01, 1, 3)] for epoch in range(1, 201)]
    target = DataTarget.from_arrays(sample.name, sample.matrix(), sample.labels)
    solution, _ = named_images()
    fields = {"target": target, "network": Network.from_layers(layers), "stats": {"history": history}}
    path = write_report(replace(solution, **fields), tmp_path / "a.html", sample)
    assert path.stat().st_size < 500_000
