"""`settlement terms`: versions of the program terms, loaded, looked at, compared, validated; and those that ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.app import app
from settlement.cli.loading import AsJson, By, Correction, act_of, tell_marked
from settlement.cli.output import print_json

if TYPE_CHECKING:
    from datetime import datetime

    from settlement.errors import InputRefused
    from settlement.pipeline.find_terms import FoundTerms
    from settlement.pipeline.load_terms import TermsReport
    from settlement.store.terms import Version

terms_app = typer.Typer(
    help="Versions of the program terms, and what single brokers have of their own.", no_args_is_help=True
)
app.add_typer(terms_app, name="terms")

Which = Annotated[str, typer.Argument(metavar="ID|NAME", help="The number or the name of a version, or a preset.")]
Compared = typer.Argument(help="The number or the name of a version, a preset, or a TOML file.")


@terms_app.command(name="load")
def load_terms_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A TOML file, or a preset that leaves nothing open.")],
    *,
    correction: Correction = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Load one version of the program terms, in force from its effective_from until the next version."""
    from settlement.pipeline.load_terms import load_terms, read_document
    from settlement.runtime import open_database

    document, source = read_document(file)
    with open_database() as database:
        report = load_terms(database, document, source=source, act=act_of(by, correction))
    _tell(report, as_json=as_json)


@terms_app.command(name="list")
def list_command(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also versions that were replaced.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the versions that stand, the earliest first: from when until when, and which load of which file brought them."""
    from settlement.pipeline.load_terms import every_version, standing_versions
    from settlement.runtime import open_database

    with open_database() as database:
        versions = every_version(database) if every else standing_versions(database)
    if as_json:
        print_json([_version(version) for version in versions])
    elif versions:
        _print_versions(versions)
    else:
        typer.echo("no terms are loaded: settlement terms load FILE")


@terms_app.command()
def show(which: Which, *, as_json: AsJson = False) -> None:
    """Print the document of one version as it was loaded; of several with the name, the latest. A preset as it ships."""
    from settlement.pipeline.find_terms import find_terms
    from settlement.runtime import open_database

    with open_database() as database:
        found = find_terms(database, which)
    if as_json:
        print_json(_found(found) | {"document": found.document})
    else:
        typer.echo(found.document, nl=False)


@terms_app.command()
def diff(before: Annotated[str, Compared], after: Annotated[str, Compared], *, as_json: AsJson = False) -> None:
    """Say in words how the terms AFTER differ from the terms BEFORE."""
    from settlement.pipeline.find_terms import find_terms
    from settlement.program.terms_diff import differences
    from settlement.runtime import open_database

    with open_database() as database:
        one, other = find_terms(database, before), find_terms(database, after)
    found = differences(one.terms(), other.terms())
    if as_json:
        told = {"before": _found(one), "after": _found(other)}
        print_json(told | {"differences": [asdict(difference) for difference in found]})
        return
    for difference in found:
        typer.echo(difference.says)
    if not found:
        typer.echo(f"{one.label} and {other.label} state the same terms")


@terms_app.command()
def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="TOML files.")], *, as_json: AsJson = False
) -> None:
    """Say everything that is wrong with documents, with the line and the mend; nothing is stored."""
    from settlement.errors import Refused

    faults = {file: _faults(file) for file in files}
    if as_json:
        print_json({file: [_fault(fault) for fault in found] for file, found in faults.items()})
    else:
        for file, found in faults.items():
            for fault in found:
                typer.echo(str(fault))
            if not found:
                typer.echo(f"{file}: nothing is wrong with it")
    faulty = [file for file, found in faults.items() if found]
    if faulty:
        number = sum(map(len, faults.values()))
        what = f"{number} faults" if number > 1 else "1 fault"
        raise Refused(what, where=", ".join(faulty), mend="mend what is listed, and validate again")


@terms_app.command()
def preset(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Which one.")] = None,
    *,
    listed: Annotated[bool, typer.Option("--list", help="List those that ship, and what they leave open.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value of the document, such as cap.monthly_usdt=500."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a document that ships with the product, complete, to be loaded or to begin your own with."""
    if listed == (name is not None):
        raise typer.BadParameter("give the NAME of a preset, or --list")
    if name is None:
        _list_presets(as_json=as_json)
        return
    from settlement.program.terms import parse_new_terms
    from settlement.program.terms_presets import completed

    document = completed(name, _pairs(settings or []))
    parse_new_terms(document, source=name)
    if output is not None:
        _write(output, document)
    elif as_json:
        print_json({"name": name, "document": document})
    else:
        typer.echo(document, nl=False)


def _list_presets(*, as_json: bool) -> None:
    from settlement.program.terms_presets import as_shipped, headline, open_keys, preset_names

    presets = [
        {"name": name, "says": headline(as_shipped(name)), "open": open_keys(as_shipped(name))}
        for name in preset_names()
    ]
    if as_json:
        print_json(presets)
        return
    for one in presets:
        typer.echo(f"{one['name']:<10}{one['says']}" + "".join(f" Needs --set {key}=VALUE." for key in one["open"]))


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    pairs = dict(setting.partition("=")[::2] for setting in settings)
    wrong = [setting for setting in settings if "=" not in setting]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is not KEY=VALUE", param_hint="--set")
    return {key.strip(): value.strip() for key, value in pairs.items()}


def _write(output: Path, document: str) -> None:
    if not output.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {output.parent}", param_hint="--output")
    output.write_text(document, encoding="utf-8")


def _faults(file: str) -> list[InputRefused]:
    from settlement.errors import InputRefused
    from settlement.pipeline.load_terms import read_document
    from settlement.program.terms import faults_of

    try:
        document, source = read_document(file)
    except InputRefused as refusal:
        return [refusal]
    return faults_of(document, source=source)


def _fault(fault: InputRefused) -> dict[str, str]:
    return {"where": fault.where, "what": fault.what, "mend": fault.mend}


def _tell(report: TermsReport, *, as_json: bool) -> None:
    since = _written(report.terms.effective_from)
    if as_json:
        told = {"terms_id": report.terms.terms_id, "name": report.terms.name, "effective_from": since}
        done = {"load_id": report.load_id, "replaced_terms_id": report.replaced_terms_id}
        print_json(told | done | {"windows_marked": report.windows_marked})
        return
    state = "stood already" if report.load_id is None else "loaded"
    typer.echo(f"terms {report.terms.name} (number {report.terms.terms_id}), in force from {since}: {state}")
    tell_marked(report.windows_marked)


def _print_versions(versions: Sequence[Version]) -> None:
    from settlement.cli.by_hand import print_table

    titles = ["id", "name", "from", "until", "load", "file", "by", "correction", "replaced by load"]
    rows = [
        [str(version.terms_id), version.name, _written(version.effective_from), _until(version), str(version.load_id),
         version.source, version.loaded_by, version.correction or "-", str(version.replaced_by_load or "-")]
        for version in versions
    ]  # fmt: skip
    shown = [
        column
        for column in range(len(titles))
        if column < titles.index("correction") or any(row[column] != "-" for row in rows)
    ]
    print_table([titles[column] for column in shown], [[row[column] for column in shown] for row in rows])


def _until(version: Version) -> str:
    return "-" if version.until is None else _written(version.until)


def _found(found: FoundTerms) -> dict[str, Any]:
    return {"name": found.label} if found.version is None else _version(found.version)


def _version(version: Version) -> dict[str, Any]:
    times = {name: getattr(version, name) for name in ("effective_from", "until", "loaded_at")}
    values = vars(version) | {name: None if at is None else _written(at) for name, at in times.items()}
    return {name: value for name, value in values.items() if name != "document"}


def _written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
