"""The commands `optimum` and `landscape`: certified global training, and the loss around a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epsnet.cli.output import BAD_INPUT, Json, Quiet, errors_become_exit_codes, print_json, quoted

if TYPE_CHECKING:
    from epsnet.data import Sample

Label = Annotated[str | None, typer.Option(help="Column of the labels in a table, by name or number.")]
Figure = Annotated[Path | None, typer.Option(help="Draw into this file.")]


def optimum(
    data: Annotated[Path, typer.Argument(help="Files of a regression: npz or csv.")],
    beta: Annotated[float, typer.Option(help="The weight decay, or with --spline the weight of the total variation.")],
    network: Annotated[
        Path | None, typer.Option(help="A two-layer ReLU network: say how far it is from the optimum instead.")
    ] = None,
    spline: Annotated[
        bool, typer.Option("--spline", help="One input: penalize neither biases nor the affine part.")
    ] = False,
    tol: Annotated[float, typer.Option(help="Training ends at this gap, relative to the objective.")] = 1e-9,
    label: Label = None,
    figure: Figure = None,
    out: Annotated[Path | None, typer.Option(help="Write network and certificate here, a folder or .eps.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a two-layer ReLU network to its global optimum, and certify how far it can be from it."""
    with errors_become_exit_codes():
        from epsnet.certify.errors import DomainError
        from epsnet.codec.files import save_statements
        from epsnet.core.arrangement import MAX_DIMENSION
        from epsnet.inspection.subject import read_network
        from epsnet.optimization.certificate import certify_network
        from epsnet.optimization.high_dimension import relaxed_certificate
        from epsnet.optimization.total_variation import total_variation_spline
        from epsnet.optimization.train_global import train_global
        from epsnet.optimization.two_layer import TwoLayerProblem, with_ones

        if figure is not None and (network is not None or spline):
            raise DomainError("The picture shows training. Leave --figure or the other options out.")
        sample = _regression(data, label)
        if sample.outputs != 1 or (spline and (sample.dimension != 1 or network is not None)):
            raise DomainError(
                f"{data} has {sample.dimension} inputs and {sample.outputs} targets. "
                f"Give one target; --spline wants one input and no --network."
            )
        points, labels = sample.matrix(), sample.labels.ravel()
        found: Any
        if spline:
            found = certificate = total_variation_spline(points[:, 0], labels, beta)
        elif network is not None:
            problem = TwoLayerProblem(with_ones(points), labels, beta)
            bracket = certify_network if sample.dimension < MAX_DIMENSION else relaxed_certificate
            found = certificate = bracket(problem, read_network(network)[0])
        else:
            found = train_global(points, labels, beta, biases=True, tol=tol)
            certificate = found.certificate
        if figure is not None:
            from epsnet.optimization.optimum_figures import draw_optimum
            from epsnet.report.figures import save_figure

            save_figure(draw_optimum(found), figure)
        if out is not None:
            save_statements(certificate.statements, out)
        if as_json:
            bounds = {"primal": certificate.primal, "dual": certificate.dual, "gap": certificate.gap}
            size = certificate.statements.network.size.to_json()
            print_json({"network": size, **{name: bound.to_json() for name, bound in bounds.items()}})
            return
        if not quiet:
            typer.echo(f"network   {certificate.statements.network}")
        typer.echo(str(found))
        if figure is not None:
            typer.echo(f"figure    {figure}")
        if out is not None:
            typer.echo(f"epsnet check {quoted(out)}")


def landscape(
    path: Annotated[Path, typer.Argument(help="A network file, ONNX, or the folder of a solution.")],
    data: Annotated[str, typer.Option("--data", help="What the loss is measured on: mnist, or a path.")],
    label: Label = None,
    examples: Annotated[int, typer.Option(help="Use the first so many of them.", min=1)] = 1000,
    radius: Annotated[float, typer.Option(help="Of the plane; 1 replaces the weights by noise of their size.")] = 1.0,
    points: Annotated[int, typer.Option(help="Of the plane along each axis.", min=1)] = 25,
    seed: Annotated[int, typer.Option(help="Fixes the directions of the plane.", min=0)] = 0,
    figure: Figure = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Survey the loss around a network: the spectrum of its Hessian, and a plane through it."""
    with errors_become_exit_codes(check_failed=BAD_INPUT):
        import numpy as np

        from epsnet.data import load_mnist, read_data
        from epsnet.inspection.subject import read_network
        from epsnet.optimization.local_landscape import local_landscape

        sample = load_mnist("train") if data == "mnist" and not Path(data).exists() else read_data(data, label)[0]
        found = local_landscape(
            read_network(path)[0], sample.take(np.arange(min(examples, len(sample)))), radius=radius, points=points,
            seed=seed,
        )  # fmt: skip
        if figure is not None:
            from epsnet.report.figures import save_figure

            save_figure(found.draw(), figure)
        if as_json:
            print_json(found.to_json())
            return
        typer.echo(str(found) if not quiet else f"{found.value:.6g}")
        if figure is not None and not quiet:
            typer.echo(f"figure     {figure}")


def _regression(path: Path, label: str | None) -> Sample:
    """Read a sample whose labels are numbers, even if they are integers."""
    from dataclasses import replace

    import numpy as np

    from epsnet.certify.errors import DomainError
    from epsnet.data import read_data

    sample = read_data(path, label)[0]
    if sample.classes is None:
        return sample
    try:
        numbers = np.array([float(name) for name in sample.classes])
    except ValueError:
        raise DomainError(f"The labels of {path} are words. Give numbers to fit.") from None
    return replace(sample, labels=numbers[sample.labels], classes=None)
