"""Which providers there are: Castiel's own, and those that installed packages add.

A package adds a provider by an entry point in the group ``castiel.providers`` that names a
:class:`~castiel.adapters.base.Provider`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.metadata import entry_points

from castiel.adapters.base import Provider
from castiel.errors import ConfigurationError

BUILT_IN = ("salesforce", "github", "google", "notion", "slack")
ENTRY_POINT_GROUP = "castiel.providers"


class ProviderRegistry:
    """Providers by their ``integrationId``."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers: dict[str, Provider] = {}
        for provider in providers:
            if provider.integration_id in self._providers:
                raise ConfigurationError(f"provider {provider.integration_id}: registered twice")
            self._providers[provider.integration_id] = provider

    def get(self, integration_id: str) -> Provider:
        """The provider. Raises :class:`ConfigurationError`, naming those there are."""
        try:
            return self._providers[integration_id]
        except KeyError:
            known = ", ".join(sorted(self._providers))
            raise ConfigurationError(f"integrationId: there is no such provider; known are {known}") from None

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._providers.values())


def load_providers() -> ProviderRegistry:
    """Castiel's own providers and those of installed packages."""
    own = [_load_own(name) for name in BUILT_IN]
    added = [entry.load() for entry in entry_points(group=ENTRY_POINT_GROUP)]
    return ProviderRegistry([*own, *added])


def _load_own(name: str) -> Provider:
    provider = import_module(f"castiel.adapters.{name}").PROVIDER
    if not isinstance(provider, Provider):
        raise ConfigurationError(f"castiel.adapters.{name}: PROVIDER is not a Provider")
    return provider
