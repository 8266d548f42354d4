"""A run of `epsnet learn`: what was asked for, where it goes, and how it continues after an interruption."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CertificateError, DomainError, EpsnetError, MissingExtraError
from epsnet.checker.kernel import check
from epsnet.cli.progress import EpochProgress, StageProgress
from epsnet.codec.files import save_solution
from epsnet.core.grammar import parse
from epsnet.core.serial import make_folder
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget, Target, read_domain
from epsnet.data import Sample
from epsnet.learning.learn import learn
from epsnet.learning.sources import PRESETS, Source, open_source

if TYPE_CHECKING:
    from epsnet.generalization.certificates import RiskCertificates

RUN_FILE, CHECKPOINT_FILE, FIGURE_FILE, REPORT_FILE = "run.json", "checkpoint.npz", "figure.svg", "report.html"
CERTIFICATES, BOUNDS_FILE = "certificates", "certificates.svg"
CODE_FILE, PROGRAM_FILE = "solution.eps", "program.eps"
_MOST_CODED = 2**17
"""Connections of the largest network that is coded unasked; coding takes some seconds then."""
_NETWORK_FILES = (".onnx", ".safetensors", ".eps", ".pt", ".pth")
_NETWORK_OPTIONS = ("bits", "accuracy")
_FORMULA_OPTIONS = ("cost", "weight_bound", "skips", "activation", "method", "seed")
_KINDS = {kind.value: kind for kind in Kind if kind is not Kind.ESTIMATED}
_TYPES: dict[str, tuple[type, ...]] = {
    "formula": (bool,), "skips": (bool,), "seed": (int,), "training": (dict,),
    **dict.fromkeys(("target", "norm", "activation", "method"), (str,)),
    **dict.fromkeys(("on", "eps", "cost", "weight_bound", "require", "data", "label", "accuracy"), (str, type(None))),
    "bits": (int, type(None)),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Everything a run depends on; stored in run.json, so that --resume needs nothing else."""

    target: str
    folder: Path
    formula: bool
    on: str | None = None
    eps: str | None = None
    norm: str = "sup"
    cost: str | None = None
    weight_bound: str | None = None
    skips: bool = False
    activation: str = "relu"
    method: str = "auto"
    require: str | None = None
    seed: int = 0
    data: str | None = None
    label: str | None = None
    bits: int | None = None
    accuracy: str | None = None
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def network(self) -> bool:
        """Whether the target is a network."""
        return not self.formula and _is_network(self.target)

    @classmethod
    def plan(
        cls, target: str | None, *, formula: bool, out: Path | None, training: dict[str, Any], **options: Any
    ) -> Run:
        """Decide what TARGET is (an existing path, then a preset, then a formula) and refuse what does not fit."""
        if target is None or not target.strip():
            raise DomainError(
                'There is no target. Give a formula such as "exp(x)", a path to data or to a network, or "mnist".'
            )
        is_data = not formula and (os.path.lexists(target) or target in PRESETS)
        if is_data and _is_network(target):
            _refuse_for_network(target, options, training)
        elif any(options[name] is not None for name in _NETWORK_OPTIONS):
            raise DomainError("--bits and --accuracy are for networks, the target is none. Leave them out.")
        elif is_data:
            _refuse_for_data(target, options)
            if target in PRESETS and os.path.lexists(target):
                # Stored as data, so that the path also wins when the run is resumed or checked from another place.
                options["data"] = options["data"] or target
        else:
            if not formula:
                _refuse_missing_path(target)
            if options["data"] or options["label"] or training:
                raise DomainError(
                    "--data, --label and training options are for data, the target is a formula. Leave them out."
                )
            if not options["on"]:
                raise DomainError(
                    f'The formula {target!r} needs a domain. Give one, for example --on 0,1 or --on "x=-4,4;y=0,1".'
                )
            if not options["eps"]:
                raise DomainError("A formula needs an accuracy. Give one, for example --eps 1e-3.")
        if options["require"] is not None and options["require"].upper() not in _KINDS:
            raise DomainError(f"The kind {options['require']!r} cannot be required. Use one of {', '.join(_KINDS)}.")
        if "hidden" in training:
            training = {**training, "hidden": _widths(training["hidden"])}
        name = Path(target).stem if is_data else re.sub(r"[^A-Za-z0-9]+", "-", target).strip("-")[:60]
        run = cls(target, out or Path("epsnet-out"), not is_data, training=training, **options)
        return run if out else replace(run, folder=run._free_folder(name or "formula"))

    def _free_folder(self, name: str) -> Path:
        """Return NAME, or NAME-2, ... : the first folder that holds no other run, so that no result is overwritten."""
        names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        return next(self.folder / name for name in names if self._may_fill(self.folder / name))

    def _may_fill(self, folder: Path) -> bool:
        if not (folder / RUN_FILE).exists():
            return True
        try:
            return replace(Run.load(folder), folder=self.folder) == self
        except DomainError:
            return False

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read the run that was started in a folder. DomainError if there is none."""
        try:
            stored = json.loads((folder / RUN_FILE).read_text())
            run = cls(**{**stored, "folder": folder})
            if not all(type(getattr(run, name)) in types for name, types in _TYPES.items()):
                raise TypeError
            return run
        except (OSError, ValueError, TypeError, RecursionError):
            raise DomainError(
                f"There is no run to resume in {folder}. Give a folder that epsnet learn has started to fill."
            ) from None

    def refuse_changes(self, target: str | None, given: Mapping[str, Any]) -> None:
        """Complain if a target or an option is given on resuming: the run has its own."""
        if target not in (None, self.target):
            raise DomainError(
                f"The run in {self.folder} is about {self.target!r}. Resume it without naming another target."
            )
        names = ("norm", "cost", "skips", "activation", "method", "seed")
        unset = {**{name: getattr(Run, name) for name in names}, "formula": False}
        changed = [name for name, value in given.items() if value != unset.get(name)]
        if changed:
            names = ", ".join("--" + name.replace("_", "-") for name in changed)
            raise DomainError(f"A run is resumed with the options it was started with. Leave out {names}.")

    def execute(self, *, resume: bool, quiet: bool) -> Solution:
        """Learn, save and draw. The best solution is kept when eps is not reached, the progress on an interruption."""
        if self.network:
            solve, sample = self._network(quiet)
        else:
            solve, sample = self._formula() if self.formula else self._data(resume, quiet)
        with self._output():
            try:
                solution = solve()
            except CertificateError as error:
                if error.best is None:
                    raise
                self._keep(error.best, sample)
                raise CertificateError(
                    f"{error} The best network is kept in {self.folder}.",
                    asked=error.asked, achieved=error.achieved, best=error.best,
                ) from None  # fmt: skip
            self._keep(solution, sample)
        return solution

    def require_classes(self) -> None:
        """Complain before any work if the risk of this target cannot be certified. DomainError."""
        if self.formula or self.network or self._source().train().classes is None:
            raise DomainError("--certify is for data with classes, the target is something else. Leave it out.")

    def certify(self, solution: Solution, *, quiet: bool) -> RiskCertificates:
        """Bound the risk from the training points as well, and keep what `check` re-derives in certificates/."""
        from epsnet.learning.certificates import certify_training, stored

        source = self._source()

        def report(key: str, done: int, planned: int) -> None:
            if not quiet:
                print(f"{done}/{planned}   {key}", file=sys.stderr, flush=True)

        found = certify_training(source.train(), solution.network, source.test(), seed=self.seed, progress=report)
        for key, each in stored(found).items():
            save_solution(each, self.folder / CERTIFICATES / key)
        with contextlib.suppress(MissingExtraError):
            draw_certificates(found, self.folder / BOUNDS_FILE)
        return found

    def _source(self) -> Source:
        return open_source(self.target, data=self.data, label=self.label, seed=self.seed)

    @contextlib.contextmanager
    def _output(self) -> Iterator[None]:
        """Announce the run in its folder; take that back if it is refused before anything else came into the folder."""
        note = self.folder / RUN_FILE
        made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        make_folder(self.folder)
        earlier, before = note.read_bytes() if note.exists() else None, self._contents()
        note.write_text(json.dumps({**asdict(self), "folder": None}, indent=1))
        try:
            yield
        except (EpsnetError, KeyboardInterrupt):
            if self._contents() == before:
                note.unlink() if earlier is None else note.write_bytes(earlier)
                for path in made:
                    path.rmdir()
            raise

    def _contents(self) -> set[tuple[str, int]]:
        return {(path.name, path.stat().st_mtime_ns) for path in self.folder.iterdir() if path.name != RUN_FILE}

    def _formula(self) -> tuple[Callable[[], Solution], Callable[[], Sample | None]]:
        domain, names = read_domain(self.on or "")
        target = Target(self.target, domain, self.norm, names)  # type: ignore[arg-type]
        return lambda: learn(target, self.eps, **self._common()), lambda: None

    def _network(self, quiet: bool) -> tuple[Callable[[], Solution], Callable[[], Sample | None]]:
        from epsnet.compression.compress import compress
        from epsnet.inspection.subject import fitted, read_network

        network = read_network(self.target)[0]
        if self.on is not None:
            on: Any = fitted(read_domain(self.on)[0], network)
        else:
            on = open_source(self.data or "", label=self.label).train().matrix()
        names = ("eps", "bits", "accuracy", "norm", "cost")
        options: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name) is not None}

        def solve() -> Solution:
            solution = compress(network, on, **options, progress=StageProgress(quiet))
            check(solution)
            return solution

        return solve, lambda: None

    def _data(self, resume: bool, quiet: bool) -> tuple[Callable[[], Solution], Callable[[], Sample | None]]:
        source = self._source()
        checkpoint = self.folder / CHECKPOINT_FILE

        def solve() -> Solution:
            try:
                with EpochProgress(quiet) as progress:
                    return learn(
                        source.train(), self.eps, test=source.test, checkpoint=checkpoint, resume=resume,
                        progress=progress, **self._common(), **self.training,
                    )  # fmt: skip
            except KeyboardInterrupt:
                if not checkpoint.exists():
                    raise KeyboardInterrupt("interrupted before the first epoch was over. Start again.") from None
                again = f"epsnet learn --resume {shlex.quote(str(self.folder))}"
                raise KeyboardInterrupt(f"interrupted; the progress is kept. Continue with: {again}") from None

        return solve, source.test

    def _common(self) -> dict[str, Any]:
        require = None if self.require is None else _KINDS[self.require.upper()]
        options = {name: getattr(self, name) for name in _FORMULA_OPTIONS}
        return {**options, "require": require}

    def _keep(self, solution: Solution, sample: Callable[[], Sample | None]) -> None:
        save_solution(solution, self.folder)
        for name in (CODE_FILE, PROGRAM_FILE):
            (self.folder / name).unlink(missing_ok=True)
        if "program" in solution.stats:
            (self.folder / PROGRAM_FILE).write_bytes(bytes.fromhex(solution.stats["program"]))
        if solution.size.connections <= _MOST_CODED:
            with contextlib.suppress(DomainError):
                save_solution(solution, self.folder / CODE_FILE)
        try:
            from epsnet.report.document import write_report
            from epsnet.report.figures import draw

            draw(solution, self.folder / FIGURE_FILE)
            write_report(solution, self.folder / REPORT_FILE, sample())
        except MissingExtraError:
            for name in (FIGURE_FILE, REPORT_FILE):
                (self.folder / name).unlink(missing_ok=True)


def _widths(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise DomainError(
            f'The widths {text!r} are no list of numbers. Give something like --hidden "20,20".'
        ) from None


def _is_network(target: str) -> bool:
    return Path(target).suffix.lower() in _NETWORK_FILES


def _refuse_for_network(target: str, options: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    if training or options["skips"] or options["weight_bound"] or options["method"] != "auto":
        raise DomainError(f"The target {target} is a network: give it --eps, --bits or --accuracy, and --cost.")
    if sum(options[name] is not None for name in ("eps", *_NETWORK_OPTIONS)) != 1:
        raise DomainError("A smaller network needs one goal. Give --eps, --bits or --accuracy.")
    if (options["on"] is None) == (options["data"] is None):
        raise DomainError("The error counts on a box or at points. Give one: --on 0,1 for every input, or --data FILE.")


def _refuse_for_data(target: str, options: Mapping[str, Any]) -> None:
    if options["data"] and target not in PRESETS:
        raise DomainError(f"--data is for presets, the target {target} is the data itself. Leave one of them out.")
    if options["on"] or options["norm"] != "sup":
        raise DomainError(
            f"--on and --norm are for formulas, the target {target} is data. Leave them out, or add --formula."
        )


def _refuse_missing_path(target: str) -> None:
    """Complain about a path if the target is no formula but looks like a path."""
    try:
        for formula in target.split(";"):
            parse(formula)
    except DomainError:
        if re.fullmatch(r"[\w.~/\\: -]+", target) and re.search(r"\.[A-Za-z]\w*$|[/~\\]", target):
            raise DomainError(
                f"{target} does not exist. Check the path, or use --formula if a formula is meant."
            ) from None
        raise


def sample_of(solution: Solution, folder: Path, data: str | None, label: str | None) -> tuple[Any, Any] | None:
    """Return the sample that the risk of a solution is about, or None for a formula.

    What run.json says about its origin is only a hint: the checker compares the hash.
    """
    if not isinstance(solution.target, DataTarget):
        if data is not None:
            raise DomainError("The target is a formula and needs no data. Leave --data out.")
        return None
    name, seed = data, solution.stats.get("seed")
    home = folder.parent.parent if folder.parent.name == CERTIFICATES else folder
    with contextlib.suppress(DomainError):
        run = Run.load(home)
        name, seed, label = data or run.target, run.seed, label or run.label
        data = data or run.data
    if name is None:
        raise DomainError(f"The data of {folder} is unknown: no run.json tells it. Give it with --data PATH.")
    seed = seed if type(seed) is int and seed >= 0 else 0
    source = open_source(name, data=data, label=label, seed=seed)
    sample = source.test()
    if "part" in solution.stats:
        from epsnet.learning.certificates import part_of

        sample = part_of(source.train(), source.test, solution.stats["part"], seed)
    return sample.matrix(), sample.labels


def draw_certificates(found: RiskCertificates, path: Path) -> None:
    """Draw all bounds beside each other. MissingExtraError if matplotlib is not installed."""
    from epsnet.generalization.bound_figures import draw_bounds
    from epsnet.report.figures import save_figure

    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    figure = Figure(figsize=(8.5, 3.8), layout="constrained")
    bounds = {each.name: each.bound.value for each in found.certificates}
    draw_bounds(figure.subplots(), bounds, guessing=1 - 1 / found.certificates[0].classes)
    save_figure(figure, path)
