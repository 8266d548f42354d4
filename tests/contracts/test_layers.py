"""The import contracts hold, and each of them can break: a contract that nothing violates proves nothing."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/epsnet"
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
NAMES = {contract["id"]: contract["name"] for contract in CONFIG["contracts"]}
LAYERS = [re.findall(r"\w+", layer) for layer in CONFIG["contracts"][0]["layers"]]


def lint(tree):
    """Return the verdict on each contract for the package in tree/src."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    verdicts = {}
    for key, name in NAMES.items():
        found = re.search(re.escape(name) + r" (KEPT|BROKEN)", done.stdout)
        assert found, done.stdout + done.stderr
        verdicts[key] = found[1] == "KEPT"
    return verdicts


@pytest.fixture
def tree(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    skip = shutil.ignore_patterns("__pycache__", "*.npz", "*.gz")
    shutil.copytree(SOURCE, tmp_path / "src/epsnet", ignore=skip)
    return tmp_path


def append(tree, name, text):
    path = tree / "src/epsnet" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")


def test_contracts_hold(tree):
    assert all(lint(tree).values())


@pytest.mark.parametrize(
    ("contract", "files"),
    [
        ("layers", {"core/__init__.py": "import epsnet.learning"}),  # upward
        ("layers", {"learning/__init__.py": "import epsnet.inspection"}),  # sideways
        ("layers", {"enclosure/__init__.py": "import epsnet.statistics"}),
        ("layers", {"unlisted/__init__.py": ""}),
        ("below-diff", {"core/mutant.py": "def lazy():\n    import jax"}),
        ("below-diff", {"certify/mutant.py": "import epsnet.core.mutant", "core/mutant.py": "import optax"}),  # chain
        ("below-diff", {"enclosure/mutant.py": "from rich import print"}),
        ("ground", {"certify/mutant.py": "import scipy.special"}),
        ("checker", {"checker/mutant.py": "import epsnet.enclosure"}),
        ("checker", {"checker/mutant.py": "def lazy():\n    from epsnet.statistics import anything"}),
        ("checker", {"checker/mutant.py": "import jax"}),
        (
            "acyclic",
            {"core/mutant_a.py": "import epsnet.core.mutant_b", "core/mutant_b.py": "import epsnet.core.mutant_a"},
        ),
    ],
)
def test_contracts_can_break(tree, contract, files):
    for name, text in files.items():
        append(tree, name, text)
    assert not lint(tree)[contract]


def test_contract_below_diff_covers_its_floors():
    """A forbidden contract cannot name packages that do not exist yet, so this test asks for them once they do."""
    floor = next(i for i, layer in enumerate(LAYERS) if "diff" in layer)
    below = {f"epsnet.{name}" for layer in LAYERS[floor + 1 :] for name in layer if (SOURCE / name).is_dir()}
    contract = next(c for c in CONFIG["contracts"] if c["id"] == "below-diff")
    assert set(contract["source_modules"]) == below


def test_nobody_inside_imports_the_facade():
    """`epsnet/__init__.py` resolves names lazily, which hides its imports from the contracts."""
    packages = {path.stem for path in SOURCE.iterdir()} | {"__version__"}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "epsnet" and not node.level:
                names = {alias.name for alias in node.names}
                assert names <= packages, f"{path}:{node.lineno} imports {names - packages} from the facade"
            if isinstance(node, ast.Import) and path.parent != SOURCE:
                assert "epsnet" not in {alias.name for alias in node.names}, f"{path}:{node.lineno} imports the facade"
