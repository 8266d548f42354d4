"""`epsnet study list | run`. Each command imports what it needs inside its body."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epsnet.cli.output import Json, Quiet, errors_become_exit_codes, print_json, quoted

if TYPE_CHECKING:
    from epsnet.studies.run import StudyResult

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Does the theorem hold, at what rate, with what constant?"
)


def _complete_name(incomplete: str) -> list[str]:
    from epsnet.studies.registry import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


@app.command("list")
def list_studies(as_json: Json = False) -> None:
    """Name all studies with their claims and sources."""
    with errors_become_exit_codes():
        from epsnet.studies.registry import NAMES, find

        studies = [find(name) for name in NAMES]
        if as_json:
            print_json({
                "studies": [
                    {"name": s.name, "claim": s.claim, "source": s.source, "rule": s.rule, "budget": s.budget}
                    for s in studies
                ]
            })  # fmt: skip
            return
        for this in studies:
            typer.echo(f"{this.name}   (about {this.budget:g} s on two cores)")
            typer.echo(f"  claim   {this.claim}\n  source  {this.source}")


@app.command()
def run(
    name: Annotated[
        str | None, typer.Argument(help="A study of `epsnet study list`.", autocompletion=_complete_name)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Run every study.")] = False,
    budget: Annotated[float | None, typer.Option(help="Seconds for each study; decides how far it goes.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder; ./epsnet-out/study-NAME by default.")] = None,
    seed: Annotated[int, typer.Option(help="Fixes everything random.", min=0)] = 0,
    jobs: Annotated[int, typer.Option(help="Cases measured at once; -1 takes all cores.")] = -1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a theorem and compare with its prediction; the same folder again measures only what is missing."""
    with errors_become_exit_codes():
        from epsnet.certify.errors import DomainError
        from epsnet.studies.registry import NAMES

        if every == (name is not None):
            raise DomainError("Name one study, or take --all. See epsnet study list.")
        results = []
        for this in NAMES if every else (str(name),):
            folder = (out / f"study-{this}" if every else out) if out else Path("epsnet-out") / f"study-{this}"
            results.append(_run(this, folder, budget, seed, jobs, quiet or as_json))
            if quiet and not as_json:
                typer.echo(f"{this}: {results[-1].verdict}")
            elif not as_json:
                _present(results[-1])
        if as_json:
            described = [_describe(result) for result in results]
            print_json({"studies": described} if every else described[0])


def _run(name: str, folder: Path, budget: float | None, seed: int, jobs: int, quiet: bool) -> StudyResult:
    from epsnet.studies.run import study

    progress = CaseProgress(name, quiet)
    try:
        with progress:
            return study(name, budget=budget, seed=seed, out=folder, jobs=jobs, progress=progress)
    except KeyboardInterrupt:
        again = f"epsnet study run {name} --out {quoted(folder)}"
        again += f" --budget {budget:g}" * (budget is not None) + f" --seed {seed}" * (seed != 0)
        raise KeyboardInterrupt(
            f"interrupted; {progress.done} of {progress.planned} cases are kept. Continue with: {again}"
        ) from None


def _present(result: StudyResult) -> None:
    typer.echo(str(result))
    if result.done < result.planned:
        typer.echo("          The budget is used up; the same command again measures the rest.")
    names = sorted(path.name for path in result.folder.iterdir()) if result.folder else []
    typer.echo(f"record    sha256 {result.record['sha256']}")
    typer.echo(f"files     {result.folder}   ({', '.join(names)})")


def _describe(result: StudyResult) -> dict[str, Any]:
    """Return the stable JSON description: the record without its measurements, and where the files are."""
    from epsnet.studies.run import FIGURE_FILE, RECORD_FILE

    assert result.folder is not None
    record = result.record
    files = {"record": result.folder / RECORD_FILE, "figure": result.folder / FIGURE_FILE}
    return {
        "study": result.name,
        "claim": result.claim,
        "source": result.source,
        "rule": result.rule,
        "comparisons": record["result"]["comparisons"],
        "remarks": record["result"]["remarks"],
        "verdict": record["result"]["verdict"],
        "done": result.done,
        "planned": result.planned,
        "sha256": record["sha256"],
        "files": {"folder": str(result.folder), **{key: str(path) for key, path in files.items() if path.exists()}},
        "seconds": record["run"]["seconds"],
    }


class CaseProgress:
    """Progress of a study on stderr: a bar on a terminal, a line for about every tenth of the cases elsewhere."""

    def __init__(self, name: str, quiet: bool) -> None:
        self.name = name
        self.quiet = quiet
        self.done = self.planned = 0
        self.first: int | None = None
        self.start = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> CaseProgress:
        """Start the clock."""
        return self

    def __call__(self, done: int, planned: int) -> None:
        """Show that so many cases of so many are finished."""
        before, self.done, self.planned = self.done, done, planned
        if self.first is None:
            self.first = done
            if done and not self.quiet:
                print(f"{self.name}: resumed, {done} of {planned} cases are there already", file=sys.stderr, flush=True)
        if self.quiet:
            return
        if sys.stderr.isatty():
            self._advance()
        elif done > self.first and (done == planned or 10 * done // planned > 10 * before // planned):
            left = (time.monotonic() - self.start) / (done - self.first) * (planned - done)
            print(f"{self.name}: case {done}/{planned}   about {left:.0f} s left", file=sys.stderr, flush=True)

    def _advance(self) -> None:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn(self.name), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=Console(stderr=True))
            self.bar.start()
            self.bar.add_task("", total=self.planned)
        self.bar.update(self.bar.task_ids[0], completed=self.done)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar on the screen as it is."""
        if self.bar is not None:
            self.bar.stop()
