"""A run over the local stack of all that has to do with secrets, and then a search for every one of them: in logs,
errors, results, messages, documents, events, Redis and the command's output. Every other test over the stack ends
with the same search of its own (``tests/support/app.py``)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from castiel.bootstrap import Services
from castiel.domain.connections import Connection
from castiel.domain.credentials import CredentialType
from castiel.domain.results import PushResult
from castiel.domain.webhooks import WebhookRequest
from castiel.errors import CastielError
from castiel.services.credentials.management import NewCredential
from infra.local.sample import OTHERS, SALESFORCE, TENANT, make_due, plant, webhook_secret
from tests.support.app import InProcess, running_services
from tests.support.cli import Cli
from tests.support.keys import rsa_pair
from tests.support.leaks import documents, events, leaks, redis_contents
from tests.support.leaks import messages as waiting
from tests.support.log_watch import Everything
from tests.support.secrets import vault_secrets

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """Every log line of this process: Castiel's from DEBUG on, the libraries' from INFO on."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Everything())
    root, castiel = logging.getLogger(), logging.getLogger("castiel")
    before = root.level, castiel.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    castiel.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before[0])
    castiel.setLevel(before[1])


@pytest.fixture
async def app() -> AsyncIterator[InProcess]:
    async with running_services() as running:
        yield running


async def test_no_secret_is_anywhere_but_in_the_vault(app: InProcess, said: io.StringIO) -> None:
    services = app.services
    found: dict[str, str] = {}
    secrets = set(await vault_secrets(services))
    errors: list[BaseException] = []
    messages: list[str] = []
    for work in (_run(app, errors, messages), _sign(app, errors), _push(app, messages), _fail(app, errors)):
        secrets |= await work
        secrets |= await vault_secrets(services)

    found["logs"] = said.getvalue()
    found["errors"] = "".join("".join(traceback.format_exception(e)) + repr(e) for e in errors)
    found["messages"] = "".join(messages)
    found["documents"] = await documents(services)
    found["redis"] = await redis_contents(services)
    found["events"] = await events(services)
    found["command"] = await asyncio.to_thread(_command, app)
    # Each place was really looked at.
    assert "Credential cred-sf-001 requires reauth" in found["logs"]
    assert len(errors) >= 4
    assert "sync-001" in found["messages"]
    assert "cred-sf-001" in found["documents"]
    assert "castiel:" in found["redis"]
    assert "reauth_required" in found["events"]
    assert "waits for re-authorisation" in found["command"]
    assert len(secrets) > 15
    assert leaks(found, secrets) == []


async def _run(app: InProcess, errors: list[BaseException], messages: list[str]) -> set[str]:
    """What a day brings: records pulled, tokens refreshed, deliveries taken and refused, a secret rotated."""
    services = app.services
    async with app.control() as control:
        await plant(services, control)
        await control.policy(rotate_refresh_tokens=True)
        for sample in OTHERS:
            async with app.control(sample.integration_id) as other:
                await plant(services, other, sample)
        await make_due(services)
        await services.scheduler.run()
        for message in await app.take("sync-inbound", 1, wait=10):
            messages.append(message.body.decode() + repr(message))
            await services.inbound_messages.handle(message)
        await control.expire_access_tokens()
        connection = await services.stores.connections.get(TENANT, SALESFORCE.connection_id)
        await services.integrations.adapter(connection).check()
        audit = await services.token_refresher.run()
        assert (audit.failed, audit.successful >= 2) == (0, True)
        for sample in OTHERS:
            await services.credentials.refresh_oauth_token(sample.tenant, sample.credential_id)
        messages.append(repr(audit))
        record = (await control.records("Contact", limit=1))[0]
        await _deliver(services, record["Id"], await webhook_secret(services))
        await _deliver(services, record["Id"], "a-wrong-webhook-secret")
        messages.append(await waiting(app.stack, services))
        key = NewCredential(
            "key-1", TENANT, "notion", CredentialType.API_KEY, SecretStr("made-up-api-key-for-leaks-1")
        )
        await services.credentials.manage.store(key)
        await services.credentials.manage.rotate(TENANT, "key-1", SecretStr("made-up-api-key-for-leaks-2"))
        messages.append(repr(await services.credentials.manage.list(TENANT)))
        messages.append(repr(await services.credentials.get_credential(TENANT, SALESFORCE.credential_id)))
    # The version before a rotation can no longer be read from the vault.
    return {"made-up-api-key-for-leaks-1"}


async def _sign(app: InProcess, errors: list[BaseException]) -> set[str]:
    """A service account that is known, and one whose key is not: what it signs with is searched line by line."""
    services, email = app.services, "leaks@project.iam.gserviceaccount.example.com"
    (known, public), (stranger, _) = rsa_pair(), rsa_pair()
    async with app.control("google") as control:
        await control.policy(service_accounts={email: {"publicKey": public}})
        for name, private in (("known", known), ("stranger", stranger)):
            key = NewCredential(
                f"key-{name}", TENANT, "google", CredentialType.CLIENT_PRIVATE_KEY, SecretStr(private)
            )
            await services.credentials.manage.store(key)
            settings = {"refreshMethod": "serviceAccount", "clientEmail": email}
            signing = NewCredential(
                f"cred-{name}",
                TENANT,
                "google",
                CredentialType.OAUTH2,
                connection_id=f"conn-{name}",
                companion_ids=(key.id,),
                settings=settings,
            )
            await services.credentials.manage.store(signing)
            connection = Connection(
                id=f"conn-{name}",
                tenant_id=TENANT,
                integration_id="google",
                credential_id=signing.id,
                settings={"baseUrl": control.url},
            )
            adapter = services.integrations.adapter(await services.stores.connections.create(connection))
            if name == "known":
                await adapter.check()
            else:
                errors.append(await _error(adapter.check()))
    return {line for pem in (known, stranger) for line in pem.splitlines() if "KEY-----" not in line}


async def _push(app: InProcess, messages: list[str]) -> set[str]:
    """Changes on their way out: one arrives, one is refused and given up."""
    services = app.services
    for last_name in ("Pushed", "N" * 200):
        await services.local_changes.create(
            TENANT, "contact", {"lastName": last_name}, correlation_id="leaks-push"
        )
    taken = await app.take("sync-outbound", 100, wait=2)
    messages += [message.body.decode() + repr(message) for message in taken]
    await services.outbound_worker.handle(taken)
    since = datetime.now(UTC) - timedelta(hours=1)
    pushed = [r async for r in services.stores.results.of_tenant(TENANT, since) if isinstance(r, PushResult)]
    assert {result.success for result in pushed} == {True, False}
    return set()


async def _fail(app: InProcess, errors: list[BaseException]) -> set[str]:
    """And what goes wrong: a broken secret, a dead grant, a strange consent, a vault that is away."""
    services = app.services
    async with app.control() as control:
        begun = await services.authorization.begin(
            await services.stores.connections.get(TENANT, SALESFORCE.connection_id), "http://127.0.0.1:9/cb"
        )
        errors.append(await _error(services.authorization.complete("bad-code", begun.state, begun.verifier)))
        await control.revoke()
        await control.expire_access_tokens()
        connection = await services.stores.connections.get(TENANT, SALESFORCE.connection_id)
        errors.append(await _error(services.integrations.adapter(connection).check()))
        broken = '{"accessToken": {"made-up-broken-token-for-leaks": 1}}'
        credential = await services.stores.credentials.get(TENANT, "key-1")
        credential.type = CredentialType.OAUTH2
        await services.stores.credentials.replace(credential)
        await services.vault.set(credential.secret_name, broken)
        services.credentials.reader.forget((TENANT, "key-1"))
        errors.append(await _error(services.credentials.get_credential(TENANT, "key-1")))
        await services.token_refresher.run()
        settings = services.settings
        trust = ssl.create_default_context(cafile=settings.key_vault_ca_file)
        async with httpx.AsyncClient(verify=trust, trust_env=False) as vault:
            await vault.post(f"{settings.key_vault_url}_faults", json={"status": 503, "count": 9})
            errors.append(await _error(services.vault.get("credential-cred-sf-001")))
            await vault.delete(f"{settings.key_vault_url}_faults")
    return {begun.verifier.get_secret_value()}


async def _error(work: Any) -> BaseException:
    try:
        await work
    except CastielError as error:
        return error
    raise AssertionError("it should have failed")


async def _deliver(services: Services, record_id: str, secret: str) -> None:
    event = {
        "deliveryId": f"d-{secret[:2]}",
        "event": "contact.updated",
        "entity": "Contact",
        "id": record_id,
    }
    body = json.dumps(event).encode()
    digest = hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    await services.webhook_receiver.handle(
        WebhookRequest(SALESFORCE.registration_id, "events", {"x-salesforce-content-sha256": digest}, body)
    )


COMMANDS = (
    "connections list -t tenant-1",
    "connections show conn-sf-001 -t tenant-1",
    "connections check -t tenant-1",
    "credentials list -t tenant-1",
    "credentials show cred-sf-001 -t tenant-1",
    "credentials show key-1 -t tenant-1",
    "credentials health -t tenant-1",
    "webhooks show reg-123 -t tenant-1",
    "webhooks deliveries reg-123 -t tenant-1",
    "results list -t tenant-1",
    "dlq list",
    "limits show -t tenant-1",
    "providers list",
    "tail -t tenant-1 --since 1h --for 1s",
    "doctor -t tenant-1",
)


def _command(app: InProcess) -> str:
    """What the operator's command says of all this, to people and to programs."""
    cli = Cli(app.stack)
    for words in COMMANDS:
        cli(*words.split())
        cli(*words.split(), "--json")
    return "".join(cli.said)
