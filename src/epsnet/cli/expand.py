"""The command `expand`: a signal or an image as a sum of few atoms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epsnet.cli.output import Json, Quiet, errors_become_exit_codes, print_json, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def expand(
    path: Annotated[Path, typer.Argument(help="A signal or an image: .npy, .npz, .csv, or .png.")],
    dictionaries: Annotated[
        str, typer.Option("--in", help='Dictionaries: "db4,gabor:16,shearlets"; see the documentation.')
    ] = "haar,db4",
    terms: Annotated[str, typer.Option(help='Numbers of terms, "100,1000".')] = "10,100,1000",
    pursuit: Annotated[
        bool, typer.Option("--pursuit", help="Frames: improve the terms by hard thresholding pursuit.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Draw the image from the most terms, and the curves.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Signals in cdf2.2 or haar: write the network of the most terms to this folder.")
    ] = None,
    eps: Annotated[
        str, typer.Option(help="Accuracy of this network for the sum; in haar it fixes the ramps.")
    ] = "1e-6",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Approximate samples by N atoms of dictionaries: the squared error for each N."""
    with errors_become_exit_codes():
        import numpy as np

        from epsnet.certify.errors import DomainError
        from epsnet.dictionaries import n_term
        from epsnet.dictionaries.catalog import find

        signal = read_samples(path)
        counts = _counts(terms)
        found = [find(name, signal.shape) for name in dictionaries.split(",")]
        peak = float(np.ptp(signal))
        if peak == 0:
            raise DomainError(f"All samples in {path} are equal; one term is enough. Give a signal that varies.")
        rows: list[dict[str, Any]] = []
        for dictionary in found:
            few = [count for count in counts if count <= dictionary.size]
            if not few:
                raise DomainError(f"{dictionary.name} has only {dictionary.size:,} atoms here. Ask for fewer terms.")
            if pursuit and dictionary.parseval:
                errors = [
                    float(np.mean((n_term.thresholding_pursuit(dictionary, signal, count).signal() - signal) ** 2))
                    for count in few
                ]
            else:
                errors = n_term.squared_errors(dictionary, signal, few).tolist()
            ratios = n_term.psnr(errors, peak).tolist()
            rows += [
                {"dictionary": dictionary.name, "terms": count, "squared_error": error, "psnr": ratio}
                for count, error, ratio in zip(few, errors, ratios, strict=True)
            ]
        if figure is not None:
            _draw(figure, signal, found, counts, peak)
        solution = None
        if out is not None:
            from epsnet.codec.files import save_solution
            from epsnet.learning.learn import learn

            solution = learn(n_term.threshold(found[0], signal, min(counts[-1], found[0].size)), eps)
            save_solution(solution, out)
        if as_json:
            print_json({"kind": "ESTIMATED", "shape": list(signal.shape), "expansions": rows})
            return
        if not quiet:
            typer.echo(f"samples     {' x '.join(map(str, signal.shape))}; mean squared errors in float64, ESTIMATED")
        width = max(len(row["dictionary"]) for row in rows)
        for row in rows:
            typer.echo(
                f"{row['dictionary']:<{width}}  N = {row['terms']:>8,}  error {row['squared_error']:.4e}  "
                f"PSNR {row['psnr']:6.2f} dB"
            )
        if figure is not None:
            typer.echo(f"figure      {figure}")
        if out is not None:
            if not quiet:
                typer.echo(str(solution))
            typer.echo(f"epsnet check {quoted(out)}")


def _draw(path: Path, signal: NDArray[np.float64], found: Any, counts: list[int], peak: float) -> None:
    from epsnet.certify.errors import DomainError
    from epsnet.dictionaries.figures import n_term_figure
    from epsnet.report.figures import save_figure

    if signal.ndim != 2:
        raise DomainError("The picture is for images, the samples are a signal of one variable. Leave --figure out.")
    least = min(dictionary.size for dictionary in found)
    drawn = [count for count in counts if count <= least]
    save_figure(n_term_figure(signal, found, max(drawn), drawn, peak=peak), path)


def _counts(text: str) -> list[int]:
    from epsnet.certify.errors import DomainError

    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 1:
        raise DomainError(f'The numbers of terms {text!r} are none. Give something like --terms "100,1000".')
    return counts


def read_samples(path: Path) -> NDArray[np.float64]:
    """Return the samples in a file: (n,) or (n, m), a color image as the mean of its channels.

    Raises:
        DomainError: there is no such file, it holds no numbers, or they have another shape.
        MissingExtraError: an image, and matplotlib is not installed.
    """
    import numpy as np

    from epsnet.certify.errors import DomainError, MissingExtraError

    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                samples = archive[archive.files[0]]
        elif path.suffix == ".npy":
            samples = np.load(path, allow_pickle=False)
        elif path.suffix == ".csv":
            samples = np.loadtxt(path, delimiter=",", ndmin=1)
        elif path.suffix == ".png":
            try:
                from matplotlib.image import imread
            except ModuleNotFoundError:
                raise MissingExtraError("plot", "Reading an image") from None
            samples = imread(path)
            samples = samples[..., :3].mean(axis=-1) if samples.ndim == 3 else samples
        else:
            raise DomainError(f"{path} is of no known kind. Give .npy, .npz, .csv or .png.")
        samples = np.asarray(samples, dtype=np.float64)
    except (OSError, ValueError, TypeError, IndexError, SyntaxError) as error:
        raise DomainError(f"{path} holds no samples: {error}. Give .npy, .npz, .csv or .png with numbers.") from None
    if samples.ndim not in (1, 2) or samples.size < 2:
        raise DomainError(f"The samples have shape {samples.shape}. Give a signal (n,) or an image (n, m).")
    if not np.isfinite(samples).all():
        raise DomainError(f"{path} holds NaN or infinity. Remove such values.")
    return samples
