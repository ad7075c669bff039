"""``castiel webhooks``: an endpoint from its creation to its end, its deliveries through the real door."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from castiel.bootstrap import Services
from castiel.domain.connections import Connection
from castiel.domain.credentials import CredentialType, TokenSecret
from castiel.errors import RecordNotFound
from castiel.services.credentials.management import NewCredential
from infra.local.process import CHECKOUT, ServerProcess
from infra.local.sandbox.client import SandboxControl
from infra.local.settings import write_settings_file
from infra.local.stack import LocalStack
from tests.support.cli import Cli
from tests.support.leaks import assert_nothing_leaked
from tests.support.servicebus import eventually

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TENANT = "acme"


@dataclass
class Door(Cli):
    """The command beside a running functions host."""

    url: str = ""

    def deliver(self, path: str, secret: str, delivery: str) -> int:
        """Send an event as Salesforce's Apex callout would; the status of the answer."""
        body = json.dumps(
            {"deliveryId": delivery, "event": "contact.updated", "entity": "Contact", "id": "1"}
        )
        signature = hmac.digest(secret.encode(), body.encode(), hashlib.sha256).hex()
        headers = {"X-Salesforce-Content-SHA256": signature}
        return httpx.post(self.url + path, content=body, headers=headers, trust_env=False).status_code


@pytest.fixture(scope="module")
def castiel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    file = Path(tmp_path_factory.mktemp("webhooks"), "local.settings.json")
    with LocalStack() as stack:
        off = {
            f"AzureWebJobs.{name}.Disabled": "true" for name in ("SyncOutboundWorker", "SyncInboundWorker")
        }
        write_settings_file(file, {**stack.environment(), **off})
        host = ServerProcess("host", port=0, arguments=["--app-dir", str(CHECKOUT), "--settings", str(file)])
        host.start()
        try:
            cli = Door(stack, url=f"http://127.0.0.1:{host.port}")
            cli.does(plant)
            yield cli
            # What the command made was shown once; it is nowhere else.
            log = host.log()
            cli.does(lambda services: assert_nothing_leaked(stack, services, log))
        finally:
            host.stop(40.0)


async def plant(services: Services) -> None:
    for connection_id, integration in (("conn-sf", "salesforce"), ("conn-no", "notion")):
        await services.stores.connections.create(
            Connection(
                id=connection_id, tenant_id=TENANT, integration_id=integration, credential_id="cred-none"
            )
        )


def create(
    castiel: Door, *more: str, connection: str = "conn-sf", stdin: str | None = None
) -> dict[str, str]:
    made = castiel.json("webhooks", "create", "-t", TENANT, "--connection", connection, *more, stdin=stdin)
    return dict(made)


def test_an_endpoint_takes_what_is_signed_with_the_secret_that_was_shown(castiel: Door) -> None:
    made = create(castiel, "--url", castiel.url, "--event", "contact.*")
    assert made["address"] == castiel.url + made["path"]
    assert len(made["secret"]) >= 32
    verified = castiel.json("webhooks", "verify", made["id"], "-t", TENANT, "--url", castiel.url)
    assert (verified["ok"], verified["status"]) == (True, 200)
    assert castiel.deliver(made["path"], made["secret"], "d-1") == 200
    assert castiel.deliver(made["path"], "somebody-else's-guess", "d-2") == 401

    listed = castiel.json("webhooks", "deliveries", made["id"], "-t", TENANT)
    assert sorted(each["status"] for each in listed) == [200, 200, 401]
    assert "mismatch" in castiel("webhooks", "deliveries", made["id"], "-t", TENANT).out
    verdict = castiel("webhooks", "health", made["id"], "-t", TENANT)
    assert verdict.code == 0
    assert "Signatures don't match" in verdict.out
    assert [each["id"] for each in castiel.json("webhooks", "list", "-t", TENANT)] == [made["id"]]
    assert castiel.json("webhooks", "list", "-t", "globex") == []
    delete(castiel, made["id"])


@pytest.mark.parametrize("url", ["localhost:7071", "castiel.example.com", "http://", "https://[::1"])
def test_an_address_that_is_none_makes_no_endpoint(castiel: Door, url: str) -> None:
    refused = castiel("webhooks", "create", "-t", TENANT, "--connection", "conn-sf", "--url", url)
    assert (refused.code, "--url: give the app's address" in refused.err) == (2, True)
    assert castiel.json("webhooks", "list", "-t", TENANT) == []


def delete(castiel: Door, webhook_id: str) -> None:
    unasked = castiel("webhooks", "delete", webhook_id, "-t", TENANT)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    castiel.json("webhooks", "delete", webhook_id, "-t", TENANT, "--yes")
    assert castiel("webhooks", "show", webhook_id, "-t", TENANT).code == 3


def test_a_rotation_shows_the_new_secret_and_accepts_both_until_it_is_confirmed_and_over(
    castiel: Door,
) -> None:
    made = create(castiel)
    rotated = castiel.json("webhooks", "rotate", made["id"], "-t", TENANT)
    assert rotated["secret"] != made["secret"]
    assert castiel.deliver(made["path"], made["secret"], "r-1") == 200
    assert castiel.deliver(made["path"], rotated["secret"], "r-2") == 200
    # Whoever lost it has no other way to learn it.
    again = castiel.json("webhooks", "rotate", made["id"], "-t", TENANT)
    assert again["secret"] == rotated["secret"]

    castiel.json("webhooks", "confirm", made["id"], "-t", TENANT)
    assert castiel.json("webhooks", "show", made["id"], "-t", TENANT)["rotation"]["confirmed"] is True
    over = castiel("webhooks", "rotate", made["id"], "-t", TENANT)
    assert (over.code, over.out) == (1, "")
    said = castiel.said
    for secret in (made["secret"], rotated["secret"]):
        shown = sum(secret in text for text in said)
        assert shown == {made["secret"]: 1, rotated["secret"]: 2}[secret]
    delete(castiel, made["id"])


def test_a_paused_one_answers_as_if_there_were_none_and_another_tenant_can_do_nothing(castiel: Door) -> None:
    made = create(castiel)
    castiel.json("webhooks", "pause", made["id"], "-t", TENANT)
    assert castiel.json("webhooks", "show", made["id"], "-t", TENANT)["enabled"] is False
    assert castiel.deliver(made["path"], made["secret"], "p-1") == 404
    castiel.json("webhooks", "resume", made["id"], "-t", TENANT)
    for verb in ("show", "rotate", "confirm", "pause", "resume", "health", "deliveries", "reopen", "delete"):
        assert castiel("webhooks", verb, made["id"], "-t", "globex").code == 3, verb
    assert castiel("webhooks", "verify", made["id"], "-t", "globex", "--url", castiel.url).code == 3
    delete(castiel, made["id"])


def test_a_secret_of_the_senders_own_comes_by_stdin_and_is_never_said(castiel: Door) -> None:
    own = "whsec-of-the-sender-0123456789"
    made = create(castiel, "--own-secret", stdin=f"{own}\n")
    assert "secret" not in made
    assert castiel.deliver(made["path"], own, "o-1") == 200
    assert own not in "".join(castiel.said)
    nothing = castiel("webhooks", "create", "-t", TENANT, "--connection", "conn-sf", "--own-secret", stdin="")
    assert (nothing.code, "stdin" in nothing.err) == (2, True)
    wrong = castiel(
        "webhooks", "create", "-t", TENANT, "--connection", "conn-sf", "--scheme", '{"algorithm": "rot13"}'
    )
    assert (wrong.code, wrong.err.startswith("InvalidInput: scheme")) == (2, True)
    delete(castiel, made["id"])


def test_notions_waits_for_the_token_and_can_be_reopened(castiel: Door) -> None:
    made = create(castiel, connection="conn-no")
    assert (made["pendingVerification"], "secret" in made) == (True, False)
    castiel.json("webhooks", "reopen", made["id"], "-t", TENANT, "--yes")
    assert castiel("webhooks", "verify", made["id"], "-t", TENANT, "--url", castiel.url).code == 2
    delete(castiel, made["id"])


async def connect_github(services: Services, control: SandboxControl) -> None:
    """A connection to the sandboxed GitHub with a live token, and a second one that is paused."""
    await control.seed(Repository=1)
    token = (await control.grant())["access_token"]
    await services.credentials.manage.store(
        NewCredential(
            "cred-gh", TENANT, "github", CredentialType.OAUTH2, TokenSecret(access_token=SecretStr(token))
        )
    )
    await services.stores.connections.create(
        Connection(
            id="conn-gh",
            tenant_id=TENANT,
            integration_id="github",
            credential_id="cred-gh",
            settings={"baseUrl": control.url, "repositories": ["octo-org/engine"]},
        )
    )


def test_github_makes_the_webhook_itself_and_forgets_it_again(castiel: Door) -> None:
    async def connect(services: Services) -> None:
        url = services.settings.castiel_sandbox_url or ""
        async with SandboxControl(url, "github") as control:
            await connect_github(services, control)

    castiel.does(connect)
    there = ("--at-provider", "--url", castiel.url)
    made = create(castiel, *there, "--event", "issues.*", connection="conn-gh")
    assert "secret" not in made
    settings = castiel.json("webhooks", "show", made["id"], "-t", TENANT)["settings"]
    assert settings["repository"] == "octo-org/engine"

    async def ping(control: SandboxControl) -> int:
        sent = await control.send_event(made["address"], event="ping", hook_id=settings["hookId"])
        return int(sent["status"])

    # Signed with what only GitHub and the vault know.
    assert castiel.at("github", ping) == 200
    assert castiel.leaks() == []

    castiel.json("connections", "pause", "conn-gh", "-t", TENANT)
    refused = castiel("webhooks", "delete", made["id"], "-t", TENANT, "--yes")
    assert (refused.code, "here alone" in refused.err) == (1, True)
    castiel.json("connections", "resume", "conn-gh", "-t", TENANT)
    gone = castiel.json("webhooks", "delete", made["id"], "-t", TENANT, "--yes")
    assert gone["atProvider"] is True

    async def left(services: Services) -> None:
        connection = await services.stores.connections.get(TENANT, "conn-gh")
        path = f"/repos/octo-org/engine/hooks/{settings['hookId']}"
        with pytest.raises(RecordNotFound):
            await services.integrations.adapter(connection).api.call("DELETE", path, operation="delete")

    castiel.does(left)


async def connect_google(services: Services) -> None:
    """A connection to the sandboxed Google account with a live token."""
    async with SandboxControl(services.settings.castiel_sandbox_url or "", "google") as control:
        token = (await control.grant())["access_token"]
        await services.credentials.manage.store(
            NewCredential(
                "cred-go", TENANT, "google", CredentialType.OAUTH2, TokenSecret(access_token=SecretStr(token))
            )
        )
        await services.stores.connections.create(
            Connection(
                id="conn-go",
                tenant_id=TENANT,
                integration_id="google",
                credential_id="cred-go",
                settings={"baseUrl": control.url},
            )
        )


def test_a_calendars_channel_is_made_renewed_by_the_scheduler_rotated_and_closed(castiel: Door) -> None:
    castiel.does(connect_google)
    there = ("--at-provider", "--url", "https://castiel.example.com")
    made = create(castiel, *there, connection="conn-go")
    assert "secret" not in made

    def shown() -> dict[str, Any]:
        return dict(castiel.json("webhooks", "show", made["id"], "-t", TENANT))

    def status(number: int, state: str = "exists") -> int:
        async def notify(control: SandboxControl) -> int:
            channel = f"{made['id']}-{number}"
            url = castiel.url + made["path"]
            return int((await control.send_event(url, channel_id=channel, state=state))["status"])

        return int(castiel.at("google", notify))

    # The token is what only Google and the vault know.
    assert [status(1, "sync"), status(1)] == [200, 200]
    assert "recommendations" not in castiel.json("webhooks", "health", made["id"], "-t", TENANT)[0]

    async def near_its_end(services: Services) -> None:
        registration = await services.stores.registrations.get(made["id"])
        assert registration.renewal is not None
        registration.renewal.renew_from = registration.renew_at = datetime.now(UTC) - timedelta(minutes=1)
        await services.stores.registrations.replace(registration)
        assert (await services.scheduler.run()).webhooks_made == 1
        assert (await services.scheduler.run()).webhooks_made == 0

    castiel.does(near_its_end)
    found = shown()
    assert (found["settings"]["channelNumber"], found["renewal"]["made"]) == (2, 2)
    assert [each["settings"]["channelNumber"] for each in found["renewal"]["past"]] == [1]
    assert [status(1), status(2)] == [200, 200]

    assert (
        "TokenRefresher has the provider use it"
        in castiel("webhooks", "rotate", made["id"], "-t", TENANT).out
    )

    async def rotation(services: Services) -> None:
        await services.secret_rotation.run()

    castiel.does(rotation)
    found = shown()
    assert (found["rotation"]["confirmed"], found["settings"]["channelNumber"]) == (True, 3)
    assert status(2) == 200

    async def receivers_have_read_the_new_token(control: SandboxControl) -> None:
        async def taken() -> bool:
            sent = await control.send_event(castiel.url + made["path"], channel_id=f"{made['id']}-3")
            return bool(sent["status"] == 200)

        await eventually(taken, within=60)

    castiel.at("google", receivers_have_read_the_new_token)
    assert castiel.leaks() == []

    gone = castiel.json("webhooks", "delete", made["id"], "-t", TENANT, "--yes")
    assert gone["atProvider"] is True

    async def left(services: Services) -> None:
        adapter = services.integrations.adapter(await services.stores.connections.get(TENANT, "conn-go"))
        url = f"{adapter.connection.settings['baseUrl']}/calendar/v3/channels/stop"
        for number in (1, 2, 3):
            body = {"id": f"{made['id']}-{number}", "resourceId": found["settings"]["resourceId"]}
            reply = await adapter.api.call("POST", url, json_body=body, allow=(404,))
            assert reply.status == 404

    castiel.does(left)


def test_what_a_provider_does_not_make_leaves_nothing_behind(castiel: Door) -> None:
    before = castiel.json("webhooks", "list", "-t", TENANT)
    url = ("--at-provider", "--url", castiel.url)
    by_hand = castiel("webhooks", "create", "-t", TENANT, "--connection", "conn-sf", *url)
    assert (by_hand.code, "by hand" in by_hand.err) == (2, True)
    plain = castiel("webhooks", "create", "-t", TENANT, "--connection", "conn-go", *url)
    assert (plain.code, "https://" in plain.err) == (2, True), plain
    for wrong, code in ((["--set", "repository=octo-org/nobody"], 1), (["--event", "cow.*"], 2)):
        refused = castiel("webhooks", "create", "-t", TENANT, "--connection", "conn-gh", *url, *wrong)
        assert refused.code == code, refused
    assert castiel("webhooks", "create", "-t", TENANT, "--connection", "conn-gh", "--at-provider").code == 2
    assert castiel.json("webhooks", "list", "-t", TENANT) == before
    assert castiel.json("credentials", "list", "-t", TENANT, "--type", "webhookSecret") == []
