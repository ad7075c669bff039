"""How Slack keeps texts."""

from __future__ import annotations

import re

_ENTITY = re.compile(r"&(?!amp;|lt;|gt;)")
_CONTROL = re.compile(r"<(?:[@#!]|https?:|mailto:)[^<>]*>")


def escaped(text: str) -> str:
    """As Slack keeps a text: `&`, `<` and `>` as entities, except in its own <@…>, <#…>, <!…> and <https:…>.

    Source: https://docs.slack.dev/messaging/formatting-message-text (escaping text)
    """
    kept = _ENTITY.sub("&amp;", text)
    parts, last = [], 0
    for match in _CONTROL.finditer(kept):
        parts += [kept[last : match.start()].replace("<", "&lt;").replace(">", "&gt;"), match.group()]
        last = match.end()
    return "".join([*parts, kept[last:].replace("<", "&lt;").replace(">", "&gt;")])
