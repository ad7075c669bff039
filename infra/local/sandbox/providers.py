"""The providers the sandbox has: one line each."""

from __future__ import annotations

from infra.local.sandbox.google import GoogleProvider
from infra.local.sandbox.provider import Provider
from infra.local.sandbox.salesforce import SalesforceProvider
from infra.local.sandbox.store import Store


def build_providers(store: Store) -> list[Provider]:
    return [SalesforceProvider(store), GoogleProvider(store)]
