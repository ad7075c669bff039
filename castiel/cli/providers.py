"""``castiel providers``: what there is to connect to, and the identity of our app there."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError

from castiel.cli.running import Run, command, group
from castiel.cli.secret_input import read_secret
from castiel.domain.credentials import OAuthClient
from castiel.errors import ConfigurationError, NotFound

app = group("What there is to connect to, and our own app at each.")
Integration = Annotated[str, typer.Argument(help="The provider, as `list` names it.", show_default=False)]
COLUMNS = ("integrationId", "title", "entities", "pushBatch", "deleteMeans", "perMinute", "app")


@command(app, "list")
async def list_providers(run: Run) -> None:
    """The providers, with the entities that have default schemas."""
    rows = [await _row(run, each.integration_id) for each in run.services.providers]
    run.output.rows(sorted(rows, key=lambda row: row["integrationId"]), COLUMNS, empty="No providers.")


@command(app, "show")
async def show(run: Run, integration: Integration) -> None:
    """One provider: its entities, and the settings a connection to it may have."""
    provider = run.services.providers.get(integration)
    schemas = [
        {
            "entity": each["entity"],
            "shardType": each["shardType"],
            "readOnly": each["entity"] in provider.capabilities.read_only_entities,
        }
        for each in provider.default_schemas
    ]
    settings = [
        {"name": name, "meaning": meaning} for name, meaning in provider.capabilities.arguments.items()
    ]
    row = await _row(run, integration)
    if run.output.as_json:
        run.output.one({**row, "entities": schemas, "settings": settings})
        return
    run.output.one({name: value for name, value in row.items() if name != "entities"})
    run.output.section("Entities", schemas, ("entity", "shardType", "readOnly"), empty="None by default.")
    run.output.section("Settings of a connection", settings, ("name", "meaning"), empty="None.")


@command(app, "app")
async def set_app(
    run: Run,
    integration: Integration,
    client_id: Annotated[
        str, typer.Option("--client-id", help="The app's client id at the provider.", show_default=False)
    ],
    private_key: Annotated[
        bool,
        typer.Option(
            "--private-key",
            help="Read the app's private key (PEM) instead of its client secret, and keep the latter.",
        ),
    ] = False,
) -> None:
    """Store our app's identity at a provider: it is what people authorise. All tenants share it.

    The client secret is read from stdin or a prompt: `… providers app salesforce --client-id ID < secret.txt`
    """
    provider = run.services.providers.get(integration)
    name = f"oauth-client-{provider.integration_id}"
    secret = read_secret("The app's private key" if private_key else "The app's client secret")
    client = await _client(run, name)
    known = client or OAuthClient(client_id=client_id)
    change: dict[str, Any] = {"client_id": client_id}
    change["private_key" if private_key else "client_secret"] = SecretStr(secret.get_secret_value())
    await run.services.vault.set(name, known.model_copy(update=change).to_json_text())
    run.output.done(
        f"Stored the app {client_id} of {provider.title}. Running workers take it within five minutes.",
        integrationId=provider.integration_id,
        clientId=client_id,
        secretName=name,
    )


async def _row(run: Run, integration: str) -> dict[str, Any]:
    provider = run.services.providers.get(integration)
    client = await _client(run, f"oauth-client-{integration}")
    can = provider.capabilities
    return {
        "integrationId": integration,
        "title": provider.title,
        "entities": [each["entity"] for each in provider.default_schemas],
        "pushBatch": can.push_batch,
        "deleteMeans": can.delete_means,
        "perMinute": provider.rate_limit_per_minute,
        "app": client.client_id if client else None,
    }


async def _client(run: Run, name: str) -> OAuthClient | None:
    try:
        return OAuthClient.model_validate_json((await run.services.vault.get(name)).value)
    except NotFound:
        return None
    except ValidationError:
        # The validation's own text quotes its input.
        raise ConfigurationError(
            f"Key Vault secret {name}: not JSON with clientId and clientSecret"
        ) from None
