"""What all commands print in the same way: errors with their exit codes, JSON, quoted paths."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

OK, CHECK_FAILED, BAD_INPUT, NOT_CERTIFIED, INTERRUPTED = 0, 1, 2, 3, 130

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print one line, and no progress.")]


@contextlib.contextmanager
def errors_become_exit_codes(check_failed: int = CHECK_FAILED) -> Iterator[None]:
    """Turn the error family into one sentence on stderr and the documented exit code."""
    from epsnet.certify.errors import CertificateError, CheckError, EpsnetError

    try:
        yield
    except EpsnetError as error:
        code = {CheckError: check_failed, CertificateError: NOT_CERTIFIED}.get(type(error), BAD_INPUT)
        sentence = str(error)
    except KeyboardInterrupt as error:
        code, sentence = INTERRUPTED, str(error) or "interrupted."
    except BrokenPipeError:
        raise
    except OSError as error:
        code, sentence = (
            BAD_INPUT,
            f"{error.filename or 'A file'}: {error.strerror}. Check the path and the space left.",
        )
    else:
        return
    # A sentence may quote a file: its control characters are not for the terminal.
    printable = "".join(character if character.isprintable() else "?" for character in sentence)
    typer.echo(f"epsnet: {printable}", err=True)
    raise typer.Exit(code)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def quoted(path: Path) -> str:
    """Return a path as a shell takes it."""
    import shlex

    return shlex.quote(str(path))
