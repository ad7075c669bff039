"""A look at every line that any test logs: is there a token in it?"""

from __future__ import annotations

import logging
import re

TOKEN = re.compile(
    r"ya29\.[\w-]{40}|1//[\w-]{40}"  # Google
    r"|00DgL0000001sbx![\w-]{40}|5Aep[\w-]{40}"  # Salesforce
    r"|gh[oprsu]_[0-9a-f]{36}"  # GitHub
    r"|n(?:tn|rt)_[\w-]{32}"  # Notion
    r"|xox[bep][.-][\w.-]{30}"  # Slack
    r"|-----BEGIN (?:RSA |EC )?PRIVATE KEY-----"
)
"""How the tokens look that the sandbox issues, and private keys: whatever became of them since."""


class Everything(logging.Formatter):
    """The message, its traceback, and all that was attached."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{super().format(record)} {record.__dict__!r}"


class LogWatch(logging.Handler):
    """Looks at every line that is logged, and remembers which logger wrote a token."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(Everything())
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if found := TOKEN.search(self.format(record)):
            self.leaks.append(f"{record.name}: {found[0][:5]}…")
