"""``castiel connections change | delete``: over the stores, vault and providers of the local stack."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from castiel.bootstrap import Services
from castiel.domain.credentials import CredentialType
from castiel.services.credentials.management import NewCredential
from castiel.services.sync_tasks import connection_lease
from infra.local.sample import SALESFORCE, TENANT, plant
from infra.local.sandbox.client import SandboxControl
from tests.support.cli import Answer, Cli, Terminal, running_cli

pytestmark = [pytest.mark.stack, pytest.mark.slow]

CONNECTION = SALESFORCE.connection_id
OF = (CONNECTION, "-t", TENANT)


@pytest.fixture(scope="module")
def castiel() -> Iterator[Cli]:
    with running_cli() as cli:
        yield cli


@pytest.fixture
def planted(castiel: Cli) -> Cli:
    """The sample company's connection with its credential, its task and a webhook; the last test may have ended it."""

    async def work(services: Services) -> None:
        async with SandboxControl(services.settings.castiel_sandbox_url or "", "salesforce") as control:
            await plant(services, control)

    castiel.does(work)
    return castiel


def change(castiel: Cli, *options: str) -> Answer:
    return castiel("connections", "change", *OF, *options)


def shown(castiel: Cli) -> dict[str, Any]:
    return dict(castiel.json("connections", "show", *OF))


def test_a_change_is_checked_and_stored(planted: Cli) -> None:
    before = shown(planted)
    done = change(
        planted,
        *("--name", "Sales", "--entity", "Lead=person", "--remove-entity", "Account"),
        *("--direction", "Contact=pull", "--direction", "Lead=push", "--disable", "Lead"),
        *("--set", "apiVersion=v62.0", "--conflicts", "manual", "--no-deduplicate"),
    )
    assert done.code == 0, done
    found = shown(planted)
    assert (found["name"], found["deduplicate"]) == ("Sales", False)
    assert found["conflictPolicy"] == {"strategy": "manual"}
    assert found["settings"] == before["settings"] | {"apiVersion": "v62.0"}
    assert [
        (e["entity"], e["shardType"], e["direction"], e.get("enabled", True)) for e in found["entities"]
    ] == [
        ("Contact", "contact", "pull", True),
        ("Lead", "person", "push", False),
    ]
    assert planted("connections", "check", *OF).code == 0

    undone = planted.json(
        *("connections", "change", *OF, "--name", "", "--remove-entity", "Lead", "--entity", "Account"),
        *("--direction", "Contact=bidirectional", "--unset", "apiVersion", "--conflicts", "default"),
        "--deduplicate",
    )
    assert {"name", "conflictPolicy"}.isdisjoint(undone)
    assert undone["settings"] == before["settings"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "say what to change"),
        (["--set", "baseurl=https://example.com"], "did you mean baseUrl?"),
        (["--entity", "Contact=person@no-such-schema"], "no such schema"),
        (["--direction", "Contact=sideways"], "Contact=pull"),
        (["--enable", "Contact", "--disable", "Contact"], "is in both"),
        (["--remove-entity", "Lead"], "has no 'Lead'"),
        (["--conflicts", "newest"], "conflictPolicy"),
    ],
)
def test_what_is_wrong_with_a_change_is_said_and_nothing_is_stored(
    planted: Cli, options: list[str], says: str
) -> None:
    before = shown(planted)
    refused = change(planted, *options)
    assert (refused.code, says in refused.err) == (2, True), refused
    assert shown(planted) == before


def test_another_tenant_can_change_and_delete_nothing(planted: Cli) -> None:
    assert planted("connections", "change", CONNECTION, "-t", "globex", "--name", "Mine").code == 3
    assert planted("connections", "delete", CONNECTION, "-t", "globex", "--yes").code == 3


def test_a_connection_goes_with_what_is_said_to_go_with_it(planted: Cli) -> None:
    webhook = planted.json("webhooks", "create", "-t", TENANT, "--connection", CONNECTION)["id"]
    delete = ("connections", "delete", *OF)
    refused = planted(*delete, "--yes")
    assert refused.code == 1
    assert all(
        each in refused.err for each in (SALESFORCE.task_id, webhook, "--with-tasks", "--with-webhooks")
    )
    unasked = planted(*delete, "--with-tasks", "--with-webhooks")
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert [each["id"] for each in shown(planted)["tasks"]] == [SALESFORCE.task_id]

    async def shard_while_syncing(services: Services) -> str:
        """A record that came from the connection; and a worker that is at it while somebody deletes."""
        shard = await services.local_changes.create(
            TENANT, "contact", {"lastName": "Lovelace"}, correlation_id="before-the-end"
        )
        async with services.leases.hold(connection_lease(TENANT, CONNECTION), seconds=30):
            busy = await _in_a_thread(planted, *delete, "--with-tasks", "--with-webhooks", "--yes")
        assert (busy.code, "is being synced" in busy.err) == (1, True)
        return shard.id

    shard_id = planted.does(shard_while_syncing)
    gone = planted.json(*delete, "--with-tasks", "--with-webhooks", "--yes")
    assert gone["tasks"] == [SALESFORCE.task_id]
    assert webhook in gone["webhooks"]
    assert gone["credentialId"] is None
    assert planted("connections", "show", *OF).code == 3
    assert planted("tasks", "show", SALESFORCE.task_id, "-t", TENANT).code == 3
    assert planted.json("webhooks", "list", "-t", TENANT) == []
    kept = planted.json("credentials", "show", SALESFORCE.credential_id, "-t", TENANT)
    assert (kept["enabled"], kept["connections"]) == (True, [])

    async def stored(services: Services) -> str:
        return str((await services.stores.shards.get(TENANT, shard_id)).fields["lastName"])

    assert planted.does(stored) == "Lovelace"


async def _in_a_thread(castiel: Cli, *arguments: str) -> Answer:
    """The command has an event loop of its own."""
    return await asyncio.to_thread(castiel, *arguments)


def test_the_credential_goes_only_when_it_is_said_and_is_nobody_elses(planted: Cli) -> None:
    async def companion(services: Services) -> None:
        await services.credentials.manage.store(
            NewCredential(
                "names-it",
                TENANT,
                "salesforce",
                CredentialType.API_KEY,
                companion_ids=(SALESFORCE.credential_id,),
                secret=SecretStr("made-up-key-of-acme"),
            )
        )

    planted.does(companion)
    words = ("connections", "delete", *OF, "--with-tasks", "--with-webhooks", "--with-credential", "--yes")
    refused = planted(*words)
    assert (refused.code, "names-it" in refused.err) == (1, True)
    assert shown(planted)["status"] == "active"
    planted.json("credentials", "delete", "names-it", "-t", TENANT, "--yes")
    assert planted.json(*words)["credentialId"] == SALESFORCE.credential_id
    assert planted("credentials", "show", SALESFORCE.credential_id, "-t", TENANT).code == 3


def test_a_person_is_asked_and_may_say_no(planted: Cli) -> None:
    words = ("connections", "delete", *OF, "--with-tasks", "--with-webhooks")
    with Terminal(planted, *words) as terminal:
        terminal.until("undone")
        terminal.type("n\n")
        assert terminal.ended() == 1
    assert SALESFORCE.task_id in terminal.seen
    assert shown(planted)["id"] == CONNECTION
    with Terminal(planted, *words) as terminal:
        terminal.until("undone")
        terminal.type("y\n")
        assert terminal.ended() == 0
    assert "Its credential stays" in terminal.seen
    assert planted("connections", "show", *OF).code == 3
