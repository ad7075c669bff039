"""Between plain text and what Slack keeps of it: ``&``, ``<`` and ``>`` as entities, except in its own markup.

Source: https://docs.slack.dev/messaging/formatting-message-text (escaping text)
"""

from __future__ import annotations

import re

_MARKUP = re.compile(r"<(?:[@#!]|https?://|mailto:|tel:)[^<>\n]*>")
"""Mentions, links and dates: ``<@U024BE7LH>``, ``<#C024BE7LR|general>``, ``<!here>``, ``<https://…|text>``."""


def plain(text: str) -> str:
    """As people read it; mentions and links stay in Slack's markup."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def escaped(text: str) -> str:
    """As Slack wants it: :func:`plain` of it is the text again."""
    parts, last = [], 0
    for match in _MARKUP.finditer(text):
        # In a link's address an ampersand is an entity too.
        parts += [_entities(text[last : match.start()]), match.group().replace("&", "&amp;")]
        last = match.end()
    return "".join([*parts, _entities(text[last:])])


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
