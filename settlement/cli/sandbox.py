"""`settlement sandbox`: a stand-in OKX on loopback, to rehearse on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app

if TYPE_CHECKING:
    from settlement.venues.okx.sandbox.faults import Planned


@app.command()
def sandbox(  # noqa: PLR0913 - the options of the contract
    more_files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="Further files to replay.")
    ] = None,
    *,
    port: Annotated[int, typer.Option(help="Where to listen on 127.0.0.1; 0 is any free port.", min=0, max=65535)] = 0,
    seed: Annotated[int | None, typer.Option(help="Makes a market; the same seed makes the same fills.")] = None,
    replay: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="Serve these recorded rows.")] = None,
    account: Annotated[
        str | None,
        typer.Option(metavar="UID", help="Whose the rows without account are; or the market's only account."),
    ] = None,
    instrument: Annotated[str | None, typer.Option(metavar="PAIR", help="What a tape of trades traded.")] = None,
    tag: Annotated[str, typer.Option(metavar="CODE", help="The tag that a tape's fills carry.")] = "",
    accounts: Annotated[int | None, typer.Option(help="This many accounts instead of the sample's.", min=1)] = None,
    fills_per_hour: Annotated[int, typer.Option(help="Fills in each hour.", min=1, max=1_000_000)] = 1_000,
    faults: Annotated[float, typer.Option(help="The share of requests that go wrong.", min=0, max=1)] = 0.0,
    fault_seed: Annotated[int, typer.Option(help="What the faults are drawn from.")] = 1,
    script: Annotated[Path | None, typer.Option(metavar="FILE", help="Faults by script, JSON lines.")] = None,
    late_per_mille: Annotated[int | None, typer.Option(help="Fills recorded minutes late.", min=0, max=1000)] = None,
    hidden_per_mille: Annotated[
        int | None, typer.Option(help="Rows left out of their first reading.", min=0, max=1000)
    ] = None,
    oauth: Annotated[list[str] | None, typer.Option(metavar="UID", help="Comes with tokens; or all.")] = None,
    token_seconds: Annotated[int, typer.Option(help="How long an access token lives.", min=1)] = 3600,
    file_seconds: Annotated[float, typer.Option(help="How long the rebate file takes.", min=0)] = 2.0,
    link_seconds: Annotated[float, typer.Option(help="How long a link to it is valid.", min=0)] = 7200.0,
) -> None:
    """Serve a stand-in OKX v5 on loopback until Ctrl-C; one JSON line says when it is ready and gives the keys.

    It serves a market made from --seed, or the rows of --replay, or both.
    """
    from settlement.venues.okx.sandbox.exchange import Exchange, Options
    from settlement.venues.okx.sandbox.server import serve

    options = Options(
        seed=seed,
        replay=_files(replay, more_files),
        account=account,
        instrument=instrument,
        tag=tag,
        accounts=accounts,
        fills_per_hour=fills_per_hour,
        fault_rate=faults,
        fault_seed=fault_seed,
        script=_script(script),
        late_per_mille=late_per_mille,
        hidden_per_mille=hidden_per_mille,
        oauth=tuple(oauth or ()),
        token_seconds=token_seconds,
        file_seconds=file_seconds,
        link_seconds=link_seconds,
    )
    serve(Exchange(options), port=port, on_ready=_say_ready)


def _files(replay: list[Path] | None, more: list[Path] | None) -> tuple[Path, ...]:
    if more and not replay:
        raise typer.BadParameter(f"{more[0]}: give files behind --replay")
    return (*(replay or ()), *(more or ()))


def _script(path: Path | None) -> tuple[Planned, ...]:
    import orjson

    from settlement.errors import InputRefused
    from settlement.venues.okx.sandbox.faults import planned_faults

    if path is None:
        return ()
    try:
        lines = [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
        return tuple(planned_faults(lines))
    except (OSError, ValueError, TypeError) as error:
        raise InputRefused(f"is no fault script: {error}", where=str(path), mend="see docs/sandbox.md") from None


def _say_ready(line: dict[str, object]) -> None:
    import orjson

    print(orjson.dumps(line).decode(), flush=True)  # noqa: T201 - the line that programs wait for
