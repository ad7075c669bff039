"""Whatever arrives at the door: no 5xx, nothing of it in the answer, and time in proportion to its size."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from castiel.domain.signatures import PRESETS, sign
from castiel.domain.webhooks import WebhookResponse
from tests.support.receiver import SECRET, Door

pytestmark = pytest.mark.slow

PROVIDERS = ("salesforce", "github", "google", "notion", "slack")
CALM = {400, 401, 404, 413, 429, 200}
SAID = {
    "signature verification failed",
    "registration not found",
    "missing registration id",
    "body too large",
    "rate limit exceeded",
}
MARK = "leak-me-not"


class Hostile:
    """A provider's door, which its own loop runs."""

    def __init__(self, provider: str, **changes: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.door = Door()
        self.registration = self.loop.run_until_complete(
            self.door.plant(provider, rate_limit_per_minute=9_000_000, max_body_bytes=1_400_000, **changes)
        )
        self.scheme = PRESETS[str(self.registration.scheme)]

    def post(self, body: bytes, headers: dict[str, str] | None = None, **more: Any) -> WebhookResponse:
        """A delivery as it is."""
        return self.loop.run_until_complete(self.door.post(body, headers, source=None, **more))

    def signed(self, body: bytes, headers: dict[str, str]) -> WebhookResponse:
        """A delivery whose sender knows the secret."""
        own = sign(self.scheme, body, SECRET.encode(), self.door.clock.now(), "msg_1")
        answer = self.post(body, {**headers, **own})
        check(answer)
        for message in (*self.door.inbound.sent, *self.door.outbound.sent):
            assert len(message.message_id) <= 128, "Service Bus takes no longer one"
            message.body.encode()
        for audit in self.door.audits():
            json.dumps(audit.to_json(), ensure_ascii=False, allow_nan=False).encode()
        for sent in (self.door.inbound.sent, self.door.outbound.sent):
            sent.clear()
        self.door.audit.clear()
        return answer

    def close(self) -> None:
        """End what runs in the background."""
        self.loop.run_until_complete(self.door.pending.stop())
        self.loop.run_until_complete(self.door.background.drained())
        self.loop.run_until_complete(self.door.http.aclose())
        self.loop.close()


def check(answer: WebhookResponse) -> None:
    assert answer.status in CALM, answer
    if answer.status != 200:
        error = str(answer.body["error"])
        assert set(answer.body) == {"success", "error"}
        assert MARK not in json.dumps(answer.body)
        # A malformed body is answered with the name of a field, which is ours, and never with what was in it.
        assert error in SAID or (answer.status == 400 and len(error) < 120), error


@pytest.fixture(scope="module", params=PROVIDERS)
def hostile(request: pytest.FixtureRequest) -> Iterator[Hostile]:
    made = Hostile(request.param)
    yield made
    made.close()


NAMES = st.sampled_from(
    [
        "action",
        "after",
        "authors",
        "bot_id",
        "challenge",
        "changes",
        "ChangeEventHeader",
        "channel",
        "changedFields",
        "channel_type",
        "changeType",
        "changeOrigin",
        "commitTimestamp",
        "data",
        "data_source_id",
        "deleted",
        "deleted_ts",
        "deliveryId",
        "entity",
        "entityId",
        "entityName",
        "event",
        "event_id",
        "event_time",
        "event_ts",
        "from",
        "historyId",
        "id",
        "installation",
        "issue",
        "message",
        "messageId",
        "message_id",
        "name",
        "new_issue",
        "new_repository",
        "number",
        "object",
        "occurredAt",
        "parent",
        "payload",
        "publishTime",
        "pull_request",
        "recordIds",
        "repository",
        "sender",
        "subtype",
        "team_id",
        "text",
        "timestamp",
        "token",
        "tokens",
        "ts",
        "type",
        "updated_at",
        "updated_blocks",
        "updated_properties",
        "user",
        "verification_token",
        "attributes",
        "ce-type",
        "ce-time",
        "ref",
        "body",
        "full_name",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**40, -(10**300), 2**63, -1, 0, 1e308, 5e-324, 1_765_371_600, "1765371600.000100"]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=20),
    st.sampled_from(
        [
            "",
            "\x00",
            "\ud800",
            "\udfff\ud800",
            "é" * 300,
            "../../etc",
            f"{MARK}\r\nSet-Cookie: a=b",
            "contact.updated",
            "Contact",
            "003000000000001AAA",
            "page.created",
            "event_callback",
            "url_verification",
            "app_mention",
            "2025-12-10T13:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
            "{{7*7}}",
            "' OR 1=1 --",
        ]
    ),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=8), inner, max_size=8)
    ),
    max_leaves=25,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "X-GitHub-Event": st.sampled_from(
            ["issues", "pull_request", "repository", "ping", "installation", MARK]
        ),
        "X-GitHub-Delivery": st.sampled_from(["g-1", "", "x" * 500, "a\x00b", MARK + "\n"]),
        "X-Goog-Resource-State": st.sampled_from(["exists", "sync", "not_exists", "", "\ud800", "x" * 9000]),
        "X-Goog-Resource-URI": st.sampled_from(
            ["https://www.googleapis.com/calendar/v3/calendars/primary/events", "http://[", "", "\x00", MARK]
        ),
        "X-Goog-Channel-ID": st.text(max_size=10),
        "X-Goog-Message-Number": st.sampled_from(["1", "-1", "1" * 600, "", "½"]),
        "Content-Type": st.sampled_from(
            ["application/json", "application/x-www-form-urlencoded", "a" * 9000, ""]
        ),
        "Content-Length": st.sampled_from(["0", "-1", "1e9", "9" * 400, "٣"]),
        "X-Castiel-Delivery": st.sampled_from(["", "x" * 5000, "\ud800", "a\x00b"]),
    },
)
EVENT_KINDS = {
    "salesforce": {"event": "contact.updated", "id": "003000000000001AAA"},
    "github": {"action": "opened"},
    "google": {"message": {"messageId": "m-1"}},
    "notion": {"id": "e-1", "type": "page.created", "timestamp": "2025-12-10T13:00:00Z"},
    "slack": {"type": "event_callback", "event_id": "Ev1", "event": {"type": "message"}},
}
FUZZ = settings(
    max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@FUZZ
@given(tree=st.dictionaries(NAMES, TREES, max_size=10), headers=HEADERS, plain=st.booleans())
def test_signed_json_of_any_shape(hostile: Hostile, tree: Any, headers: dict[str, str], plain: bool) -> None:
    base = {} if plain else EVENT_KINDS[hostile.registration.integration_id]
    hostile.signed(json.dumps({**base, **tree}).encode(), headers)


@FUZZ
@given(body=st.binary(max_size=400) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")),
       headers=HEADERS)  # fmt: skip
def test_signed_bytes_of_any_kind(hostile: Hostile, body: bytes, headers: dict[str, str]) -> None:
    hostile.signed(body, headers)


@FUZZ
@given(
    body=st.binary(max_size=100),
    headers=HEADERS,
    own=st.dictionaries(
        st.sampled_from(
            [
                "X-Salesforce-Content-SHA256",
                "X-Hub-Signature-256",
                "X-Goog-Channel-Token",
                "X-Notion-Signature",
                "X-Slack-Signature",
                "X-Slack-Request-Timestamp",
                "Authorization",
            ]
        ),
        st.text(max_size=100)
        | st.sampled_from(["sha256=" + "0" * 64, "v0=" + "f" * 64, "9" * 5000, "t=1,v1=a"]),
    ),
    registration=st.text(max_size=40)
    | st.sampled_from(["", "a" * 5000, "../x", "wh-\x00", "\ud800", "wh-%00"]),
    mine=st.booleans(),
)
def test_nobody_without_the_secret_gets_in(
    hostile: Hostile, body: bytes, headers: dict[str, str], own: dict[str, str], registration: str, mine: bool
) -> None:
    target = hostile.registration.id if mine else registration
    answer = hostile.post(body, {**headers, **own}, registration=target)
    check(answer)
    assert answer.status in ({401, 413} if target == hostile.registration.id else {400, 404})


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"deliveryId": ' + b"9" * 100_000 + b"}",
        b'{"occurredAt": 1e999, "event": NaN}',
        b'{"event": "contact.updated", "event": "contact.deleted", "id": "1", "id": "003000000000001AAA"}',
        b'{"event": "contact.updated\\u0000", "id": "\\u0000"}',
        b'{"event": "\xff\xfe", "id": "1"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"",
        b"null",
        b'"' + b"\\ud800" * 10_000 + b'"',
        b"{" + b",".join(b'"k%d": 1' % number for number in range(50_000)) + b"}",
    ],
    ids=range(13),
)
def test_bodies_known_for_trouble(hostile: Hostile, body: bytes) -> None:
    hostile.signed(body, {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "g-1"})


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_whose_zone_leads_beyond_the_calendar(hostile: Hostile, moment: str) -> None:
    about = {
        "salesforce": {"occurredAt": moment},
        "github": {"repository": {"id": 1}, "issue": {"number": 1, "updated_at": moment}},
        "google": {"message": {"messageId": "m-1", "publishTime": moment}},
        "notion": {"timestamp": moment, "entity": {"id": "1" * 32, "type": "page"}},
        "slack": {"event_time": moment},
    }
    named = hostile.registration.integration_id
    body = json.dumps({**EVENT_KINDS[named], **about[named]}).encode()
    hostile.signed(body, {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "g-1"})


GROWING: dict[str, Callable[[int], bytes]] = {
    "nested lists": lambda n: b"[" * n,
    "one long text": lambda n: b'{"event": "' + b"a" * n + b'"}',
    "dots": lambda n: b'{"event": "' + b"." * n + b'"}',
    "a long number": lambda n: b'{"id": ' + b"1" * n + b"}",
    "many keys": lambda n: b"{" + b",".join(b'"%x": 1' % k for k in range(n // 10)) + b"}",
    "many records": lambda n: (
        b'{"payload": {"ChangeEventHeader": {"entityName": "Contact", "changeType": "UPDATE", "recordIds": ['
        + b",".join(b'"003%012d"' % k for k in range(n // 20))
        + b"]}}}"
    ),
    "escapes": lambda n: b'{"type": "' + b"\\u0000" * (n // 6) + b'"}',
    "form pairs": lambda n: b"payload=" + b"&a=b" * (n // 4),
}


@pytest.mark.parametrize("shape", GROWING)
def test_time_grows_as_the_size_does(hostile: Hostile, shape: str) -> None:
    headers = {
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": "g-1",
        "Content-Type": "application/x-www-form-urlencoded" if shape == "form pairs" else "application/json",
    }

    def seconds(size: int) -> float:
        body, best = GROWING[shape](size), 1e9
        for _ in range(3):
            begin = time.process_time()
            hostile.signed(body, headers)
            best = min(best, time.process_time() - begin)
        return best

    # 16 times the size: 16 times the time where it is in proportion, 256 times where it is the square.
    assert seconds(320_000) < 100 * max(seconds(20_000), 0.002)


def test_headers_of_any_length_cost_no_more_than_their_length(hostile: Hostile) -> None:
    def seconds(length: int) -> float:
        headers = {f"X-{number}": "v" * 50 for number in range(length // 50)}
        headers |= {"X-Slack-Signature": "v0=" * (length // 3), "Authorization": "Bearer " + "." * length}
        best = 1e9
        for _ in range(3):
            begin = time.process_time()
            assert hostile.post(b"{}", headers).status == 401
            best = min(best, time.process_time() - begin)
        return best

    assert seconds(320_000) < 100 * max(seconds(20_000), 0.002)
