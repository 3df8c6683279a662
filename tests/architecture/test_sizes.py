"""Small by ratchet: what is allowed may shrink, never grow."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("settlement", "workers", "schemas", "tests")
FILES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))

FUNCTION_LINES_MAX = 60
FUNCTION_LINES_MEDIAN_MAX = 10
FILE_LINES_MAX = 400
RULES_FILE_LINES_MAX = 199


def functions(path: Path) -> list[tuple[str, int]]:
    """Every function of a file with its length in lines, from `def` to its last line."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in FILES}
    limits = {path: RULES_FILE_LINES_MAX if path.parts[1] == "rules" else FILE_LINES_MAX for path in lengths}
    limits |= {path: FILE_LINES_MAX for path in lengths if path.parts[0] == "tests"}
    assert {str(path): length for path, length in lengths.items() if length > limits[path]} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = dict(found for path in FILES for found in functions(path))
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES_MAX} == {}


@pytest.mark.parametrize("part", PARTS)
def test_most_functions_are_a_few_lines(part: str) -> None:
    lengths = [length for path in FILES if path.is_relative_to(ROOT / part) for _, length in functions(path)]
    assert median(lengths) <= FUNCTION_LINES_MEDIAN_MAX
