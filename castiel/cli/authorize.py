"""``castiel connections authorize``: a person's consent, brought back by the browser or by paste."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from castiel.cli.connections import ConnectionId, app, find
from castiel.cli.running import Run, Tenant, command
from castiel.cli.values import duration
from castiel.cli.way_back import way_back
from castiel.domain.connections import Connection
from castiel.errors import CastielError


@command(app, "authorize")
async def authorize(
    run: Run,
    connection_id: ConnectionId,
    tenant: Tenant,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=65_535,
            help="Listen here for the browser: register http://127.0.0.1:PORT/callback where the provider compares"
            " whole addresses. 0: a free one.",
        ),
    ] = 0,
    paste: Annotated[
        bool, typer.Option("--paste", help="Listen nowhere: paste the address that the browser ends at.")
    ] = False,
    redirect_uri: Annotated[
        str | None,
        typer.Option(
            "--redirect-uri",
            help="With --paste: the address that is registered at the provider.",
            show_default=False,
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the browser here.")] = False,
    wait: Annotated[str, typer.Option("--wait", help="How long to wait, at most 15m.")] = "15m",
) -> None:
    """Authorise a connection, the first time or again: it works again afterwards.

    Prints the provider's address on stderr; open it in any browser on this machine and consent.
    """
    seconds = duration(wait).total_seconds()
    connection = await find(run, tenant, connection_id)
    async with way_back(paste=paste, port=port, redirect_uri=redirect_uri) as way:
        begun = await run.services.authorization.begin(connection, way.redirect_uri)
        run.output.remark(f"Open this address, and consent for connection {connection_id}:")
        # As it is: a table's or a paragraph's line breaks would spoil it, and its state is no secret of ours yet.
        typer.echo(f"\n{begun.url}\n", err=True)
        run.output.remark(way.says)
        if open_it:
            webbrowser.open(begun.url)
        callback = await way.wait(begun.state, seconds=seconds)
    authorised = await run.services.authorization.complete(callback.code, callback.state, begun.verifier)
    account = await _account(run, authorised) if authorised.usable else None
    run.output.done(
        f"Connection {connection_id} is authorised{f' as {account}' if account else ''}. Its status: {authorised.status.value}.",
        id=connection_id,
        status=authorised.status,
        account=account,
        credentialId=authorised.credential_id,
    )
    if not authorised.usable:
        run.output.remark(f"A person paused it: connections resume {connection_id} --tenant {tenant}")


async def _account(run: Run, connection: Connection) -> str | None:
    """Whose account it is now. The authorization stands, whatever this comes to."""
    try:
        return (await run.services.integrations.adapter(connection).check()).account
    except CastielError as error:
        run.output.remark(f"The account could not be asked yet: {error.code}: {error}")
        return None
