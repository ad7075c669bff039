"""The secret of a repository's webhook, set by GitHub's API.

Source: https://docs.github.com/en/rest/repos/webhooks#update-a-webhook-configuration-for-a-repository
"""

from __future__ import annotations

from pydantic import SecretStr

from castiel.adapters.base import Adapter
from castiel.adapters.github.settings import repository_name
from castiel.domain.webhooks import Registration
from castiel.errors import ConfigurationError


async def set_hook_secret(adapter: Adapter, registration: Registration, secret: SecretStr) -> bool:
    """Have GitHub sign with this secret. False for a registration whose settings name no ``hookId``.

    Raises :class:`ConfigurationError` for settings of the wrong form, and ProviderError. The account needs the
    permission to write the repository's webhooks.
    """
    path = hook_path(registration)
    if path is None:
        # An app's own webhook: its secret is set by the app's owner, in its settings.
        return False
    await adapter.api.call(
        "PATCH",
        f"{path}/config",
        operation="update",
        json_body={"secret": secret.get_secret_value()},
        # Setting the same secret again changes nothing.
        safe=True,
    )
    return True


def hook_path(registration: Registration) -> str | None:
    """Where the API has the webhook that a registration's settings name; ``None`` where they name none.

    Raises :class:`ConfigurationError` for settings of the wrong form.
    """
    hook = registration.settings.get("hookId")
    if hook is None:
        return None
    if isinstance(hook, bool) or not str(hook).isascii() or not str(hook).isdigit():
        raise ConfigurationError(f"registration {registration.id}, settings.hookId: a number is needed")
    repository = repository_name(registration.settings.get("repository"), "settings.repository")
    return f"/repos/{repository}/hooks/{hook}"
