"""Imports go one way, and each library stays where it belongs; pyproject.toml says where that is."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "settlement" / "rules").glob("*.py"))
RULES_MAY_IMPORT = {*sys.stdlib_module_names, "numpy", "pandas", "pyarrow"}


def test_every_import_contract_is_kept() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run(
        [lint_imports, "--no-cache"], check=False, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_part_has_its_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    placed = {part.strip(" ()") for layer in layers for part in layer.split("|")}
    modules = (ROOT / "settlement").iterdir()
    parts = {f"settlement.{path.stem}" for path in modules if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"settlement.__init__"} <= placed


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_the_rules_import_the_standard_library_pandas_numpy_pyarrow_and_each_other(path: Path) -> None:
    foreign = {
        name
        for name in imported_by(path)
        if name.split(".")[0] not in RULES_MAY_IMPORT and not name.startswith("settlement.rules.")
    }
    assert not foreign


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_the_rules_have_no_clock_no_chance_and_no_input_or_output(path: Path) -> None:
    outside = {"os", "io", "random", "secrets", "socket", "subprocess", "sys", "tempfile", "threading", "time", "uuid"}
    assert not outside & {name.split(".")[0] for name in imported_by(path)}
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    assert not names & {"open", "input", "now", "utcnow", "today", "read_text", "write_text"}


def imported_by(path: Path) -> Iterator[str]:
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} line {node.lineno}: imports are absolute"
            # "from settlement.rules import money" names a module, "from decimal import Decimal" does not.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
