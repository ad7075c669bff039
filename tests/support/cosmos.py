"""Cosmos DB for tests: the local emulator, or the account that the settings name.

``CASTIEL_CONTRACT_COSMOS_ENDPOINT`` and ``CASTIEL_CONTRACT_COSMOS_KEY`` point the contract suites at Microsoft's
emulator or at the cloud. Every test has a database of its own, deleted at its end.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.cosmos.aio import CosmosClient, DatabaseProxy

from infra.local.process import ServerProcess

LOCAL_KEY = "bG9jYWwtZW11bGF0b3Ita2V5"  # the emulator takes any; the SDK wants base64


@dataclass(frozen=True)
class CosmosAccount:
    """Where an account is; ``process`` is the emulator's, None for an account that was there before."""

    endpoint: str
    key: str
    process: ServerProcess | None = None

    def client(self, **options: Any) -> CosmosClient:
        """A new client; use it as a context manager."""
        return CosmosClient(self.endpoint, self.key, **options)

    async def add_fault(self, **fault: Any) -> None:
        """Make the next requests fail; the fields are those of :mod:`infra.local.cosmos.faults`. Emulator only."""
        async with aiohttp.ClientSession() as session, session.post(self._faults, json=fault) as response:
            response.raise_for_status()

    async def clear_faults(self) -> None:
        """Remove all faults. Emulator only."""
        async with aiohttp.ClientSession() as session, session.delete(self._faults) as response:
            response.raise_for_status()

    @property
    def _faults(self) -> str:
        return f"{self.endpoint.rstrip('/')}/_faults"


@contextmanager
def running_cosmos(data: Path | None = None) -> Iterator[CosmosAccount]:
    """A running emulator, in memory or with its data in a folder; stopped at the end."""
    with ServerProcess("cosmos", data=data) as process:
        yield CosmosAccount(f"http://127.0.0.1:{process.port}/", LOCAL_KEY, process)


@pytest.fixture(scope="session")
def cosmos_account() -> Iterator[CosmosAccount]:
    """The account of the contract suites: the one the settings name, else an emulator for the whole run."""
    endpoint = os.environ.get("CASTIEL_CONTRACT_COSMOS_ENDPOINT")
    if endpoint:
        yield CosmosAccount(endpoint, os.environ["CASTIEL_CONTRACT_COSMOS_KEY"])
        return
    with running_cosmos() as account:
        yield account


@pytest.fixture
async def cosmos_database(cosmos_account: CosmosAccount) -> AsyncIterator[DatabaseProxy]:
    """A fresh database."""
    async with cosmos_account.client() as client:
        database = await client.create_database(f"contract-{uuid.uuid4().hex}")
        try:
            yield database
        finally:
            await client.delete_database(database.id)


@pytest.fixture
def cosmos_emulator(cosmos_account: CosmosAccount) -> CosmosAccount:
    """The account if it is our emulator; skips the test elsewhere, where its knobs do not exist."""
    if cosmos_account.process is None:
        pytest.skip("needs the local emulator's own knobs")
    return cosmos_account
