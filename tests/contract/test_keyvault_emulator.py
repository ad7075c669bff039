"""What Key Vault promises, checked through azure-keyvault-secrets.

By default against the emulator. With CASTIEL_CONTRACT_KEY_VAULT_URL set, the same promises are checked against that
vault with DefaultAzureCredential (it needs Key Vault Secrets Officer and purge rights); tests of the emulator's own
features (faults, restarts) are skipped then.

Sources, each cited where it is relied on:
[secrets]  https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
[objects]  https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates
[rest]     https://learn.microsoft.com/rest/api/keyvault/secrets/operation-groups
[soft]     https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview
[auth]     https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
[throttle] https://learn.microsoft.com/azure/key-vault/general/overview-throttling
"""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.identity.aio import DefaultAzureCredential
from azure.keyvault.secrets.aio import SecretClient

from infra.local.process import ServerProcess
from tests.support.static_token import StaticTokenCredential

pytestmark = pytest.mark.stack

CLOUD_URL = os.environ.get("CASTIEL_CONTRACT_KEY_VAULT_URL", "")
emulator_only = pytest.mark.skipif(bool(CLOUD_URL), reason="a feature of the emulator")


@pytest.fixture(scope="module")
def emulator() -> Iterator[ServerProcess]:
    with ServerProcess("keyvault") as server:
        yield server


TOKEN = "local"


def connect(server: ServerProcess, token: str = TOKEN, **options: Any) -> SecretClient:
    return SecretClient(
        server.ready["url"],
        StaticTokenCredential(token),
        connection_verify=server.ready["certificate"],
        verify_challenge_resource=False,
        **options,
    )


@pytest.fixture
async def vault(request: pytest.FixtureRequest) -> AsyncIterator[SecretClient]:
    if CLOUD_URL:
        async with DefaultAzureCredential() as credential, SecretClient(CLOUD_URL, credential) as client:
            yield client
        return
    async with connect(request.getfixturevalue("emulator")) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"castiel-{uuid.uuid4().hex[:12]}"


async def eventually(attempt: Callable[[], Awaitable[object]], within: float = 60.0) -> object:
    """A vault in the cloud settles deletions and purges after a while."""
    deadline = time.monotonic() + within
    while True:
        try:
            return await attempt()
        except HttpResponseError:
            if time.monotonic() > deadline or not CLOUD_URL:
                raise
            await asyncio.sleep(1)


async def test_each_set_makes_a_version_and_the_last_is_current(vault: SecretClient, name: str) -> None:
    """[objects]: a version is made whenever an object of the same name is set; without one, the current is read."""
    first = await vault.set_secret(name, "one", content_type="text/plain", tags={"kind": "token"})
    second = await vault.set_secret(name, "two")
    assert first.properties.version != second.properties.version
    assert (await vault.get_secret(name)).value == "two"
    old = await vault.get_secret(name, first.properties.version)
    assert (old.value, old.properties.content_type, old.properties.tags) == (
        "one",
        "text/plain",
        {"kind": "token"},
    )
    listed = [item async for item in vault.list_properties_of_secret_versions(name)]
    assert {item.version for item in listed} == {first.properties.version, second.properties.version}


async def test_a_value_survives_any_text(vault: SecretClient, name: str) -> None:
    """[secrets]: a value is a string; the vault adds no meaning to it."""
    value = '{"refreshToken": "a\\"b\\\\c", "é": "\N{SNOWMAN}\n"}'
    await vault.set_secret(name, value)
    assert (await vault.get_secret(name)).value == value


async def test_a_missing_secret_is_not_found(vault: SecretClient, name: str) -> None:
    """[rest] errors: SecretNotFound."""
    with pytest.raises(ResourceNotFoundError) as failure:
        await vault.get_secret(name)
    assert failure.value.error is not None
    assert failure.value.error.code == "SecretNotFound"
    await vault.set_secret(name, "value")
    with pytest.raises(ResourceNotFoundError):
        await vault.get_secret(name, uuid.uuid4().hex)
    with pytest.raises(ResourceNotFoundError):
        await vault.delete_secret(name + "-other")


async def test_names_are_case_insensitive(vault: SecretClient, name: str) -> None:
    """[objects]: object names are case-insensitive."""
    await vault.set_secret(name, "value")
    assert (await vault.get_secret(name.upper())).value == "value"


@pytest.mark.parametrize("wrong", ["under_score", "dot.ted", "sp ace", "x" * 128, "ümlaut"])
async def test_a_name_is_letters_digits_and_dashes_up_to_127(vault: SecretClient, wrong: str) -> None:
    """[objects]: a name is 1 to 127 characters of 0-9, a-z, A-Z and -."""
    with pytest.raises(HttpResponseError) as failure:
        await vault.set_secret(wrong, "value")
    assert failure.value.status_code == 400


async def test_the_longest_name_is_accepted(vault: SecretClient, name: str) -> None:
    """[objects]"""
    longest = name + "-" + "x" * (127 - len(name) - 1)
    await vault.set_secret(longest, "value")
    assert (await vault.get_secret(longest)).value == "value"


async def test_a_value_is_limited_to_25_kilobytes(vault: SecretClient, name: str) -> None:
    """[secrets]: values are limited to 25k bytes."""
    await vault.set_secret(name, "x" * 25_000)
    assert len((await vault.get_secret(name)).value or "") == 25_000
    with pytest.raises(HttpResponseError) as failure:
        await vault.set_secret(name, "x" * 25_601)
    assert failure.value.status_code == 400


async def test_a_disabled_secret_is_listed_but_not_read(vault: SecretClient, name: str) -> None:
    """[secrets] attributes: "enabled" says whether the secret's data can be retrieved."""
    stored = await vault.set_secret(name, "value")
    await vault.update_secret_properties(name, stored.properties.version, enabled=False)
    with pytest.raises(HttpResponseError) as failure:
        await vault.get_secret(name)
    assert failure.value.status_code == 403
    assert failure.value.error is not None
    assert (failure.value.error.innererror or {}).get("code") == "SecretDisabled"
    listed = [item async for item in vault.list_properties_of_secret_versions(name)]
    assert [item.enabled for item in listed] == [False]
    await vault.update_secret_properties(name, enabled=True)
    assert (await vault.get_secret(name)).value == "value"


async def test_expiry_and_not_before_only_inform(vault: SecretClient, name: str) -> None:
    """[secrets] date-time controlled operations: a secret's get works before nbf and after exp."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    expired, later = now - datetime.timedelta(days=1), now + datetime.timedelta(days=1)
    await vault.set_secret(name, "value", expires_on=expired)
    assert (await vault.get_secret(name)).properties.expires_on == expired
    await vault.set_secret(name, "value", not_before=later)
    assert (await vault.get_secret(name)).properties.not_before == later


async def test_an_update_changes_properties_and_neither_value_nor_version(
    vault: SecretClient, name: str
) -> None:
    """[rest] update-secret: attributes not in the request are left unchanged; the value can't be changed."""
    stored = await vault.set_secret(name, "value", tags={"rotation": "1"}, content_type="text/plain")
    updated = await vault.update_secret_properties(name, tags={"rotation": "2"})
    assert updated.version == stored.properties.version
    read = await vault.get_secret(name)
    assert (read.value, read.properties.tags, read.properties.content_type) == (
        "value",
        {"rotation": "2"},
        "text/plain",
    )
    with pytest.raises(ResourceNotFoundError):
        await vault.update_secret_properties(name, uuid.uuid4().hex, tags={})


async def test_lists_are_paged_by_25_and_carry_no_values(vault: SecretClient, name: str) -> None:
    """[rest] get-secrets: at most 25 a page, the next by nextLink; values and versions are not in the list."""
    names = {f"{name}-{number:02d}" for number in range(27)}
    await asyncio.gather(*(vault.set_secret(each, "value") for each in names))
    listed = {item.name: item async for item in vault.list_properties_of_secrets()}
    assert names <= set(listed)
    assert all(listed[each].version is None for each in names)
    pages = [[item async for item in page] async for page in vault.list_properties_of_secrets().by_page()]
    assert max(map(len, pages)) <= 25
    assert len(pages) > 1
    small = [
        [item async for item in page]
        async for page in vault.list_properties_of_secrets(max_page_size=10).by_page()
    ]
    assert max(map(len, small)) == 10


async def test_versions_are_paged_too(vault: SecretClient, name: str) -> None:
    """[rest] get-secret-versions"""
    made = {(await vault.set_secret(name, str(number))).properties.version for number in range(26)}
    listed = [item.version async for item in vault.list_properties_of_secret_versions(name)]
    assert set(listed) == made
    assert len(listed) == 26


async def test_a_deleted_secret_is_recoverable_and_holds_its_name(vault: SecretClient, name: str) -> None:
    """[soft]: a deleted object can only be listed, recovered or purged; its name can't be reused meanwhile."""
    first = await vault.set_secret(name, "one")
    await vault.set_secret(name, "two")
    deleted = await vault.delete_secret(name)
    assert deleted.recovery_id is not None
    assert deleted.scheduled_purge_date is not None
    assert deleted.deleted_date is not None
    assert 7 <= (deleted.scheduled_purge_date - deleted.deleted_date).days <= 90
    with pytest.raises(ResourceNotFoundError):
        await vault.get_secret(name)
    with pytest.raises(ResourceExistsError) as failure:
        await vault.set_secret(name, "three")
    assert failure.value.error is not None
    assert (failure.value.error.innererror or {}).get("code") == "ObjectIsDeletedButRecoverable"
    assert name in [item.name async for item in vault.list_deleted_secrets()]
    assert name not in [item.name async for item in vault.list_properties_of_secrets()]

    await vault.recover_deleted_secret(name)
    assert (await vault.get_secret(name)).value == "two"
    assert (await vault.get_secret(name, first.properties.version)).value == "one"
    with pytest.raises(ResourceNotFoundError):
        await vault.get_deleted_secret(name)


async def test_a_purged_secret_is_gone_and_frees_its_name(vault: SecretClient, name: str) -> None:
    """[soft]: purge deletes for good."""
    old = await vault.set_secret(name, "one")
    await vault.delete_secret(name)
    await vault.purge_deleted_secret(name)
    await eventually(lambda: vault.set_secret(name, "two"))
    assert (await vault.get_secret(name)).value == "two"
    with pytest.raises(ResourceNotFoundError):
        await vault.get_secret(name, old.properties.version)
    with pytest.raises(ResourceNotFoundError):
        await vault.purge_deleted_secret(name)


@emulator_only
async def test_a_call_without_a_token_is_challenged(emulator: ServerProcess) -> None:
    """[auth]: 401 with WWW-Authenticate naming the authority and the resource a token is needed for."""
    trust = ssl.create_default_context(cafile=emulator.ready["certificate"])
    url = emulator.ready["url"] + "/secrets/any?api-version=7.4"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=trust) as response:
        assert response.status == 401
        challenge = response.headers["WWW-Authenticate"]
    assert challenge.startswith("Bearer authorization=")
    assert 'resource="https://vault.azure.net"' in challenge


@emulator_only
async def test_a_wrong_token_is_refused(emulator: ServerProcess, name: str) -> None:
    """[auth]"""
    async with connect(emulator, token="not the token") as client:
        with pytest.raises(ClientAuthenticationError):
            await client.get_secret(name)


@emulator_only
async def test_an_untrusted_certificate_is_refused_by_the_client(emulator: ServerProcess, name: str) -> None:
    async with SecretClient(
        emulator.ready["url"], StaticTokenCredential("local"), verify_challenge_resource=False, retry_total=0
    ) as client:
        with pytest.raises(ServiceRequestError):
            await client.get_secret(name)


async def order_fault(server: ServerProcess, **fault: Any) -> None:
    trust = ssl.create_default_context(cafile=server.ready["certificate"])
    url = server.ready["url"] + "/_faults"
    async with aiohttp.ClientSession() as session, session.post(url, json=fault, ssl=trust) as response:
        assert response.status == 200, await response.text()


@emulator_only
async def test_throttling_is_429_with_retry_after_and_the_client_waits(
    emulator: ServerProcess, name: str
) -> None:
    """[throttle]: 429 when a limit is met; clients back off and try again."""
    async with connect(emulator) as client:
        await client.set_secret(name, "value")
        await order_fault(emulator, status=429, count=2, retryAfter=0.1)
        begin = time.monotonic()
        assert (await client.get_secret(name)).value == "value"
        assert time.monotonic() - begin >= 0.2


@emulator_only
async def test_an_ordered_failure_reaches_the_caller_when_retries_are_off(
    emulator: ServerProcess, name: str
) -> None:
    async with connect(emulator, retry_total=0) as client:
        await client.set_secret(name, "value")
        await order_fault(emulator, status=503, method="GET", path=f"/secrets/{name}")
        with pytest.raises(HttpResponseError) as failure:
            await client.get_secret(name)
        assert failure.value.status_code == 503
        assert (await client.get_secret(name)).value == "value"


def certificate_in(folder: Path, server: ServerProcess) -> bytes:
    certificate = Path(server.ready["certificate"])
    assert certificate.parent == folder.resolve()
    return certificate.read_bytes()


@emulator_only
async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    with ServerProcess("keyvault", data=tmp_path) as server:
        trusted = certificate_in(tmp_path, server)
        async with connect(server) as client:
            await client.set_secret("kept", "one")
            await client.set_secret("kept", "two")
            await client.set_secret("deleted", "value")
            await client.delete_secret("deleted")
            server.kill()
            server.restart()
            assert certificate_in(tmp_path, server) == trusted
            assert (await client.get_secret("kept")).value == "two"
            assert len([item async for item in client.list_properties_of_secret_versions("kept")]) == 2
            await client.recover_deleted_secret("deleted")
            assert (await client.get_secret("deleted")).value == "value"
