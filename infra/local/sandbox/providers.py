"""The providers the sandbox has: one line each."""

from __future__ import annotations

from infra.local.sandbox.github import GitHubProvider
from infra.local.sandbox.google import GoogleProvider
from infra.local.sandbox.notion import NotionProvider
from infra.local.sandbox.provider import Provider
from infra.local.sandbox.salesforce import SalesforceProvider
from infra.local.sandbox.slack import SlackProvider
from infra.local.sandbox.store import Store


def build_providers(store: Store) -> list[Provider]:
    return [
        SalesforceProvider(store),
        GitHubProvider(store),
        GoogleProvider(store),
        NotionProvider(store),
        SlackProvider(store),
    ]
