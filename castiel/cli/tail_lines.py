"""One line for each thing that happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from castiel.cli.cells import cell, printable

Json = Mapping[str, Any]
Told = tuple[str, str]
"""The state in a word, and the rest of the line."""


def line(kind: str, at: datetime, document: Json) -> Text:
    """``05:08:08Z  result      success    conn-1  sync-001: 250 processed …``"""
    state, rest = _LINES[kind](document)
    where = str(document.get("connectionId") or document.get("registrationId") or document.get("id"))
    text = Text.assemble((f"{at:%H:%M:%S}Z", "dim"), "  ", (f"{kind:<10}", "bold"), "  ")
    word = cell(state)
    word.pad_right(max(0, 11 - len(state)))
    text.append_text(word)
    text.append(printable(f"  {where}  {rest}"))
    return text


def _result(it: Json) -> Told:
    took = f"{it.get('duration', 0)} ms"
    if "operation" in it:
        state = "success" if it.get("success") else "failed"
        return state, _joined(
            f"{it['operation']} {it.get('entityId')}", it.get("externalId"), it.get("errorCode"), took
        )
    counts = [
        f"{it[name]} {word}"
        for name, word in (
            ("recordsProcessed", "processed"),
            ("recordsCreated", "created"),
            ("recordsUpdated", "updated"),
            ("recordsDeleted", "deleted"),
            ("recordsFailed", "failed"),
            ("conflictsDetected", "conflicts"),
        )
        if it.get(name)
    ]
    return str(it.get("status")), _joined(it.get("taskId"), ", ".join(counts), it.get("errorCode"), took)


def _failed(it: Json) -> Told:
    return "failed", _joined(f"{it.get('entity')} {it.get('externalId')}", it.get("code"), it.get("message"))


def _webhook(it: Json) -> Told:
    marks = [word for word in ("verified", "queued", "duplicate") if it.get(word)]
    return str(it.get("status")), _joined(
        it.get("eventType"), it.get("entityId"), ", ".join(marks), it.get("reason")
    )


def _waiting(it: Json) -> Told:
    kind = str(it.get("kind") or "conflict")
    about = {
        "conflict": f"{it.get('field')} of {it.get('entity')} {it.get('externalId')}",
        "duplicate": f"{it.get('shardId')} and {it.get('otherShardId')}, score {it.get('score')}",
        "deletions": f"{it.get('unseen')} of {it.get('known')} {it.get('entity')}",
    }
    return kind, about.get(kind, "")


def _task(it: Json) -> Told:
    progress = it.get("progress") or {}
    done = f"{progress['recordsProcessed']} records" if progress.get("recordsProcessed") else None
    failure = (it.get("lastFailure") or {}).get("code") if it.get("status") == "failed" else None
    disabled = "disabled" if it.get("enabled") is False else None
    return str(it.get("status") or "pending"), _joined(
        it.get("id"), it.get("syncMode"), done, failure, disabled
    )


def _connection(it: Json) -> Told:
    return str(it.get("status") or "active"), _joined(it.get("integrationId"), it.get("statusReason"))


def _credential(it: Json) -> Told:
    state = "revoked" if it.get("revokedAt") else "needsReauth" if it.get("needsReauth") else "written"
    return state, _joined(it.get("id"), it.get("type"), it.get("lastErrorCode"))


_LINES: Mapping[str, Callable[[Json], Told]] = {
    "result": _result,
    "failed": _failed,
    "webhook": _webhook,
    "waiting": _waiting,
    "task": _task,
    "connection": _connection,
    "credential": _credential,
}


def _joined(*parts: object) -> str:
    return "  ".join(str(part) for part in parts if part)
