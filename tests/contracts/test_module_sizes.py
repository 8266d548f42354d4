"""Modules stay short because they do one thing; this is the alarm, not the method."""

from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/epsnet"
LIMIT = 700


def test_no_module_is_too_long():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert lengths
    too_long = {str(path.relative_to(SOURCE)): length for path, length in lengths.items() if length > LIMIT}
    assert not too_long
