"""A repository's webhook, made and deleted by GitHub's API.

Source: https://docs.github.com/en/rest/repos/webhooks
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from pydantic import SecretStr

from castiel.adapters.base import Adapter, MadeWebhook
from castiel.adapters.github.hook_secret import hook_path
from castiel.adapters.github.settings import repository_name, repository_names
from castiel.domain.webhooks import Registration
from castiel.errors import ConfigurationError

EVENTS = ("issues", "pull_request", "repository")
"""What GitHub calls the events about records that Castiel syncs."""


async def create_hook(
    adapter: Adapter, registration: Registration, address: str, secret: SecretStr
) -> MadeWebhook:
    """Make the webhook, in the repository of ``settings.repository`` or the connection's only one.

    Raises :class:`ConfigurationError`, naming the field, and ProviderError. The account needs the permission to write
    the repository's webhooks.
    """
    repository = _repository(adapter, registration)
    reply = await adapter.api.call(
        "POST",
        f"/repos/{repository}/hooks",
        operation="create",
        json_body={
            "name": "web",
            "active": True,
            "events": _events(registration),
            "config": {
                "url": address,
                "content_type": "json",
                "secret": secret.get_secret_value(),
                "insecure_ssl": "0",
            },
        },
        # GitHub refuses a second one with the same address.
        safe=False,
    )
    hook = reply.json().get("id")
    if not isinstance(hook, int):
        raise ConfigurationError(
            "GitHub made the webhook, and did not name it: see the repository's settings"
        )
    return MadeWebhook({"repository": repository, "hookId": hook})


async def delete_hook(adapter: Adapter, registration: Registration) -> bool:
    """Delete the webhook that the settings name. Raises as :func:`create_hook` does."""
    path = hook_path(registration)
    if path is None:
        return False
    await adapter.api.call("DELETE", path, operation="delete", safe=True, allow=(404,))
    return True


def _repository(adapter: Adapter, registration: Registration) -> str:
    given = registration.settings.get("repository")
    if given is not None:
        return repository_name(given, "settings.repository")
    names = repository_names(adapter.connection)
    if len(names) != 1:
        raise ConfigurationError("settings.repository: say in which repository the webhook is made")
    return names[0]


def _events(registration: Registration) -> list[str]:
    """GitHub's events that may match a pattern of the registration."""
    wanted = [
        event
        for event in EVENTS
        if any(fnmatchcase(event, pattern.partition(".")[0]) for pattern in registration.events)
    ]
    if not wanted:
        raise ConfigurationError(f"events: GitHub has {', '.join(f'{event}.*' for event in EVENTS)}")
    return wanted
