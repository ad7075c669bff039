"""``castiel connections | providers | tasks create``: from an empty vault to a connection that works, and back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from castiel.bootstrap import Services
from castiel.errors import ReauthRequired
from infra.local.sandbox.client import SandboxControl
from tests.support.cli import Cli, Terminal, running_cli

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TENANT = "acme"
REGISTERED = "https://castiel.example.com/callback"
"""The only redirect address that the sandboxed Google takes."""


@pytest.fixture(scope="module")
def castiel() -> Iterator[Cli]:
    with running_cli() as cli:
        yield cli
        # After all that was said here: nothing of what the vault holds was.
        assert cli.leaks() == []


async def client_of(control: SandboxControl) -> tuple[str, str]:
    """The id and the secret of the app that the sandboxed provider knows."""
    client_id, client = next(iter((await control.policy())["clients"].items()))
    return client_id, client["secret"]


def add(castiel: Cli, integration: str, connection_id: str, *more: str) -> None:
    """Our app's identity, and a connection to the sandbox."""
    client_id, secret = castiel.at(integration, client_of)
    stored = castiel.json("providers", "app", integration, "--client-id", client_id, stdin=f"{secret}\n")
    assert stored["secretName"] == f"oauth-client-{integration}"
    url = f"{castiel.stack.environment()['CASTIEL_SANDBOX_URL']}/{integration}"
    castiel.json(
        "connections",
        "add",
        integration,
        "-t",
        TENANT,
        "--id",
        connection_id,
        "--set",
        f"baseUrl={url}",
        *more,
    )


def url_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The provider's address that a waiting command prints, and what it said so far."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("http"):
            return line.strip(), said
    raise AssertionError(f"no address: {said}")


def status_of(castiel: Cli, connection_id: str) -> str:
    return str(castiel.json("connections", "show", connection_id, "-t", TENANT)["status"])


@pytest.mark.parametrize(("integration", "pkce"), [("salesforce", True), ("notion", False)])
def test_a_browser_brings_the_consent_to_the_listener(castiel: Cli, integration: str, pkce: bool) -> None:
    connection_id = f"conn-{integration}"
    add(castiel, integration, connection_id)
    before = castiel("connections", "check", connection_id, "-t", TENANT)
    assert before.code == 1
    process = castiel.start("connections", "authorize", connection_id, "-t", TENANT, "--json")
    url, said = url_of(process)
    query = parse_qs(urlsplit(url).query)
    assert ("code_challenge" in query, len(query["state"][0]) > 30) == (pkce, True)
    # The sandbox's consent page agrees at once and sends the browser to the listener.
    browser = httpx.get(url, follow_redirects=True, trust_env=False)
    assert "has the authorization" in browser.text
    answer = castiel.ended(process, read=said)
    assert answer.code == 0, answer
    assert (answer.json["status"], bool(answer.json["account"])) == ("active", True)
    assert castiel("connections", "check", connection_id, "-t", TENANT).code == 0


def test_a_pasted_address_serves_with_the_redirect_address_that_is_registered(castiel: Cli) -> None:
    add(castiel, "google", "conn-google")
    process = castiel.start(
        "connections", "authorize", "conn-google", "-t", TENANT, "--paste", "--redirect-uri", REGISTERED
    )
    url, said = url_of(process)
    assert parse_qs(urlsplit(url).query)["code_challenge_method"] == ["S256"]
    ends_at = httpx.get(url, trust_env=False).headers["Location"]
    assert ends_at.startswith(REGISTERED)
    answer = castiel.ended(process, f"{ends_at}\n", read=said)
    assert answer.code == 0, answer
    assert "authorised as" in answer.out

    process = castiel.start("connections", "authorize", "conn-google", "-t", TENANT, "--paste")
    url, said = url_of(process)
    answer = castiel.ended(process, "https://elsewhere.example/?code=theirs&state=theirs\n", read=said)
    assert answer.code == 2
    assert "another authorization" in answer.err


def test_at_a_terminal_the_address_may_be_pasted_while_the_listener_waits(castiel: Cli) -> None:
    add(castiel, "slack", "conn-slack")
    with Terminal(castiel, "connections", "authorize", "conn-slack", "-t", TENANT) as terminal:
        terminal.until("or paste here")
        [url] = [line for line in terminal.seen.split() if line.startswith("http://") and "state=" in line]
        terminal.type(httpx.get(url, trust_env=False).headers["Location"] + "\n")
        assert terminal.ended() == 0, terminal.seen
    assert status_of(castiel, "conn-slack") == "active"
    assert castiel("connections", "check", "conn-slack", "-t", TENANT).code == 0


def test_a_dead_grant_stops_the_connection_until_it_is_authorised_again(castiel: Cli) -> None:
    add(castiel, "github", "conn-gh", "--set", 'repositories=["octo-org/engine"]')

    async def granted(control: SandboxControl) -> None:
        await control.policy(deny_consent=False)

    authorise(castiel, "conn-gh")
    castiel.at("github", SandboxControl.revoke)
    castiel.at("github", SandboxControl.expire_access_tokens)

    async def refused(services: Services) -> None:
        connection = await services.stores.connections.get(TENANT, "conn-gh")
        with pytest.raises(ReauthRequired):
            await services.credentials.refresh_oauth_token(TENANT, connection.credential_id)

    castiel.does(refused)
    assert status_of(castiel, "conn-gh") == "needsReauth"
    resumed = castiel("connections", "resume", "conn-gh", "-t", TENANT)
    assert (resumed.code, "authorise" in resumed.err) == (1, True)

    async def deny(control: SandboxControl) -> None:
        await control.policy(deny_consent=True)

    castiel.at("github", deny)
    process = castiel.start("connections", "authorize", "conn-gh", "-t", TENANT)
    url, said = url_of(process)
    assert "not given" in httpx.get(url, follow_redirects=True, trust_env=False).text
    denied = castiel.ended(process, read=said)
    assert (denied.code, "access_denied" in denied.err) == (2, True)
    assert status_of(castiel, "conn-gh") == "needsReauth"

    castiel.at("github", granted)
    authorise(castiel, "conn-gh")
    assert status_of(castiel, "conn-gh") == "active"


def authorise(castiel: Cli, connection_id: str) -> None:
    process = castiel.start("connections", "authorize", connection_id, "-t", TENANT)
    url, said = url_of(process)
    httpx.get(url, follow_redirects=True, trust_env=False)
    answer = castiel.ended(process, read=said)
    assert answer.code == 0, answer


def test_a_connection_is_paused_resumed_discovered_and_gets_a_task(castiel: Cli) -> None:
    connection_id = "conn-salesforce"
    assert [each["name"] for each in castiel.json("connections", "discover", connection_id, "-t", TENANT)][
        :2
    ] == [
        "Account",
        "Contact",
    ]
    fields = castiel.json("connections", "discover", connection_id, "-t", TENANT, "--entity", "Contact")[
        "fields"
    ]
    assert {"Id", "LastName", "Email"} <= {each["name"] for each in fields}
    assert castiel("connections", "discover", connection_id, "-t", TENANT, "--entity", "Cow").code == 3

    castiel.json("connections", "pause", connection_id, "-t", TENANT, "--reason", "audit")
    paused = castiel.json("connections", "list", "-t", TENANT, "--status", "paused")
    assert [(each["id"], each["statusReason"]) for each in paused] == [(connection_id, "audit")]
    checked = castiel("connections", "check", connection_id, "-t", TENANT, "--json")
    assert (checked.code, checked.json[0]["error"].split(":")[0]) == (1, "ConnectionPaused")
    castiel.json("connections", "resume", connection_id, "-t", TENANT)

    made = castiel.json("tasks", "create", "-t", TENANT, "--connection", connection_id, "--every", "15m")
    assert (made["schedule"], made["status"]) == ({"intervalSeconds": 900}, "pending")
    shown = castiel.json("connections", "show", connection_id, "-t", TENANT)
    assert [each["id"] for each in shown["tasks"]] == [made["id"]]
    assert shown["credentialHealth"]["status"] == "healthy"
    for wrong in (["--every", "10s"], ["--cron", "soon"], ["--every", "1h", "--cron", "0 * * * *"]):
        refused = castiel(
            "tasks", "create", "-t", TENANT, "--connection", connection_id, "--id", "t-2", *wrong
        )
        assert refused.code != 0, wrong
    assert castiel("tasks", "show", "t-2", "-t", TENANT).code == 3


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--set", "baseurl=https://example.com"], "did you mean baseUrl?"),
        (["--entity", "Contacts"], "did you mean Contact?"),
        (["--entity", "Contact", "--entity", "Contact=person"], "twice"),
        (["--conflicts", "newest"], "conflictPolicy"),
        (["--conflicts", '{"strategy": "custom", "resolver": "nobody"}'], "no resolver"),
        (["--entity", "Contact=person@no-such-schema"], "no such schema"),
    ],
)
def test_what_is_wrong_with_a_new_connection_is_said_before_it_is_stored(
    castiel: Cli, more: list[str], says: str
) -> None:
    refused = castiel("connections", "add", "salesforce", "-t", TENANT, "--id", "conn-wrong", *more)
    assert refused.code in (1, 2)
    assert says in refused.err
    assert castiel("connections", "show", "conn-wrong", "-t", TENANT).code == 3


def test_another_tenant_sees_nothing_of_it(castiel: Cli) -> None:
    assert castiel.json("connections", "list", "-t", "globex") == []
    for verb in ("show", "pause", "resume", "authorize", "check", "discover"):
        assert castiel("connections", verb, "conn-salesforce", "-t", "globex").code == 3, verb
    taken = castiel("connections", "add", "salesforce", "-t", TENANT, "--id", "conn-salesforce")
    assert (taken.code, "conn-salesforce" in taken.err) == (2, True)
    assert castiel("providers", "show", "netsuite").code == 2
