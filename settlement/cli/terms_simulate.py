"""`settlement terms simulate`, `settlement terms simulated`: what past fills would have come to under other terms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from settlement.cli.terms import terms_app

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, with every row.")]
CsvDirectory = Annotated[
    Path | None, typer.Option("--csv", metavar="DIR", help="Write each part of the result as a CSV file into DIR.")
]


@terms_app.command()
def simulate(  # noqa: PLR0913 - one parameter per option of the command
    terms: Annotated[
        list[str],
        typer.Argument(
            metavar="TERMS...",
            help="TOML files, or numbers, names or presets. One is in force for the whole range, several by their dates.",
        ),
    ],
    *,
    start: Annotated[str, typer.Option("--from", help="First window, RFC 3339, on the hour.")],
    end: Annotated[str, typer.Option("--to", help="End of the range (not included), RFC 3339, on the hour.")],
    broker: Annotated[str | None, typer.Option(help="Only lines of this broker and of those below it.")] = None,
    registry: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Registry files whose rows stand in for all rows of the same key."),
    ] = None,
    ignore_overrides: Annotated[
        bool, typer.Option("--ignore-overrides", help="Leave out the overrides of tiers: reviews alone decide.")
    ] = False,
    as_of: Annotated[
        str | None, typer.Option(metavar="T", help="Everything else as it was known then, RFC 3339; now if left out.")
    ] = None,
    to_workers: Annotated[
        bool, typer.Option("--to-workers", help="Only ask for it: the workers settle it, stretch by stretch.")
    ] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who asks; the user of this process if left out.")] = None,
    as_json: AsJson = False,
    csv: CsvDirectory = None,
) -> None:
    """Settle past fills under other terms, trees or shares, beside the books: what it would cost, who wins, who loses.

    Nothing of the books is written. The result is kept for a day: settlement terms simulated ID.
    """
    from settlement.cli.output import counting
    from settlement.cli.times import HOUR, parse_hours, parse_time
    from settlement.cli.what_if_words import print_what_if
    from settlement.pipeline.find_terms import find_terms
    from settlement.pipeline.load_report import current_user
    from settlement.pipeline.what_if import Question, ask
    from settlement.pipeline.what_if_stretches import simulate_all
    from settlement.runtime import open_database

    windows = parse_hours(start, end)
    known_at = None if as_of is None else parse_time(as_of, option="--as-of")
    with open_database() as database:
        question = Question(
            start=windows[0],
            end=windows[-1] + HOUR,
            terms=[find_terms(database, one) for one in terms],
            broker=broker,
            registry=registry,
            ignore_overrides=ignore_overrides,
            as_of=known_at,
        )
        what_if_id = ask(database, question, by=by or current_user())
        if not to_workers:
            with counting("settling") as progress:
                simulate_all(database, what_if_id, progress=progress)
        print_what_if(database, what_if_id, as_json=as_json, csv=csv)


@terms_app.command()
def simulated(
    what_if: Annotated[int, typer.Argument(metavar="ID", help="The what-if's id, as `terms simulate` printed it.")],
    *,
    as_json: AsJson = False,
    csv: CsvDirectory = None,
) -> None:
    """Print a what-if of the last day again."""
    from settlement.cli.what_if_words import print_what_if
    from settlement.runtime import open_database

    with open_database() as database:
        print_what_if(database, what_if, as_json=as_json, csv=csv)
