"""Nothing secret in a log, by its value or by its looks."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from castiel.redaction import MASK, RedactionFilter, Redactor

SECRET = "made!Up.Secret/With+Signs-0123456789"


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.remember(SecretStr(SECRET), None, "")
    return redactor


@pytest.fixture
def log(redactor: Redactor) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(credentialId)s", defaults={"credentialId": "-"}))
    handler.addFilter(RedactionFilter(redactor))
    logger = logging.getLogger("tests.redaction")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger, stream
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    "text",
    [
        f"token is {SECRET}",
        f"https://x.example/?a=1&token={SECRET}&b=2",
        f'{{"value": "{SECRET}"}}',
        f"('{SECRET}',)",
        f"line one\n{SECRET}\nline three",
    ],
)
def test_a_secret_that_was_seen_is_masked_wherever_it_stands(redactor: Redactor, text: str) -> None:
    assert SECRET not in redactor.redact(text)
    assert MASK in redactor.redact(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdef.ghijkl", "abcdef.ghijkl"),
        ('{"access_token": "abcdefgh", "ok": true}', "abcdefgh"),
        ("grant_type=refresh_token&refresh_token=abcdefgh&client_id=me", "abcdefgh"),
        ("Endpoint=sb://x/;SharedAccessKey=abcdefgh==;Entity=q", "abcdefgh=="),
        ("clientSecret='abcdefgh'", "abcdefgh"),
        ("-----BEGIN PRIVATE KEY-----\nabcdefgh\n-----END PRIVATE KEY-----", "abcdefgh"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.", "eyJzdWIiOiJtZSJ9"),
    ],
)
def test_what_looks_like_a_secret_is_masked_unseen(text: str, secret: str) -> None:
    assert secret not in Redactor().redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "Credential cred-sf-001 requires reauth",
        "token refresh failed: salesforce answered 400 invalid_grant",
        "access_token: None",
        "basic authentication or a bearer credential",
        "the refresh token before the newest is tried",
        "shard contact-0123456789abcdef0123 of connection conn-sf-001",
    ],
)
def test_what_operators_read_stays_readable(redactor: Redactor, text: str) -> None:
    assert redactor.redact(text) == text


def test_messages_arguments_attributes_and_tracebacks_are_masked(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = log
    logger.warning("got %s", SECRET, extra={"credentialId": f"id {SECRET}"})
    try:
        raise ValueError(f"bad value {SECRET}")
    except ValueError:
        logger.exception("it failed")
    said = stream.getvalue()
    assert SECRET not in said
    assert "it failed" in said
    assert "ValueError" in said


def test_a_million_words_are_masked_in_seconds(redactor: Redactor) -> None:
    text = "an-ordinary-word " * 100_000
    assert redactor.redact(text) == text
