"""`settlement statements`, `export --as-of` and `explain --history` as commands: what they print, and how they refuse."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from settlement.store.database import Database
from tests.functional.commands import run
from tests.reports.story import CHAPTERS, Told

HOURS = ("--from", "2026-03-01T06:00Z", "--to", "2026-03-01T09:00Z")


@pytest.fixture
def settled_two(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)
    for name in ("nothing is settled", "two windows are settled"):
        CHAPTERS[name](database)


@pytest.mark.usefixtures("settled_two")
def test_a_statement_is_issued_listed_and_shown_with_the_digest_of_its_json(tmp_path: Path) -> None:
    issued = json.loads(run("statements", "issue", "gamma", *HOURS, "--by", "ana", "--json"))
    said = run("statements", "issue", "alpha", *HOURS)
    assert said.startswith("statement 2 for alpha, 2026-03-01T06:00:00Z to 2026-03-01T09:00:00Z, issued by ")
    assert json.loads(run("statements", "list", "gamma", "--json")) == [issued]
    assert run("statements", "list").splitlines()[-1] == "2 statements"
    path = tmp_path / "statement.json"
    assert run("statements", "show", "1", "--format", "json", "-o", path) == ""
    assert hashlib.sha256(path.read_bytes()).hexdigest() == issued["sha256"]
    assert run("statements", "show", "1", "--json").encode() == path.read_bytes()
    text = run("statements", "show", "1")
    assert text.startswith("Statement 1 for gamma\n")
    assert issued["sha256"] in text


@pytest.mark.usefixtures("told_environment")
def test_the_command_exports_as_of_a_recorded_time(told: Told) -> None:
    for chapter in ("a fill comes late", "facts are corrected"):
        told_then = told.chapters[chapter]
        then = told_then.ended_at.isoformat()
        assert run("export", "lines", "--as-of", then).encode() == told_then.exports["lines", "all"]
        assert (
            run("export", "tiers", "--broker", "alpha", "--as-of", then).encode() == told_then.exports["tiers", "alpha"]
        )


@pytest.mark.usefixtures("told_environment")
def test_the_history_is_told_in_words_and_as_json() -> None:
    assert "it was pending (VIP_UNKNOWN), and what was missing has come" in run(
        "explain", "okx", "2", "2-6-1", "--history"
    )
    assert len(json.loads(run("explain", "okx", "2", "2-6-1", "--history", "--json"))["versions"]) == 3


@pytest.mark.usefixtures("told_environment")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["export", "lines", "--as-of", "2999-01-01T00:00:00Z"], 1, "--as-of: 2999-01-01T00:00:00Z is still to come"),
        (["export", "lines", "--as-of", "yesterday"], 2, "--as-of: 'yesterday' is not a time"),
        (["statements", "issue", "nobody", *HOURS], 1, "there is no payee 'nobody'"),
        (["statements", "issue", "alpha", "--from", "2026-03-01T06:30Z", "--to", "2026-03-01T09:00Z"], 2, "not on the hour"),
        (["statements", "issue", "alpha", "--from", "2026-03-01T06:00Z", "--to", "2099-01-01T00:00Z"], 1, "still to come"),
        (["statements", "show", "999999"], 1, "there is no statement 999999; settlement statements list"),
        (["statements", "show", "1", "--format", "pdf"], 2, "'pdf' is not one of text, json"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(arguments: list[str], code: int, said: str) -> None:
    command = [str(Path(sys.executable).with_name("settlement")), *arguments]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    told = " ".join(done.stderr.replace("\u2502", " ").split())
    assert (done.returncode, said in told) == (code, True), done.stderr
