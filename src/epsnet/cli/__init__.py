"""The command line: `epsnet learn | inspect | check | doctor`."""


def main() -> None:
    """Run the command line; what a command needs is imported when it runs."""
    from epsnet.cli.app import app

    app()


__all__ = ["main"]
