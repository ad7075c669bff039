"""Many calls of the Calendar API in one request, each with an answer of its own.

Source: https://developers.google.com/workspace/calendar/api/guides/batch
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any
from urllib.parse import urlsplit

import httpx

from castiel.adapters.errors_table import classify
from castiel.adapters.google.addresses import batch_url
from castiel.adapters.google.dialect import RULES, read_error
from castiel.adapters.http import ApiClient, HttpReply
from castiel.adapters.retry_after import retry_after_seconds
from castiel.domain.connections import Connection
from castiel.errors import AuthenticationFailed, CastielError, MalformedResponse, OutcomeUnknown

MOST_CALLS = 50
"""The documented maximum is 1000, but Google's other APIs have come down to this, and quota counts each call."""


@dataclass(frozen=True, slots=True)
class Part:
    """One call of a batch. ``url`` is the whole address."""

    method: str
    url: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = HttpReply | CastielError


async def send_all(
    api: ApiClient, connection: Connection, parts: Sequence[Part], operation: str, *, safe: bool = False
) -> list[Answer]:
    """Carry out the calls; one answer or error for each, in order. ``safe``: they may be repeated."""
    answers: list[Answer] = []
    for start in range(0, len(parts), MOST_CALLS):
        batch = parts[start : start + MOST_CALLS]
        if len(batch) == 1:
            answers.append(await _send_one(api, batch[0], operation, safe=safe))
        else:
            answers += await _send_batch(api, connection, batch, operation, safe=safe)
    return answers


async def _send_one(api: ApiClient, part: Part, operation: str, *, safe: bool) -> Answer:
    try:
        return await api.call(
            part.method,
            part.url,
            operation=operation,
            json_body=part.body,
            headers=part.headers,
            safe=safe or None,
        )
    except CastielError as error:
        return error


async def _send_batch(
    api: ApiClient, connection: Connection, parts: Sequence[Part], operation: str, *, safe: bool
) -> list[Answer]:
    content, boundary = encode(parts)
    try:
        reply = await api.call(
            "POST",
            batch_url(connection),
            operation=operation,
            content=content,
            headers={"Content-Type": f"multipart/mixed; boundary={boundary}"},
            safe=safe,
        )
        replies = decode(reply, len(parts))
    except MalformedResponse as error:
        lost = error if safe else OutcomeUnknown("the batch's answer can't be read", status=error.status)
        return [lost] * len(parts)
    except CastielError as error:
        return [error] * len(parts)
    answers = [_judged(part_reply, safe=safe) for part_reply in replies]
    for index, answer in enumerate(answers):
        if isinstance(answer, AuthenticationFailed):
            # Inside a batch each call is refused by itself; sent alone it gets a new token first.
            answers[index] = await _send_one(api, parts[index], operation, safe=safe)
    return answers


def _judged(reply: HttpReply | None, *, safe: bool) -> Answer:
    if reply is None:
        text = "a call of the batch has no answer"
        return MalformedResponse(text) if safe else OutcomeUnknown(text)
    detail = read_error(reply)
    if detail is None:
        return reply
    return classify(RULES, "google", reply.status, detail, retry_after_seconds(reply.headers))


def encode(parts: Sequence[Part]) -> tuple[bytes, str]:
    """The body of a batch, and the boundary between its parts."""
    blocks = [_block(index, part) for index, part in enumerate(parts)]
    boundary = f"batch_{hashlib.sha256(b''.join(blocks)).hexdigest()}"
    lines = b"".join(b"--%b\r\n%b" % (boundary.encode(), block) for block in blocks)
    return lines + f"--{boundary}--\r\n".encode(), boundary


def _block(index: int, part: Part) -> bytes:
    address = urlsplit(part.url)
    target = address.path + (f"?{address.query}" if address.query else "")
    body = b"" if part.body is None else json.dumps(part.body, separators=(",", ":")).encode()
    headers = dict(part.headers) | ({"Content-Type": "application/json"} if body else {})
    head = [
        "Content-Type: application/http",
        f"Content-ID: <{index}>",
        "",
        f"{part.method} {target} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(head).encode() + body + b"\r\n"


def decode(reply: HttpReply, count: int) -> list[HttpReply | None]:
    """The answers of a batch by the position of their calls. Raises :class:`MalformedResponse`."""
    kind = reply.headers.get("content-type", "")
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + reply.body, policy=policy.HTTP)
    if not message.is_multipart():
        raise MalformedResponse("a batch's answer is multipart", status=reply.status)
    answers: list[HttpReply | None] = [None] * count
    for part in message.iter_parts():
        name = str(part.get("Content-ID", "")).strip("<> ").removeprefix("response-")
        payload = part.get_payload(decode=True)
        answer = _http(payload, reply) if isinstance(payload, bytes) else None
        if name.isdigit() and int(name) < count:
            answers[int(name)] = answer
    return answers


def _http(payload: bytes, outer: HttpReply) -> HttpReply | None:
    head, _, body = payload.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    status = first.split(" ")[1:2]
    if not status or not status[0].isdigit():
        return None
    named = [line.partition(":") for line in lines if ":" in line]
    headers = httpx.Headers([(name.strip(), value.strip()) for name, _, value in named])
    if "date" not in headers and "date" in outer.headers:
        headers["date"] = outer.headers["date"]
    return HttpReply(int(status[0]), headers, body.strip(), outer.url)
