"""What :class:`~castiel.ports.secrets.SecretVault` promises, of the fake and of Key Vault's adapter alike."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from azure.keyvault.secrets.aio import SecretClient

from castiel.azure.key_vault import KeyVault
from castiel.errors import NotFound, VaultUnavailable
from castiel.ports.secrets import SecretVault
from infra.local.process import ServerProcess
from tests.support.fakes.vault import MemoryVault
from tests.support.static_token import StaticTokenCredential

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def emulator() -> Iterator[ServerProcess]:
    with ServerProcess("keyvault") as server:
        yield server


def connect(server: ServerProcess, **options: Any) -> SecretClient:
    return SecretClient(
        server.ready["url"],
        StaticTokenCredential(server.ready["token"]),
        connection_verify=server.ready["certificate"],
        verify_challenge_resource=False,
        **options,
    )


@pytest.fixture(params=["fake", "key vault"])
async def vault(request: pytest.FixtureRequest) -> AsyncIterator[SecretVault]:
    if request.param == "fake":
        yield MemoryVault()
        return
    async with connect(request.getfixturevalue("emulator")) as client:
        yield KeyVault(client)


@pytest.fixture
def name() -> str:
    return f"castiel-{uuid.uuid4().hex[:12]}"


async def test_what_is_not_there_is_not_found(vault: SecretVault, name: str) -> None:
    with pytest.raises(NotFound):
        await vault.get(name)
    assert await vault.versions(name) == []
    await vault.delete(name)
    await vault.disable(name, "0" * 32)


async def test_each_set_is_a_version_and_the_newest_is_read(vault: SecretVault, name: str) -> None:
    first = await vault.set(name, "one", tags={"tenantId": "tenant-1"})
    second = await vault.set(name, "two")
    assert first.version != second.version
    assert (await vault.get(name)) == second
    assert (await vault.get(name, first.version)).value == "one"
    assert await vault.versions(name) == [first.version, second.version]


async def test_a_disabled_version_is_gone_and_the_others_stay(vault: SecretVault, name: str) -> None:
    first = await vault.set(name, "one")
    await vault.set(name, "two")
    await vault.disable(name, first.version)
    with pytest.raises(NotFound):
        await vault.get(name, first.version)
    assert (await vault.get(name)).value == "two"
    assert len(await vault.versions(name)) == 1


async def test_a_deleted_secret_is_gone_and_may_be_set_again(vault: SecretVault, name: str) -> None:
    await vault.set(name, "one")
    await vault.delete(name)
    with pytest.raises(NotFound):
        await vault.get(name)
    again = await vault.set(name, "two")
    assert await vault.get(name) == again
    assert (await vault.get(name)).value == "two"


async def test_no_repr_shows_a_value(vault: SecretVault, name: str) -> None:
    assert "made-up-value" not in repr(await vault.set(name, "made-up-value"))


# Key Vault's adapter alone ---------------------------------------------------------------------------


@pytest.fixture
async def throttled(
    emulator: ServerProcess,
) -> AsyncIterator[tuple[KeyVault, httpx.AsyncClient, list[float]]]:
    """The adapter with a clock that tests move, and the emulator's orders."""
    clock = [100.0]
    async with (
        connect(emulator, retry_total=0) as client,
        httpx.AsyncClient(
            base_url=emulator.ready["url"], verify=_trust(emulator), trust_env=False
        ) as control,
    ):
        yield KeyVault(client, monotonic=lambda: clock[0]), control, clock


def _trust(server: ServerProcess) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ready["certificate"])


async def test_a_throttled_vault_is_not_called_again_until_its_time(
    throttled: tuple[KeyVault, httpx.AsyncClient, list[float]], name: str
) -> None:
    vault, control, clock = throttled
    await vault.set(name, "one")
    await control.post("/_faults", json={"status": 429, "count": 1, "retryAfter": 30})
    with pytest.raises(VaultUnavailable) as first:
        await vault.get(name)
    assert first.value.retry_after == 30
    # The order is used up: an answer would come. Nobody asks.
    clock[0] += 10
    with pytest.raises(VaultUnavailable, match="throttled") as second:
        await vault.get(name)
    assert second.value.retry_after == pytest.approx(20)
    clock[0] += 21
    assert (await vault.get(name)).value == "one"


@pytest.mark.parametrize("status", [500, 503, 0])
async def test_a_vault_that_is_away_says_so_as_retryable(
    throttled: tuple[KeyVault, httpx.AsyncClient, list[float]], name: str, status: int
) -> None:
    vault, control, _ = throttled
    await control.post("/_faults", json={"status": status, "count": 10, "method": "GET"})
    with pytest.raises(VaultUnavailable) as error:
        await vault.get(name)
    await control.delete("/_faults")
    assert error.value.retryable
