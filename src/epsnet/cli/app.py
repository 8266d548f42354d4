"""The commands. Each imports what it needs inside its body, so that --help stays fast and loads no JAX."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from epsnet.cli import study
from epsnet.cli.expand import expand
from epsnet.cli.kernel import kernel
from epsnet.cli.optimization import landscape, optimum
from epsnet.cli.output import BAD_INPUT, CHECK_FAILED, Json, Quiet, errors_become_exit_codes, print_json, quoted

if TYPE_CHECKING:
    from epsnet.core.solution import Solution
    from epsnet.generalization.certificates import RiskCertificates

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Neural networks with certificates: learn(eps, F), inspect, study, check.",
)
app.add_typer(study.app, name="study")

# Named here once more, so that help and completion import nothing; tests/cli/test_help.py compares with the library.
PRESETS = ("mnist",)
NORMS = ("sup", "L2")
METHODS = (
    "auto", "piecewise-linear", "hp", "deep", "shallow", "precise", "compositional", "greedy", "indicator", "universal",
    "program", "train",
)  # fmt: skip
COSTS = ("weights", "neurons", "depth", "bits")
REQUIRABLE = ("PROVED", "VERIFIED", "STATISTICAL")
LOSSES = ("cross_entropy", "square")
OPTIMIZERS = ("adam", "adamw", "lbfgs", "levenberg_marquardt", "momentum", "sgd")


def _completed(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def _one_of(names: tuple[str, ...], about: str = "") -> Any:
    """Return an option that completes these names; a wrong one is refused by the library, which says what to do."""
    *others, last = names
    return typer.Option(help=f"{about}{', '.join(others)} or {last}.", autocompletion=_completed(names))


def _complete_target(incomplete: str) -> list[str]:
    """Complete a preset; with nothing typed or nothing found the shell completes paths."""
    return _completed(PRESETS)(incomplete) if incomplete else []


Data = Annotated[str | None, typer.Option("--data", help="Files of the data: idx folder, npz or csv.")]
Label = Annotated[str | None, typer.Option(help="Column of the labels in a table, by name or number.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"epsnet {version('epsnet')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


class _FormulaCommand(TyperCommand):
    """A command whose argument may begin with a minus: every option has two dashes, so `-x^2` can only be a formula."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Complain about unknown options with two dashes; let the parser pass over those with one."""
        known = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        options = [arg for arg in itertools.takewhile(lambda arg: arg != "--", args) if arg.startswith("--")]
        unknown = [arg for arg in options if arg.partition("=")[0] not in known]
        ctx.ignore_unknown_options = not unknown
        return super().parse_args(ctx, unknown or args)


@app.command(cls=_FormulaCommand)
def learn(
    target: Annotated[
        str | None,
        typer.Argument(
            help='A formula such as "exp(x)", a path to data or to a network, or "mnist".',
            autocompletion=_complete_target,
        ),
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", help='Domain of a formula or network: "0,1" or "x=-4,4;y=0,1".')
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Accuracy: norm of the error, or risk for data.")] = None,
    norm: Annotated[str, _one_of(NORMS)] = "sup",
    cost: Annotated[str | None, _one_of(COSTS, "What is to be small (weights; a network: bits): ")] = None,
    weight_bound: Annotated[
        str | None, typer.Option(help='No weight may be larger: a number, or "polynomial" in 1/eps.')
    ] = None,
    skips: Annotated[bool, typer.Option("--skips", help="Take skip connections where they save weights.")] = False,
    activation: Annotated[str, typer.Option(help="Activation of the hidden neurons.")] = "relu",
    method: Annotated[str, _one_of(METHODS)] = "auto",
    require: Annotated[str | None, _one_of(REQUIRABLE, "Weakest kind of bound to accept: ")] = None,
    seed: Annotated[int, typer.Option(help="Fixes everything random.", min=0)] = 0,
    bits: Annotated[int | None, typer.Option(help="A network: the most bits of the smaller one's file.", min=1)] = None,
    accuracy: Annotated[
        str | None, typer.Option(help="A network: the share of predictions on --data that stay the same.")
    ] = None,
    data: Data = None,
    label: Label = None,
    hidden: Annotated[str | None, typer.Option(help='Training: widths of the hidden layers, "20,20".')] = None,
    loss: Annotated[str | None, _one_of(LOSSES, "Training: ")] = None,
    optimizer: Annotated[str | None, _one_of(OPTIMIZERS, "Training: ")] = None,
    step_size: Annotated[float | None, typer.Option(help="Training: the greatest step size.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Training: how often each example is visited.")] = None,
    certify: Annotated[
        bool, typer.Option("--certify", help="Classes: bound the risk from the training points too, in all ways.")
    ] = False,
    formula: Annotated[
        bool, typer.Option("--formula", help="Read TARGET as a formula even if such a path exists.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Output folder; ./epsnet-out/NAME by default.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the training in this folder; no TARGET needed.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Return a network that is this accurate, and prove it."""
    from epsnet.cli.run import Run

    with errors_become_exit_codes():
        options: dict[str, Any] = {
            "on": on, "eps": eps, "norm": norm, "method": method, "require": require, "seed": seed, "data": data,
            "label": label, "formula": formula, "cost": cost, "weight_bound": weight_bound, "skips": skips,
            "activation": activation, "bits": bits, "accuracy": accuracy,
        }  # fmt: skip
        training = {"hidden": hidden, "loss": loss, "optimizer": optimizer, "step_size": step_size, "epochs": epochs}
        if resume is not None:
            run = Run.load(resume)
            run.refuse_changes(target, {**options, **training, "out": out})
        else:
            given = {name: value for name, value in training.items() if value is not None}
            run = Run.plan(target, **options, training=given, out=out)
        start = time.perf_counter()
        if certify:
            run.require_classes()
        solution = run.execute(resume=resume is not None, quiet=quiet or as_json)
        found = run.certify(solution, quiet=quiet or as_json) if certify else None
        _present(solution, found, run.folder, time.perf_counter() - start, quiet=quiet, as_json=as_json)


def _present(
    solution: Solution, found: RiskCertificates | None, folder: Path, seconds: float, *, quiet: bool, as_json: bool
) -> None:
    from epsnet.cli.run import BOUNDS_FILE, CERTIFICATES, CODE_FILE, FIGURE_FILE, PROGRAM_FILE, REPORT_FILE
    from epsnet.codec.files import sections
    from epsnet.core.serial import NETWORK_FILE, SOLUTION_FILE, WITNESS_FILE

    names = {"solution": SOLUTION_FILE, "network": NETWORK_FILE, "witness": WITNESS_FILE}
    names |= {"code": CODE_FILE, "program": PROGRAM_FILE, "figure": FIGURE_FILE, "report": REPORT_FILE}
    names |= {"certificates": CERTIFICATES, "bounds": BOUNDS_FILE} if found is not None else {}
    paths = {key: folder / name for key, name in names.items() if (folder / name).exists()}
    files = {"folder": str(folder), **{key: str(path) for key, path in paths.items()}}
    parts = sections(paths["code"].read_bytes()) if "code" in paths else None
    if as_json:
        code = None if parts is None else asdict(parts)
        more = {} if found is None else found.to_json()
        print_json({**describe(solution), **more, "code_bytes": code, "files": files, "seconds": round(seconds, 3)})
        return
    if not quiet:
        typer.echo(str(solution))
        if parts is not None:
            typer.echo(f"code      {parts}")
        if "program" in paths:
            typer.echo(f"program   {paths['program'].stat().st_size} bytes")
        for sentence in solution.stats.get("risk_decomposition", {}).get("advice", ()):
            typer.echo(f"advice    {sentence}")
        if found is not None:
            typer.echo(str(found))
        typer.echo(f"files     {folder}   ({', '.join(sorted(path.name for path in paths.values()))})")
        typer.echo(f"seconds   {seconds:.2f}")
    typer.echo(f"epsnet check {quoted(folder)}")


def describe(solution: Solution) -> dict[str, Any]:
    """Return the stable JSON description of a solution: ``network``, `error`, `optimality`, `result`."""
    return {
        "network": {**solution.size.to_json(), "bits": solution.bits},
        "error": solution.error.to_json(),
        "optimality": None if solution.optimality is None else solution.optimality.to_json(),
        "result": solution.result,
    }


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="The folder or .eps file that learn, or inspect --out, wrote.")],
    data: Data = None,
    label: Label = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Re-derive every bound of a solution, or of an inspection, trusting nobody."""
    with errors_become_exit_codes():
        from epsnet.approximation.programs import load_proved
        from epsnet.checker.kernel import check as re_derive
        from epsnet.cli.run import sample_of
        from epsnet.codec.files import SUFFIX
        from epsnet.core.serial import STATEMENTS_FILE, load_solution, load_statements
        from epsnet.core.solution import Statements

        if path.suffix == SUFFIX and not path.is_dir():
            found = load_proved(path)
        else:
            found = load_statements(path) if (path / STATEMENTS_FILE).is_file() else load_solution(path)
        if isinstance(found, Statements):
            report, proved, head = re_derive(found), {"network": found.network.size.to_json()}, []
        else:
            solution = found
            report = re_derive(solution, data=sample_of(solution, path, data, label))
            # Only what was re-derived: `result` is a sentence that anybody may have written.
            proved = {name: value for name, value in describe(solution).items() if name != "result"}
            head = [f"target       {solution.target}"]
        if as_json:
            claims = [bound.to_json() for bound in report.checked]
            print_json({**proved, "checked": claims, "seconds": round(report.seconds, 3)})
        elif quiet:
            typer.echo(str(report).splitlines()[-1])
        else:
            typer.echo("\n".join([*head, f"network      {found.network}", str(report)]))


@app.command()
def inspect(
    path: Annotated[
        Path, typer.Argument(help="A network file, ONNX, weights of PyTorch, or the folder of a solution.")
    ],
    on: Annotated[
        str | None, typer.Option("--on", help='Box of the statements: "0,1" for every input, or "0,1;-1,2".')
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="Points to count activations on: mnist, or a path.", autocompletion=_complete_target
        ),
    ] = None,
    label: Label = None,
    activation: Annotated[
        str | None, typer.Option(help="Weights of PyTorch: what stands between the layers, such as relu.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help='Weights of PyTorch: the names of the layers in order, "fc1,fc2".')
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes everything random.", min=0)] = 0,
    cells: Annotated[
        bool, typer.Option("--cells", help="Few inputs: list the cells of the box, exact ranges, topology.")
    ] = False,
    level: Annotated[str | None, typer.Option(help="One output: topology of the sets below and above this.")] = None,
    plane: Annotated[
        str | None,
        typer.Option("--slice", help='Inspect on a plane: two inputs "0,3" or three rows of the data "0,1,2".'),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another network: bound how far the two are apart on the box instead.")
    ] = None,
    gap: Annotated[float, typer.Option(help="With --against: upper bound <= (1 + gap) lower bound.")] = 0.1,
    seconds: Annotated[float, typer.Option(help="With --against: stop by then; Ctrl-C stops too.")] = math.inf,
    html: Annotated[Path | None, typer.Option("--html", help="Write the page to this file.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all that is certified to this folder or .eps file, for check.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Say what is true of a network: sizes, activity and stability of its neurons, Lipschitz constants, reductions."""
    # Here a file that is no network is bad input: nothing is claimed about it that could fail a check.
    with errors_become_exit_codes(check_failed=BAD_INPUT):
        from epsnet.core.target import read_domain
        from epsnet.data import load_mnist, read_data
        from epsnet.inspection.inspect import inspect as inspect_network

        box = None if on is None else read_domain(on)[0]
        if against is not None:
            _compare(path, against, box, gap=gap, seconds=seconds, out=out, quiet=quiet, as_json=as_json)
            return
        sample = None
        if data is not None:
            sample = load_mnist("test") if data in PRESETS and not Path(data).exists() else read_data(data, label)[0]
        names = None if layers is None else [name.strip() for name in layers.split(",")]
        subject: Any = path
        if plane is not None:
            from epsnet.inspection.subject import sliced

            subject, box = sliced(path, plane, box, sample, activation=activation, layers=names)
            sample, activation, names = None, None, None
        found = inspect_network(
            subject, on=box, data=sample, activation=activation, layers=names, cells=cells, level=level, seed=seed
        )
        if out is not None:
            from epsnet.codec.files import save_statements

            save_statements(found.statements, out)
        if html is not None:
            from epsnet.inspection.page import inspection_page

            html.write_text(inspection_page(found, path.name), encoding="utf-8")
        if as_json:
            print_json({"network": found.to_json()})
        elif quiet:
            typer.echo(str(found.network))
        else:
            typer.echo(str(found))
            if html is not None:
                typer.echo(f"page   {html}")
        if out is not None and not as_json:
            typer.echo(f"epsnet check {quoted(out)}")


def _compare(
    path: Path, against: Path, box: Any, *, gap: float, seconds: float, out: Path | None, quiet: bool, as_json: bool
) -> None:
    from epsnet.certify.errors import DomainError
    from epsnet.cli.progress import BracketProgress
    from epsnet.codec.files import save_solution
    from epsnet.inspection.compare import compare

    if box is None:
        raise DomainError("The distance of two networks is about a box. Give it with --on.")
    found = compare(path, against, box, gap=gap, seconds=seconds, progress=BracketProgress(quiet or as_json))
    if out is not None:
        save_solution(found.solution, out)
    if as_json:
        bracket = {"lower": found.lower.to_json(), "upper": found.upper.to_json(), "point": found.point.tolist()}
        print_json({"distance": {**bracket, "boxes": found.boxes, "complete": found.complete}})
        return
    if not quiet:
        typer.echo(f"network    {found.solution.network}")
        typer.echo(f"from       {found.solution.target}")
    typer.echo(f"at most    {found.upper}")
    typer.echo(f"at least   {found.lower}")
    if not found.complete:
        typer.echo("stopped before the gap was reached; more --seconds bring the two closer")
    if out is not None:
        typer.echo(f"epsnet check {quoted(out)}")


def _complete_construction(incomplete: str) -> list[str]:
    from epsnet.approximation.constructions import NAMES

    return _completed(NAMES)(incomplete)


@app.command()
def construct(
    name: Annotated[
        str | None,
        typer.Argument(help="A construction; without one they are listed.", autocompletion=_complete_construction),
    ] = None,
    parameters: Annotated[list[str] | None, typer.Argument(help="Its parameters, such as levels=9.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the network to this file: .eps or .safetensors exactly, or .onnx.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build a network that has a formula, such as x^2, a sawtooth or a maximum."""
    with errors_become_exit_codes():
        from epsnet.approximation.constructions import NAMES, find
        from epsnet.certify.errors import DomainError
        from epsnet.codec.files import save_network

        if name is None:
            found = [find(each) for each in NAMES]
            if as_json:
                print_json({"constructions": [{"name": each.name, "usage": each.usage()} for each in found]})
            else:
                for each in found:
                    typer.echo(f"{each.usage()}\n  {each.statement.splitlines()[0]}")
            return
        construction = find(name)
        pairs = [text.partition("=") for text in parameters or []]
        if not all(equals for _, equals, _ in pairs):
            raise DomainError(f"A parameter is written NAME=VALUE. Write {construction.usage()}.")
        network = construction({key: value for key, _, value in pairs})
        if out is not None and out.suffix == ".onnx":
            from epsnet.interop import save_onnx

            save_onnx(network, out)
        elif out is not None:
            save_network(network, out)
        if as_json:
            print_json({"network": network.size.to_json(), "file": None if out is None else str(out)})
            return
        typer.echo(str(network))
        if not quiet:
            typer.echo(construction.statement)
        if out is not None:
            typer.echo(f"file   {out}")


app.command()(expand)
app.command()(optimum)
app.command()(landscape)
app.command()(kernel)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Prove and re-check a dozen statements on this machine."""
    with errors_become_exit_codes():
        from epsnet.inspection.doctor import examine

        findings = list(examine())
        if as_json:
            print_json({"findings": [{**asdict(f), "seconds": round(f.seconds, 3)} for f in findings]})
        else:
            for finding in findings:
                verdict = "ok  " if finding.holds else "FAIL"
                detail = f"   {finding.detail}" if finding.detail else ""
                typer.echo(f"{verdict}  {finding.statement}   ({finding.seconds:.2f} s){detail}")
        if not all(finding.holds for finding in findings):
            sys.stdout.flush()
            raise typer.Exit(CHECK_FAILED)
