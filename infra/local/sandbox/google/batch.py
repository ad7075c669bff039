"""The batch endpoint: calls as parts of one multipart/mixed body, answers in the same order.

Source: https://developers.google.com/workspace/calendar/api/guides/batch
"""

from __future__ import annotations

import secrets
from email import message_from_bytes, policy
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from multidict import CIMultiDict

from infra.local.sandbox.google.errors import ApiError
from infra.local.sandbox.google.names import NAME
from infra.local.sandbox.google.web_api import Answer, Api, Call

_MOST = 50
_REASONS = {200: "OK", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized",
            403: "Forbidden", 404: "Not Found", 409: "Conflict", 410: "Gone", 412: "Precondition Failed",
            429: "Too Many Requests", 503: "Service Unavailable"}  # fmt: skip


async def batch(request: web.Request, api: Api) -> web.Response:
    """Carry out each part as a call of its own; headers outside count for each part that has not its own."""
    try:
        parts = _parts(request.headers.get("Content-Type", ""), await request.read())
    except ApiError as error:
        return web.json_response(error.body("calendar"), status=error.code)
    boundary = f"batch_{secrets.token_urlsafe(16)}"
    lines: list[bytes] = []
    for content_id, raw in parts:
        answer = api.answer(_call(raw, request))
        lines.append(_rendered(boundary, content_id, answer))
    body = b"".join(lines) + f"--{boundary}--\r\n".encode()
    return web.Response(body=body, headers={"Content-Type": f"multipart/mixed; boundary={boundary}"})


def _parts(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    if not content_type.lower().startswith("multipart/mixed"):
        raise ApiError(400, "Failed to parse batch request, error: Content-Type is not multipart/mixed")
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=policy.HTTP)
    parts = list(message.iter_parts())
    if not parts or message.defects:
        raise ApiError(400, "Failed to parse batch request, error: 0 items. Received batch body: (hidden)")
    if len(parts) > _MOST:
        text = f"The batch request contains too many calls: {len(parts)} exceeds the maximum of {_MOST}."
        raise ApiError(400, text)
    for part in parts:
        if part.get_content_type() != "application/http":
            raise ApiError(400, "Failed to parse batch request, error: a part is not application/http")
    return [(str(part.get("Content-ID", "")), part.get_payload(decode=True) or b"") for part in parts]


def _call(raw: bytes, outer: web.Request) -> Call:
    head, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode().split("\n")
    method, _, rest = first.partition(" ")
    target = urlsplit(rest.split(" ")[0])
    headers: CIMultiDict[str] = CIMultiDict(
        (name, value) for name, value in outer.headers.items() if not name.lower().startswith("content-")
    )
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip()] = value.strip()
    path = target.path.removeprefix(f"/{NAME}")
    return Call(method, path, parse_qs(target.query, keep_blank_values=True), headers, body.strip())


def _rendered(boundary: str, content_id: str, answer: Answer) -> bytes:
    inner = content_id.strip("<>")
    head = [f"--{boundary}", "Content-Type: application/http"]
    if inner:
        head.append(f"Content-ID: <response-{inner}>")
    text = answer.text
    status = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}"]
    status += [f"{name}: {value}" for name, value in answer.headers.items()]
    if text:
        status += ["Content-Type: application/json; charset=UTF-8", f"Content-Length: {len(text.encode())}"]
    return "\r\n".join([*head, "", *status, "", text, ""]).encode()
