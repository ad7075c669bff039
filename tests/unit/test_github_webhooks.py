"""What GitHub posts, and what others might."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.adapters.github import PROVIDER
from castiel.domain.messages import Operation
from castiel.domain.signatures import PRESETS
from castiel.domain.webhooks import Delivery, WebhookEvent, WebhookRequest
from castiel.errors import InvalidWebhook

REPOSITORY = {
    "id": 186853002,
    "full_name": "Codertocat/Hello-World",
    "archived": True,
    "updated_at": "2019-05-15T15:19:27Z",
}
ISSUE = {
    "id": 444500041,
    "number": 1,
    "title": "Spelling error in the README file",
    "body": "Text\n\n<!-- castiel:shard-1 -->",
    "state": "closed",
    "state_reason": "completed",
    "labels": [{"name": "bug"}],
    "updated_at": "2019-05-15T15:20:18Z",
}
SENDER = {"login": "Codertocat", "type": "User"}
BOT = {"login": "castiel-sync[bot]", "type": "Bot"}


def request(
    event: str, body: bytes, settings: dict[str, Any] | None = None, **headers: str
) -> WebhookRequest:
    named = {
        "x-github-event": event,
        "x-github-delivery": "72d3162e-cc78",
        "content-type": "application/json",
    }
    return WebhookRequest("r-1", "", named | headers, body, settings=settings or {})


def parse(event: str, payload: Any, settings: dict[str, Any] | None = None) -> Delivery:
    return PROVIDER.webhooks.parse(request(event, json.dumps(payload).encode(), settings))


def only(event: str, payload: Any, settings: dict[str, Any] | None = None) -> WebhookEvent:
    [found] = parse(event, payload, settings).events
    return found


def issues(action: str, **more: Any) -> dict[str, Any]:
    return {"action": action, "issue": ISSUE, "repository": REPOSITORY, "sender": SENDER} | more


def test_an_edited_issue_is_read_whole() -> None:
    delivery = parse("issues", issues("edited", changes={"title": {"from": "Old"}, "body": {"from": ""}}))
    [event] = delivery.events
    assert delivery.delivery_id == "72d3162e-cc78"
    assert event == WebhookEvent(
        event_type="issues.edited",
        entity="Issue",
        external_id="186853002-1",
        operation=Operation.UPDATE,
        changes={"title": ISSUE["title"], "body": "Text"},
        changed_fields=("title", "body"),
        occurred_at=datetime(2019, 5, 15, 15, 20, 18, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("action", "operation", "fields"),
    [
        ("opened", Operation.CREATE, ()),
        ("deleted", Operation.DELETE, ()),
        ("closed", Operation.UPDATE, ("state", "state_reason", "closed_at")),
        ("reopened", Operation.UPDATE, ("state", "state_reason", "closed_at")),
        ("labeled", Operation.UPDATE, ("labels",)),
        ("unassigned", Operation.UPDATE, ("assignees",)),
        ("milestoned", Operation.UPDATE, ("milestone",)),
        ("pinned", Operation.UPDATE, ()),
    ],
)
def test_actions_of_issues(action: str, operation: Operation, fields: tuple[str, ...]) -> None:
    event = only("issues", issues(action))
    assert (event.operation, event.changed_fields) == (operation, fields)
    assert set(event.changes) <= set(fields)


def test_a_transferred_issue_is_gone_here_and_new_there() -> None:
    moved = {"new_issue": ISSUE | {"number": 9}, "new_repository": REPOSITORY | {"id": 17273051}}
    old, new = parse("issues", issues("transferred", changes=moved)).events
    assert (old.external_id, old.operation) == ("186853002-1", Operation.DELETE)
    assert (new.external_id, new.operation) == ("17273051-9", Operation.CREATE)


def test_pull_requests() -> None:
    payload = {
        "action": "synchronize",
        "number": 2,
        "pull_request": ISSUE | {"number": 2},
        "repository": REPOSITORY,
    }
    event = only("pull_request", payload)
    assert (event.entity, event.external_id) == ("PullRequest", "186853002-2")
    assert (event.event_type, event.changed_fields) == ("pull_request.synchronize", ("head",))
    assert only("pull_request", payload | {"action": "opened"}).operation is Operation.CREATE


@pytest.mark.parametrize(
    ("action", "operation", "changes"),
    [
        ("created", Operation.CREATE, {}),
        ("deleted", Operation.DELETE, {}),
        ("archived", Operation.UPDATE, {"archived": True}),
        ("renamed", Operation.UPDATE, {"full_name": "Codertocat/Hello-World"}),
        ("transferred", Operation.UPDATE, {}),
    ],
)
def test_repositories_keep_their_id(action: str, operation: Operation, changes: dict[str, Any]) -> None:
    event = only("repository", {"action": action, "repository": REPOSITORY, "sender": SENDER})
    assert (event.entity, event.external_id) == ("Repository", "186853002")
    assert (event.operation, event.changes) == (operation, changes)


def test_what_our_apps_bot_did_is_ours() -> None:
    ours = {"appSlug": "castiel-sync"}
    assert only("issues", issues("edited", sender=BOT), ours).own_write
    assert not only("issues", issues("edited", sender=BOT)).own_write
    assert not only("issues", issues("edited", sender=BOT | {"login": "other[bot]"}), ours).own_write
    # A person may call himself anything but what ends in [bot].
    assert not only("issues", issues("edited", sender=BOT | {"type": "User"}), ours).own_write
    assert not only("issues", issues("edited", sender=None), ours).own_write


@pytest.mark.parametrize(
    ("event", "action", "lifecycle"),
    [
        ("installation", "deleted", "uninstalled"),
        ("installation", "suspend", "suspended"),
        ("installation", "unsuspend", "resumed"),
        ("installation", "created", None),
        ("github_app_authorization", "revoked", "revoked"),
        ("star", "created", None),
    ],
)
def test_events_about_the_connection(event: str, action: str, lifecycle: str | None) -> None:
    found = only(event, {"action": action, "installation": {"id": 16598467}, "sender": SENDER})
    assert (found.entity, found.external_id, found.lifecycle) == (None, None, lifecycle)
    assert found.event_type == f"{event}.{action}"


def test_another_installations_end_is_not_ours() -> None:
    payload = {"action": "deleted", "installation": {"id": 16598467}}
    assert only("installation", payload, {"installationId": 1}).lifecycle is None
    assert only("installation", payload, {"installationId": "16598467"}).lifecycle == "uninstalled"


def test_what_a_person_withdraws_is_no_end_of_an_installation() -> None:
    """An app hears of everybody who ever authorised it; an installation's tokens are the app's own."""
    payload = {"action": "revoked", "sender": SENDER}
    assert only("github_app_authorization", payload, {"installationId": 16598467}).lifecycle is None
    assert only("github_app_authorization", payload).lifecycle == "revoked"


def test_a_form_carries_the_same() -> None:
    text = json.dumps(issues("edited", changes={"title": {"from": "é & ü"}}))
    form = request("issues", urlencode({"payload": text}).encode())
    form.headers["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"  # type: ignore[index]
    assert PROVIDER.webhooks.parse(form) == parse("issues", json.loads(text))


def test_ping_is_a_handshake_and_nothing_else_is() -> None:
    assert PROVIDER.webhooks.handshake(request("ping", b'{"zen": "Keep it logically awesome."}')) is not None
    assert PROVIDER.webhooks.handshake(request("issues", b"{}")) is None
    assert only("ping", {"zen": "Words", "hook_id": 1}).entity is None


def test_the_signature_is_githubs_own() -> None:
    assert PROVIDER.webhooks.signature_preset in PRESETS


@pytest.mark.parametrize(
    ("event", "body", "field"),
    [
        ("", b"{}", "X-GitHub-Event"),
        ("Issues!", b"{}", "X-GitHub-Event"),
        ("issues", b"", "body"),
        ("issues", b"[]", "body"),
        ("issues", b'{"action": NaN}', "body"),
        ("issues", b"{" * 100_000, "body"),
        ("issues", b'{"action": "\\ud800"}', "body"),
        ("issues", b'{"action": 7}', "action"),
        ("issues", b'{"action": "Bad Action"}', "action"),
        ("issues", b'{"action": "edited"}', "issue"),
        ("issues", b'{"action": "edited", "issue": {"number": 1}}', "repository"),
        ("issues", b'{"action": "edited", "issue": {"number": true}, "repository": {"id": 1}}', "number"),
        ("issues", b'{"action": "edited", "issue": {"number": -1}, "repository": {"id": 1}}', "number"),
        (
            "issues",
            b'{"action": "x", "issue": {"number": 1, "updated_at": "soon"}, "repository": {"id": 1}}',
            "updated_at",
        ),
        ("repository", b'{"action": "deleted", "repository": {"id": "1"}}', "id"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(event: str, body: bytes, field: str) -> None:
    with pytest.raises(InvalidWebhook, match=field):
        PROVIDER.webhooks.parse(request(event, body))


def test_a_delivery_needs_an_id() -> None:
    for wrong in ("", "a b", "x" * 129):
        headers = {"x-github-delivery": wrong}
        with pytest.raises(InvalidWebhook, match="X-GitHub-Delivery"):
            PROVIDER.webhooks.parse(request("issues", json.dumps(issues("edited")).encode(), None, **headers))


def test_a_form_without_a_payload_is_refused() -> None:
    for body in (b"", b"other=1", b"payload", b"\xff\xfe", b"&".join(b"a=1" for _ in range(50))):
        form = request("issues", body, None, **{"content-type": "application/x-www-form-urlencoded"})
        with pytest.raises(InvalidWebhook, match="payload"):
            PROVIDER.webhooks.parse(form)


@given(
    st.sampled_from(["issues", "pull_request", "repository", "installation", "ping"]), st.binary(max_size=200)
)
def test_any_bytes_are_read_or_refused(event: str, body: bytes) -> None:
    try:
        PROVIDER.webhooks.parse(request(event, body))
    except InvalidWebhook as error:
        assert len(str(error)) < 100  # noqa: PT017  (read or refused, and nothing else)
