"""Secrets come in by a prompt that shows nothing, or by stdin; never as arguments, which every process list shows."""

from __future__ import annotations

import sys

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
    redaction.remember(text)
    return SecretStr(text)
