"""Secrets come in by a prompt that shows nothing, or by stdin; never as arguments, which every process list shows."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer
from pydantic import SecretStr

from castiel import redaction
from castiel.cli.exits import UsageProblem
from castiel.cli.running import answerable

MAX_CHARACTERS = 65_536


def read_secret(what: str) -> SecretStr:
    """One secret: asked for twice on a terminal, else all of stdin but its last line break.

    Raises :class:`UsageProblem` when nothing comes, or more than a secret can be. It is masked from then on.
    """
    if sys.stdin.isatty():
        with answerable():
            text = typer.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = sys.stdin.read(MAX_CHARACTERS + 1)
        if len(text) > MAX_CHARACTERS:
            raise UsageProblem(f"{what}: more than {MAX_CHARACTERS} characters on stdin")
        text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise UsageProblem(f"{what}: give it on stdin, or at the prompt of a terminal")
    redaction.remember(*_leaves(text))
    return SecretStr(text)


def _leaves(text: str) -> list[str]:
    """The texts in a JSON object, whose own words are no secrets; else the text itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return _texts(value) if isinstance(value, dict) else [text]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict | list):
        members = value.values() if isinstance(value, dict) else value
        return [text for member in members for text in _texts(member)]
    return [value] if isinstance(value, str) else []
