"""A call's arguments, however they came: query, form, or JSON.

Source: https://docs.slack.dev/apis/web-api/ (POST bodies)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from infra.local.sandbox.slack.errors import ApiError, missing

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Arguments:
    """Named values; in query and form they are texts, and whatever is structured is JSON in them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str, *, needed: bool = False) -> str:
        value = self._values.get(name)
        if value is None or value == "":
            if needed:
                raise missing(name)
            return ""
        if isinstance(value, dict | list):
            raise ApiError(
                "invalid_arguments",
                response_metadata={"messages": [f"[ERROR] must be a string [json-pointer:/{name}]"]},
            )
        return str(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._values.get(name)
        return default if value is None else str(value).lower() in ("1", "true")

    def number(self, name: str, default: int, most: int) -> int:
        """`limit` and its like. Raises ApiError invalid_limit."""
        value = self._values.get(name)
        if value in (None, "", 0, "0"):
            return default
        try:
            number = int(str(value))
        except ValueError:
            raise ApiError("invalid_limit") from None
        if not 0 < number <= most:
            raise ApiError("invalid_limit")
        return number

    def structure(self, name: str, error: str) -> Any:
        """A JSON value: itself in a JSON body, its text in a form. Raises ApiError with that code."""
        value = self._values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(error) from None

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None


async def read_arguments(request: web.Request) -> tuple[Arguments, dict[str, Any]]:
    """The arguments, and what the answer has to warn of. Raises ApiError."""
    if request.method == "GET":
        return Arguments(request.query), {}
    kind = request.content_type
    if kind == "application/json":
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            raise ApiError("invalid_json") from None
        if not isinstance(body, dict):
            raise ApiError("json_not_object")
        warned = {} if request.charset else _warning("missing_charset")
        # A token in a JSON body is not looked at: it has to be in the header.
        return Arguments({name: value for name, value in body.items() if name != "token"}), warned
    if kind in _FORMS:
        form = await request.post()
        return Arguments({**request.query, **{name: str(value) for name, value in form.items()}}), {}
    if not request.can_read_body:
        return Arguments(request.query), {}
    raise ApiError("invalid_post_type")


def _warning(name: str) -> dict[str, Any]:
    return {"warning": name, "response_metadata": {"warnings": [name]}}
