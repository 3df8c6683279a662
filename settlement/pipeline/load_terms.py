"""Use case: load one version of the program terms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from settlement.errors import InputRefused
from settlement.pipeline.load_report import Act
from settlement.program.terms import parse_new_terms
from settlement.program.terms_presets import completed, preset_names
from settlement.rules.facts import Terms
from settlement.store import loads
from settlement.store import terms as store
from settlement.store.database import Database
from settlement.store.settled_past import Load, settled_period

DOCUMENT_BYTES_LIMIT = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class TermsReport:
    """The version that stands after the load; `load_id` is None where it stood before."""

    terms: Terms
    load_id: int | None
    replaced_terms_id: int | None
    windows_marked: int


def read_document(file_or_preset: str) -> tuple[str, str]:
    """The text of a TOML file, or of a document that ships with the product, and what refusals call it.

    Raises `InputRefused` for what cannot be read, and for a shipped document that leaves a value open.
    """
    path = Path(file_or_preset)
    if not path.is_file():
        shipped = preset_names()
        if file_or_preset not in shipped:
            mend = f"give a TOML file, or one of the shipped documents: {', '.join(shipped)}"
            raise InputRefused("no such file", where=file_or_preset, mend=mend)
        return completed(file_or_preset, {}), f"{file_or_preset}.toml"
    if path.stat().st_size > DOCUMENT_BYTES_LIMIT:
        raise InputRefused("the document is larger than 1 MiB", where=str(path), mend="give the TOML file of the terms")
    try:
        return path.read_bytes().decode("utf-8"), str(path)
    except UnicodeDecodeError:
        raise InputRefused("the document is not UTF-8", where=str(path), mend="save it as UTF-8") from None


def load_terms(database: Database, document: str, *, source: str, act: Act) -> TermsReport:
    """Stores a document as the version in force from its effective_from until the next one.

    Raises `InputRefused`, with nothing stored, for a faulty document, or for a change to the past of settled windows
    without a correction.
    """
    terms = parse_new_terms(document, source=source)
    with database.transaction() as connection:
        loads.begin(connection)
        standing = store.versions(connection)
        replaced = store.find_at(standing, terms.effective_from)
        if replaced is not None and store.is_same(replaced, terms):
            known = replace(terms, terms_id=replaced.terms_id)
            return TermsReport(terms=known, load_id=None, replaced_terms_id=None, windows_marked=0)
        load_id = loads.record(
            connection, kind="terms", source=source, correction=act.correction, loaded_by=act.loaded_by
        )
        terms_id = store.add(connection, terms, document=document, load_id=load_id, replaced=replaced)
        period = settled_period(connection)
        if period is not None and act.correction is None:
            load = Load(load_id=load_id, source=source, period=period)
            store.refuse_settled_change(connection, terms, before=standing, load=load)
        return TermsReport(
            terms=replace(terms, terms_id=terms_id),
            load_id=load_id,
            replaced_terms_id=replaced.terms_id if replaced else None,
            windows_marked=loads.recheck_windows(connection),
        )


def standing_versions(database: Database) -> list[store.Version]:
    """The versions of the terms that stand, the earliest first."""
    with database.transaction() as connection:
        return store.versions(connection)


def every_version(database: Database) -> list[store.Version]:
    """The versions of the terms that stand and those that they replaced, the earliest first."""
    with database.transaction() as connection:
        return store.versions(connection, replaced=True)
