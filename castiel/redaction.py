"""No secret in a log: a filter that masks the secrets this process has seen, and whatever looks like one.

Models keep their secrets in ``SecretStr`` and exceptions never hold one; this is the net below that, for what
libraries and unexpected errors say.
"""

from __future__ import annotations

import hashlib
import logging
import re
import traceback
from collections import OrderedDict
from typing import Any

from pydantic import SecretStr

MASK = "***"
MIN_LENGTH = 8
"""Shorter pieces are not masked by value: they would blank out ordinary words."""
MAX_KNOWN = 50_000

_WORD = re.compile(r"[A-Za-z0-9_.~+/!-]{8,}")
_LOOKS_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a JSON Web Token
    r"|\bxox[a-z](?:\.[a-z]+)?-[A-Za-z0-9.-]{8,}"
    r"|\bgh[a-z]_[A-Za-z0-9]{16,}"
    r"|\bya29\.[A-Za-z0-9_-]{8,}",
    re.DOTALL,
)
_NAMED = re.compile(
    r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic)\s+"
    r"|\b(?:bearer|basic)\s+(?=\S{20})"
    r"|[\"']?\b(?:access_?token|refresh_?token|client_?secret|private_?key|assertion|password|code_verifier"
    r"|shared_?access_?key|account_?key|api_?key|sig)\b[\"']?\s*[=:]\s*[\"']?)"
    r"(?!\*\*\*|None\b|null\b)[^\s\"'&,;}]{4,}"
)


class Redactor:
    """Masks texts. It remembers digests of secrets, not the secrets."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def remember(self, *secrets: SecretStr | str | None) -> None:
        """Mask these from now on, wherever they turn up as a word."""
        for secret in secrets:
            text = secret.get_secret_value() if isinstance(secret, SecretStr) else secret or ""
            for word in _WORD.findall(text):
                key = _digest(word)
                self._known[key] = None
                self._known.move_to_end(key)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def redact(self, text: str) -> str:
        """The text with its secrets masked."""
        masked = _NAMED.sub(lambda found: found.group(1) + MASK, _LOOKS_SECRET.sub(MASK, text))
        if not self._known:
            return masked
        return _WORD.sub(
            lambda found: MASK if _digest(found.group()) in self._known else found.group(), masked
        )


def _digest(word: str) -> bytes:
    return hashlib.blake2b(word.strip(".").encode(), digest_size=12).digest()


_redactor = Redactor()
remember = _redactor.remember
redact = _redactor.redact

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class RedactionFilter(logging.Filter):
    """Masks a record's message, its extra attributes and its traceback."""

    def __init__(self, redactor: Redactor = _redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Always lets the record through, masked."""
        text = record.getMessage()
        masked = self._redactor.redact(text)
        if masked != text:
            record.msg, record.args = masked, ()
        for name, value in list(record.__dict__.items()):
            if name not in _STANDARD and value is not None and not isinstance(value, bool | int | float):
                self._mask_attribute(record, name, value)
        self._mask_traceback(record)
        return True

    def _mask_attribute(self, record: logging.LogRecord, name: str, value: Any) -> None:
        text = value if isinstance(value, str) else repr(value)
        masked = self._redactor.redact(text)
        if masked != text:
            setattr(record, name, masked)

    def _mask_traceback(self, record: logging.LogRecord) -> None:
        if not record.exc_info or record.exc_info is True or record.exc_info[1] is None:  # type: ignore[comparison-overlap]
            return
        text = "".join(traceback.format_exception(*record.exc_info))
        masked = self._redactor.redact(text)
        if masked != text:
            # The exception itself holds the secret: only its masked text may go further.
            record.exc_info, record.exc_text = None, masked.rstrip("\n")


def install_redaction() -> None:
    """Put the filter on every handler of the root's and Castiel's loggers; again is fine, new handlers get it too."""
    for logger in (logging.getLogger(), logging.getLogger("castiel")):
        for handler in logger.handlers:
            if not any(isinstance(each, RedactionFilter) for each in handler.filters):
                handler.addFilter(RedactionFilter())
