"""``castiel credentials``: secrets go in by stdin or a hidden prompt, and never come out again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from castiel.bootstrap import Services
from infra.local.sandbox.client import SandboxControl
from tests.support.cli import Cli, Terminal, running_cli

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TENANT = "acme"


@pytest.fixture(scope="module")
def castiel() -> Iterator[Cli]:
    with running_cli() as cli:
        yield cli


def store(castiel: Cli, name: str, kind: str, *more: str, stdin: str | None = None) -> dict[str, object]:
    return dict(
        castiel.json(
            "credentials",
            "store",
            name,
            "-t",
            TENANT,
            "--type",
            kind,
            "--integration",
            "salesforce",
            *more,
            stdin=stdin,
        )
    )


def secret_of(castiel: Cli, name: str) -> str:
    async def read(services: Services) -> str:
        return (await services.credentials.manage.get_secret(TENANT, name)).get_secret_value()

    return castiel.does(read)


def test_an_api_key_is_stored_rotated_and_deleted(castiel: Cli) -> None:
    stored = store(castiel, "key-1", "apiKey", "--expires", "2099-01-31", stdin="the-first-key-0123456789\n")
    assert (stored["type"], stored["expiryTime"]) == ("apiKey", "2099-01-31T00:00:00Z")
    assert secret_of(castiel, "key-1") == "the-first-key-0123456789"
    again = castiel(
        "credentials",
        "store",
        "key-1",
        "-t",
        TENANT,
        "--type",
        "apiKey",
        "--integration",
        "slack",
        stdin="x" * 20,
    )
    assert (again.code, "a credential key-1 already" in again.err) == (2, True)

    second = "the-second-key-0123456789"
    unasked = castiel("credentials", "rotate", "key-1", "-t", TENANT, stdin=second)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    castiel.json("credentials", "rotate", "key-1", "-t", TENANT, "--yes", stdin=second)
    assert secret_of(castiel, "key-1") == second

    castiel.json("credentials", "delete", "key-1", "-t", TENANT, "--yes")
    assert castiel("credentials", "show", "key-1", "-t", TENANT).code == 3
    empty = castiel(
        "credentials", "store", "key-2", "-t", TENANT, "--type", "apiKey", "--integration", "slack"
    )
    assert (empty.code, "stdin" in empty.err) == (2, True)


def test_a_refresh_token_from_elsewhere_is_taken_over_and_revoked(castiel: Cli) -> None:
    async def prepare(control: SandboxControl) -> tuple[str, str, str]:
        client_id, client = next(iter((await control.policy())["clients"].items()))
        return client_id, client["secret"], (await control.grant())["refresh_token"]

    client_id, client_secret, refresh_token = castiel.at("salesforce", prepare)
    castiel.json("providers", "app", "salesforce", "--client-id", client_id, stdin=client_secret)
    store(castiel, "cred-sf", "oauth2", "--connection", "conn-sf", stdin=refresh_token)
    url = f"{castiel.stack.environment()['CASTIEL_SANDBOX_URL']}/salesforce"
    add = ("connections", "add", "salesforce", "-t", TENANT, "--id", "conn-sf", "--set", f"baseUrl={url}")
    castiel.json(*add, "--credential", "cred-sf")
    assert castiel("connections", "check", "conn-sf", "-t", TENANT).code == 0
    castiel.json("credentials", "rotate", "cred-sf", "-t", TENANT)
    shown = castiel.json("credentials", "show", "cred-sf", "-t", TENANT)
    assert (shown["health"], shown["refreshCount"], shown["connections"]) == ("healthy", 2, ["conn-sf"])

    used = castiel("credentials", "delete", "cred-sf", "-t", TENANT, "--yes")
    assert (used.code, "conn-sf" in used.err) == (1, True)
    castiel.json("credentials", "revoke", "cred-sf", "-t", TENANT, "--yes")
    assert (
        castiel.json("connections", "show", "conn-sf", "-t", TENANT)["statusReason"] == "credential_revoked"
    )
    resumed = castiel("connections", "resume", "conn-sf", "-t", TENANT)
    assert (resumed.code, "authorise" in resumed.err) == (1, True)
    unwell = castiel("credentials", "health", "-t", TENANT, "--json")
    assert (unwell.code, [each["id"] for each in unwell.json]) == (1, ["cred-sf"])
    counts = castiel.json("credentials", "statistics", "-t", TENANT)
    assert (counts["total"], counts["byHealth"]) == (1, {"failed": 1})


def test_a_key_signs_in_place_of_a_refresh_token(castiel: Cli) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    store(castiel, "key-jwt", "clientPrivateKey", stdin=pem)
    made = store(
        castiel,
        "cred-jwt",
        "oauth2",
        "--companion",
        "key-jwt",
        "--set",
        "refreshMethod=jwtBearer",
        "--set",
        "username=a",
    )
    assert made["companionIds"] == ["key-jwt"]
    assert castiel.json("credentials", "show", "key-jwt", "-t", TENANT)["companionOf"] == ["cred-jwt"]
    needed = castiel("credentials", "delete", "key-jwt", "-t", TENANT, "--yes")
    assert (needed.code, "used by credential cred-jwt" in needed.err) == (1, True)
    base = ("credentials", "store", "cred-x", "-t", TENANT, "--integration", "salesforce", "--type")
    wrong = castiel(*base, "oauth2", "--set", "refreshMethod=magic")
    assert (wrong.code, "jwtBearer" in wrong.err) == (2, True)
    assert castiel(*base, "oauth2", "--companion", "nobody").code == 3
    broken = castiel(*base, "oauth2", stdin='{"accessToken": {"a": "made-up-and-broken-token"}}')
    assert (broken.code, "made-up" in broken.err, "accessToken" in broken.err) == (2, False, True)
    no_pem = castiel(*base, "clientPrivateKey", stdin="made-up-and-no-pem-at-all")
    assert (no_pem.code, "made-up" in no_pem.err) == (2, False)


def test_a_generated_webhook_secret_is_shown_once_and_nothing_else_ever(castiel: Cli) -> None:
    made = store(castiel, "hook-1", "webhookSecret", "--generate")
    assert made["secret"] == secret_of(castiel, "hook-1")
    assert "secret" not in castiel.json("credentials", "show", "hook-1", "-t", TENANT)
    rotated = castiel.json("credentials", "rotate", "hook-1", "-t", TENANT, "--generate", "--yes")
    assert rotated["secret"] not in ("", made["secret"])
    said = "".join(castiel.said)
    for secret in (made["secret"], rotated["secret"]):
        assert said.count(str(secret)) == 1
    castiel.json("credentials", "delete", "hook-1", "-t", TENANT, "--yes")
    refused = castiel(
        "credentials", "store", "k", "-t", TENANT, "--type", "apiKey", "--integration", "slack", "--generate"
    )
    assert refused.code == 2
    assert castiel("credentials", "show", "cred-jwt", "-t", "globex").code == 3


def test_the_prompt_shows_nothing_of_what_is_typed(castiel: Cli) -> None:
    typed = "typed-at-the-prompt-0123456789"
    words = ("credentials", "store", "typed", "-t", TENANT, "--type", "apiKey", "--integration", "slack")
    with Terminal(castiel, *words) as terminal:
        # The blank after it comes when the echo is off, and what was typed before is thrown away.
        for prompt in ("The API key: ", "Repeat for confirmation: "):
            terminal.until(prompt)
            terminal.type(f"{typed}\n")
        assert terminal.ended() == 0
    assert typed not in terminal.seen
    assert secret_of(castiel, "typed") == typed


def test_what_cannot_be_undone_is_asked_and_ctrl_c_is_no(castiel: Cli) -> None:
    store(castiel, "kept", "apiKey", stdin="a-key-that-is-kept-0123456789")
    words = ("credentials", "delete", "kept", "-t", TENANT)
    with Terminal(castiel, *words) as terminal:
        terminal.until("[y/N]")
        terminal.type("n\n")
        assert terminal.ended() == 1
    assert "Nothing was done." in terminal.seen
    with Terminal(castiel, *words) as terminal:
        terminal.until("[y/N]")
        terminal.interrupt()
        assert terminal.ended() == 130
    assert secret_of(castiel, "kept").startswith("a-key")
    with Terminal(castiel, *words) as terminal:
        terminal.until("[y/N]")
        terminal.type("y\n")
        assert terminal.ended() == 0
    assert castiel("credentials", "show", "kept", "-t", TENANT).code == 3
