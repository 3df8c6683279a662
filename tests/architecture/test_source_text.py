"""What must not stand in the source: floats near money, prints, and anybody's own machine."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MONEY = sorted(path for part in ("rules", "ledger", "payouts") for path in (ROOT / "settlement" / part).rglob("*.py"))
PRODUCT = sorted(path for part in ("settlement", "workers", "schemas") for path in (ROOT / part).rglob("*.py"))
LONGEST_TEXT_FILE = 2_000_000

FLOAT_NAME = re.compile(r"^(?:float|double|half)(?:\d+)?(?:\[.*\])?(?:_)?$|^[fd][248]?$|^<f[248]$")
# Written so that this file does not hold what it looks for.
REGISTRY = re.compile(
    r"\b(?:test\.)?pypi\.org|\bpythonhosted\.org|\bregistry\.(?:npmjs\.org|yarnpkg\.com)|\bproxy\.golang\.org"
)
OWN_MACHINE = re.compile(r"(?<![\w.$}/-])(?:/(?:home|Users|root|work)/\w|[A-Z]:\\Users\\)")


def floats_in(source: str) -> Iterator[str]:
    """Where a source makes a float: a literal, the type, a numpy or Arrow type by its name, or a text that names one."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=float() as value):
                yield f"line {node.lineno}: {value}"
            case ast.Name(id=name) | ast.Attribute(attr=name) if FLOAT_NAME.match(name) and len(name) > len("f8"):
                yield f"line {node.lineno}: {name}"
            case ast.Call(func=ast.Attribute(attr="astype" | "cast"), args=[ast.Constant(value=str() as name), *_]) if (
                FLOAT_NAME.match(name)
            ):
                yield f"line {node.lineno}: {name}"
            case ast.keyword(arg="dtype", value=ast.Constant(value=str() as name)) if FLOAT_NAME.match(name):
                yield f"line {node.value.lineno}: {name}"


@pytest.mark.parametrize("path", MONEY, ids=lambda path: str(path.relative_to(ROOT / "settlement")))
def test_there_is_no_float_near_money(path: Path) -> None:
    assert list(floats_in(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "rate = 0.25", "x = float(y)", "x = np.float64(y)", "a.astype(float)", "a.astype('float64')", "a.astype('f8')",
        "pa.array(x, pa.float32())", "np.zeros(3, dtype='double')", "a.cast(pa.double())", "def f(x: float): ...",
    ],
)  # fmt: skip
def test_each_way_to_a_float_is_found(source: str) -> None:
    assert list(floats_in(source))


def test_nothing_is_printed_outside_the_commands() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in PRODUCT
        if not path.is_relative_to(ROOT / "settlement" / "cli")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "breakpoint"}
    ]
    # The standard output of the keeper, a program of its own, is its log.
    assert [place for place in printing if not place.startswith("settlement/embedded/keeper.py:")] == []
    assert len(printing) <= 1


def texts_that_are_committed() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in sorted(set(listed.stdout.decode().split("\0")) - {""}):
        path = ROOT / name
        if path.is_file() and path.stat().st_size <= LONGEST_TEXT_FILE and b"\0" not in (data := path.read_bytes()):
            yield name, data.decode(errors="replace")


def test_nothing_committed_names_a_package_registry_or_a_path_of_somebodys_machine() -> None:
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in texts_that_are_committed()
        for number, line in enumerate(text.splitlines(), 1)
        if REGISTRY.search(line) or OWN_MACHINE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["home", "Users", "root", "work"])
def test_a_path_of_somebodys_machine_is_found(folder: str) -> None:
    assert OWN_MACHINE.search(f"see /{folder}/somebody/notes")
    assert OWN_MACHINE.search(f'"/{folder}/somebody"')
    assert not OWN_MACHINE.search(f"https://example.org/{folder}/page")


@pytest.mark.parametrize("host", ["pypi", "test.pypi", "files.pythonhosted", "registry.npmjs"])
def test_a_package_registry_is_found(host: str) -> None:
    assert REGISTRY.search(f"https://{host}.org/simple")
