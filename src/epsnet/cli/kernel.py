"""The command `kernel`: learn from data by a network of infinite width."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from epsnet.cli.output import Json, Quiet, errors_become_exit_codes, print_json

_MOST = 8000
"""The most points of a full kernel matrix, 512 MB."""


def kernel(
    data: Annotated[str, typer.Argument(help='Data with labels: idx folder, npz or csv, or "mnist".')],
    depth: Annotated[int, typer.Option(help="Dense layers of the network.", min=1)] = 3,
    activation: Annotated[str, typer.Option(help="Activation of the hidden layers.")] = "relu",
    bias: Annotated[float, typer.Option(help="Standard deviation of the biases; 1 is that of the inputs.")] = 1.0,
    kind: Annotated[str, typer.Option(help="ntk (a trained network) or nngp (a Bayesian one).")] = "ntk",
    ridge: Annotated[float, typer.Option(help="Ridge, or variance of the noise.")] = 1e-3,
    training_time: Annotated[float, typer.Option("--time", help="Stop gradient flow at this time.")] = math.inf,
    rank: Annotated[int | None, typer.Option(help="Nystrom centers; all points by default, up to 8,000.")] = None,
    svm: Annotated[float | None, typer.Option(help="Classes: a support vector machine with this C instead.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the labels in a table, by name or number.")] = None,
    seed: Annotated[int, typer.Option(help="Fixes the held-out fifth and the centers.", min=0)] = 0,
    figure: Annotated[Path | None, typer.Option(help="Regression with one input: draw mean and band.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict by an infinitely wide network, and measure its error on points that it did not see."""
    with errors_become_exit_codes():
        from fractions import Fraction

        import numpy as np

        from epsnet.certify.errors import DomainError
        from epsnet.data import load_mnist, read_data, split
        from epsnet.generalization.estimators import NTKClassifier, NTKRegressor
        from epsnet.statistics.binomial import clopper_pearson

        if data == "mnist" and not Path(data).exists():
            train, test = load_mnist("train"), load_mnist("test")
        else:
            train, test = read_data(data, label)
        if test is None:
            train, test = (train.take(part) for part in split(len(train), (0.8, 0.2), seed))
        classes = train.classes is not None
        if figure is not None and (classes or train.dimension > 1 or train.outputs > 1):
            raise DomainError("The picture is for a regression with one input and one target. Leave --figure out.")
        if svm is not None and not classes:
            raise DomainError("A support vector machine needs classes. Leave --svm out.")
        if len(train) > _MOST and rank is None:
            raise DomainError(f"{len(train):,} points need {8 * len(train) ** 2:.1e} bytes. Give --rank 2000.")
        known = train.matrix()
        images = train.inputs.ndim == 3
        center, scale = (known.mean(), known.std()) if images else (known.mean(axis=0), known.std(axis=0))
        scale = np.where(scale > 0, scale, 1.0)
        options: dict[str, Any] = {
            "bias_std": bias,
            "ridge": ridge,
            "time": training_time,
            "kernel": kind,
            "rank": rank,
        }
        model = (
            NTKClassifier(depth, activation, C=svm, random_state=seed, **options)
            if classes
            else NTKRegressor(depth, activation, random_state=seed, **options)
        )
        model.fit((known - center) / scale, train.labels)
        found = model.predict((test.matrix() - center) / scale)
        result: dict[str, Any] = {"train": len(train), "test": len(test)}
        if classes:
            errors = int(np.count_nonzero(found != test.labels))
            result |= {"errors": errors, "risk": clopper_pearson(errors, len(test), Fraction(1, 100)), "delta": "1/100"}
            text = f"risk <= {result['risk']:.6g} with confidence 0.99   STATISTICAL ({errors:,} errors)"
        else:
            result["root_mean_square"] = float(np.sqrt(np.mean((found - test.labels) ** 2)))
            text = f"root mean square {result['root_mean_square']:.6g}   ESTIMATED"
        if figure is not None:
            _draw(figure, model, train, (center, scale))
        if as_json:
            print_json(result)
            return
        if not quiet:
            typer.echo(f"kernel    {kind} of {depth} dense layers, {activation}, on {len(train):,} points")
        typer.echo(f"error     {text} on {len(test):,} points that it did not see")
        if figure is not None:
            typer.echo(f"figure    {figure}")


def _draw(path: Path, model: Any, train: Any, maps: Any) -> None:
    import numpy as np

    from epsnet.certify.errors import MissingExtraError
    from epsnet.report.figures import save_figure

    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    x = train.matrix()[:, 0]
    places = np.linspace(x.min(), x.max(), 400)
    center, scale = maps
    mean, std = (v.ravel() for v in model.predict((places[:, None] - center) / scale, return_std=True))
    drawing = Figure(figsize=(7.0, 3.8), layout="constrained")
    axes = drawing.subplots()
    axes.fill_between(places, mean - 2 * std, mean + 2 * std, alpha=0.2, label="two standard deviations, ESTIMATED")
    axes.plot(places, mean, label="mean")
    axes.plot(x, train.labels.ravel(), "k.", markersize=3, label="training points")
    axes.set(xlabel="x", ylabel="y")
    axes.legend(frameon=False, fontsize=8)
    save_figure(drawing, path)
