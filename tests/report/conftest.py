"""Solutions to report on, made by hand where what they show is known, and a browser that is driven over a pipe."""

import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from epsnet import Bound, Box, Certificate, DataTarget, Kind, Network, Sample, Solution, Target, learn

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@dataclass(frozen=True)
class Visit:
    """What a browser saw of a page."""

    requests: list[str]
    console: list[str]
    scroll_width: int
    smallest_text: float


class Browser:
    """Headless Chromium; the DevTools protocol runs over a pair of pipes, so that no port and no package is needed."""

    def __init__(self, profile):
        there, self.commands = os.pipe()
        self.answers, back = os.pipe()
        # The browser reads from descriptor 3 and writes to 4: first move what may lie there out of the way.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (there, back)]
        move = (
            "import os; from sys import argv as a; os.dup2(int(a[1]), 3); os.dup2(int(a[2]), 4); os.execv(a[3], a[3:])"
        )
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ]
        command = [BROWSER, *options, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", move, *map(str, high), *command],
            pass_fds=high, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (there, back, *high):
            os.close(end)
        self.numbers, self.events, self.rest = itertools.count(1), [], b""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Log", "Runtime", "Page"):
            self._call(f"{domain}.enable")

    def _read(self):
        while b"\0" not in self.rest:
            part = os.read(self.answers, 1 << 16)
            if not part:
                raise ConnectionError("the browser is gone")
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def _call(self, method, **params):
        message = {"id": next(self.numbers), "method": method, "params": params}
        if method.partition(".")[0] != "Target":
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != message["id"]:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def visit(self, path, width):
        """Open a file in a window of this width."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        self.events.clear()
        self._call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())
        look = """[document.documentElement.scrollWidth, Math.min(99, ...[...document.querySelectorAll('svg.plot text')]
            .filter(text => !text.getAttribute('transform').includes('-90'))
            .map(text => text.getBoundingClientRect().height))]"""
        wide, small = self._call("Runtime.evaluate", expression=look, returnByValue=True)["result"]["value"]
        requests, console = [], []
        for event in self.events:
            if event["method"] == "Network.requestWillBeSent":
                requests.append(event["params"]["request"]["url"])
            if event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                console.append(json.dumps(event["params"]))
        return Visit([url for url in requests if not url.startswith("data:")], console, wide, small)

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        os.close(self.commands)
        os.close(self.answers)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


def data_solution(sample, weights, tolerance=None, **changes):
    """Return the solution that a linear network is for a sample; the bound is plausible, and not what is tested."""
    network = Network.from_layers([(weights, np.zeros(len(weights)))])
    target = DataTarget.from_arrays(sample.name, sample.matrix(), sample.labels, tolerance)
    risk = Bound(
        quantity="risk", sense="<=", value=0.8125, kind=Kind.STATISTICAL, delta=Fraction(1, 100), measure="its origin",
        arithmetic="float64", theorem="clopper-pearson", rule="binomial", hypotheses=("some errors in few points",),
        assumptions=("the points are independent",), network=network.sha256, target=target.sha256,
    )  # fmt: skip
    history = [[epoch, 1 / epoch, 1.5 / epoch, 0.5 / epoch] for epoch in range(1, 21)]
    solution = Solution(
        network=network, target=target, error=risk, bits=1024, certificate=Certificate.of((risk,)),
        stats={"history": history, "best_epoch": 20, "widths": [4, 4], "seed": 7}, result="so many errors",
    )  # fmt: skip
    return replace(solution, **changes)


def image_sample(name="pixels", classes=tuple("abcd")):
    """Images of 2 x 2 pixels, one of them bright; the label is its place, but for the last three images."""
    images = np.zeros((10, 2, 2), dtype=np.uint8)
    places = np.arange(10) % 4
    images.reshape(10, 4)[np.arange(10), places] = 100 + np.arange(10)
    labels = places.copy()
    labels[7:] = [0, 1, 2]  # the places are 3, 0, 1
    return Sample(images, labels, name, classes)


def regression_sample(inputs=1, outputs=1):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(80, inputs))
    return Sample(x, x[:, :1] @ np.ones((1, outputs)) + generator.normal(size=(80, outputs)), "line")


def table_sample():
    generator = np.random.default_rng(0)
    return Sample(generator.normal(size=(50, 3)), np.arange(50) % 3, "table", ("one", "two", "three"))


CASES = {
    "sup": lambda: (learn(Target("exp(x)", Box(0, 1)), 1e-2), None),
    "L2": lambda: (learn(Target("sin(t)/(1 + t^2)", Box("-0.1", 3), norm="L2"), "1e-2"), None),
    "one piece": lambda: (learn(Target("x", Box(0, 1)), 1e-2), None),
    "constant": lambda: (learn(Target("0", Box(0.1, 1)), 1e-2), None),
    "long formula": lambda: (learn(Target("+".join(["exp(x)"] * 100), Box(0, 1)), 1), None),
    "images": lambda: (data_solution(image_sample(), np.eye(4)), image_sample()),
    "table": lambda: (data_solution(table_sample(), np.eye(3)), table_sample()),
    "regression": lambda: (data_solution(regression_sample(), np.eye(1), 1.0), regression_sample()),
    "outputs": lambda: (data_solution(regression_sample(3, 2), np.eye(2, 3), 1.0), regression_sample(3, 2)),
    "no sample": lambda: (data_solution(image_sample(), np.eye(4)), None),
}


@pytest.fixture(scope="session", params=CASES)
def case(request):
    return CASES[request.param]()


@pytest.fixture(scope="session")
def named_images():
    """A function that returns a solution and its sample under a name."""

    def make(name="pixels", classes=tuple("abcd"), **changes):
        sample = image_sample(name, classes)
        return data_solution(sample, np.eye(4), **changes), sample

    return make


@pytest.fixture(scope="session")
def curve():
    return CASES["sup"]()[0]
