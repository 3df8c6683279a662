"""What the commands that load facts have in common: who loads, why the past changes, and what they print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from settlement.pipeline.load_report import Act

Correction = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Why the past of settled windows changes; recorded with the load.")
]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who loads; the user of this process if not given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def act_of(by: str | None, correction: str | None) -> Act:
    """Who loads and why; an empty reason is wrong usage."""
    if correction is not None and not correction.strip():
        raise typer.BadParameter("say why the past changes", param_hint="--correction")
    from settlement.pipeline.load_report import Act, current_user

    return Act(loaded_by=by or current_user(), correction=correction)


def tell_marked(windows: int) -> None:
    """Says how many settled windows are looked at again, if any."""
    if windows:
        typer.echo(marked_in_words(windows))


def marked_in_words(windows: int) -> str:
    """That so many settled windows are looked at again."""
    hold = "1 settled window holds" if windows == 1 else f"{windows} settled windows hold"
    return f"{hold} pending lines: a supplementary run looks at {'it' if windows == 1 else 'them'} again"
