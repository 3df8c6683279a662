"""Use case: look terms up, whatever they are called by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from settlement.errors import Refused
from settlement.pipeline.load_terms import read_document
from settlement.program.terms import parse_new_terms, parse_terms
from settlement.program.terms_presets import as_shipped, completed, preset_names
from settlement.rules.facts import Terms
from settlement.store.database import Database
from settlement.store.terms import Version, versions


@dataclass(frozen=True, kw_only=True)
class FoundTerms:
    """A document and what to call it; `version` is None where it is not stored."""

    label: str
    document: str
    version: Version | None

    def terms(self) -> Terms:
        """What the document states. Raises `InputRefused` for a faulty one, and for a preset that leaves a value open."""
        if self.version is not None:
            return parse_terms(self.document, source=self.label, terms_id=self.version.terms_id)
        document = completed(self.label, {}) if self.label in preset_names() else self.document
        return parse_new_terms(document, source=self.label)


def find_terms(database: Database, which: str) -> FoundTerms:
    """The stored version with that number, the latest that stands with that name, the preset, or the file.

    A number finds a version that was replaced, too. Raises `Refused` where there is none of them.
    """
    with database.transaction() as connection:
        stored = versions(connection, replaced=True)
    numbered = [version for version in stored if str(version.terms_id) == which]
    named = [version for version in stored if version.name == which and version.replaced_by_load is None]
    for version in [*numbered, *reversed(named)]:
        label = f"{version.name} (number {version.terms_id})"
        return FoundTerms(label=label, document=version.document, version=version)
    if which in preset_names():
        return FoundTerms(label=which, document=as_shipped(which), version=None)
    if Path(which).is_file():
        document, label = read_document(which)
        return FoundTerms(label=label, document=document, version=None)
    raise Refused(
        "no such terms",
        where=which,
        mend=f"settlement terms list shows those that stand; {', '.join(preset_names())} ship; or give a file",
    )
