"""Every secret of a vault, to be looked for where none may be."""

from __future__ import annotations

import contextlib
import json

from castiel.bootstrap import Services

OPEN = frozenset(
    {
        "clientId",
        "instanceUrl",
        "tokenType",
        "scope",
        "expiryTime",
        "issuedAt",
        "refreshMethod",
    }
)
"""What a secret's JSON holds beside its secrets."""


async def vault_secrets(services: Services) -> set[str]:
    """Every secret of 8 characters or more, in every enabled version in the vault."""
    client = services.clients.key_vault
    names = [secret.name or "" async for secret in client.list_properties_of_secrets()]
    versions = [
        (name, version.version)
        for name in names
        async for version in client.list_properties_of_secret_versions(name)
        if version.enabled
    ]
    texts = [(await client.get_secret(name, version)).value or "" for name, version in versions]
    return {leaf for text in texts for leaf in _leaves(text) if len(leaf) >= 8}


def _leaves(text: str) -> list[str]:
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            return [str(v) for k, v in value.items() if k not in OPEN and isinstance(v, str)]
    return [text]
