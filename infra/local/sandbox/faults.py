"""Faults a test can order: which calls go wrong, how often, and how.

A rule for calls is played by the HTTP layer (`playing.py`); a rule for records is asked for by a provider's
write code, so that one record of a batch can fail while the others are stored.
"""

from __future__ import annotations

import random
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator
from pydantic.alias_generators import to_camel

Kind = Literal[
    "slow",
    "status",
    "drop_before",
    "drop_after",
    "malformed",
    "truncated",
    "huge",
    "record_error",
]


class FaultRule(BaseModel):
    """One ordered fault. Of the calls that match, `skip` pass first, then `times` (None: all) are hit."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    kind: Kind
    method: str | None = None
    """GET, POST … ; None matches all."""
    path: str | None = None
    """A regular expression searched in the path below the provider's prefix, with its query."""
    times: int | None = Field(1, ge=1)
    skip: int = Field(0, ge=0)
    share: float = Field(1.0, ge=0, le=1)
    """Of the calls that match, hit this share, chosen by `seed`."""
    seed: int = 0
    delay_ms: int = Field(0, ge=0)
    """Waited before anything else happens, with every kind."""
    status: int | None = None
    code: str | None = None
    """The provider's own error code, such as REQUEST_LIMIT_EXCEEDED; each provider has defaults per status."""
    message: str | None = None
    retry_after: int | None = None
    """Seconds, sent as Retry-After."""
    processed: bool = False
    """With kind `status`: the call is carried out first, and only then answered with the error."""
    size: int = 10 * 1024 * 1024
    """Bytes of the body of kind `huge`."""
    entity: str | None = None
    record_id: str | None = None

    id: int = 0
    hits: int = 0
    seen: int = 0
    _dice: random.Random = PrivateAttr(default_factory=random.Random)

    @field_validator("method")
    @classmethod
    def _is_one(cls, value: str | None) -> str | None:
        """A pattern here would never match, and its test never fail."""
        if value is not None and not value.isalpha():
            raise ValueError("method: one method's name; leave it out for all")
        return value

    @field_validator("path")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            re.compile(value)
        return value

    def model_post_init(self, _context: Any) -> None:
        self._dice.seed(self.seed)
        if self.kind == "status" and self.status is None:
            raise ValueError("kind 'status' needs a status")
        if self.kind == "record_error" and self.code is None:
            raise ValueError("kind 'record_error' needs a code")

    @property
    def spent(self) -> bool:
        return self.times is not None and self.hits >= self.times

    def strikes(self) -> bool:
        """Count a matching call and say whether it is hit."""
        self.seen += 1
        if self.spent or self.seen <= self.skip or self._dice.random() >= self.share:
            return False
        self.hits += 1
        return True


class Faults:
    """The rules of one provider, oldest first; a call meets at most one rule besides any `slow` ones."""

    def __init__(self) -> None:
        self._rules: list[FaultRule] = []
        self._last_id = 0

    def add(self, rule: FaultRule) -> FaultRule:
        self._last_id += 1
        rule.id = self._last_id
        self._rules.append(rule)
        return rule

    def clear(self, rule_id: int | None = None) -> None:
        self._rules = [r for r in self._rules if rule_id is not None and r.id != rule_id]

    def all(self) -> list[FaultRule]:
        return list(self._rules)

    def for_call(self, method: str, path: str) -> list[FaultRule]:
        """The rules that hit this call: every slow one, and the first of the others."""
        hit: list[FaultRule] = []
        for rule in self._rules:
            decided = any(r.kind != "slow" for r in hit)
            if rule.kind == "record_error" or (decided and rule.kind != "slow"):
                continue
            if _matches_call(rule, method, path) and rule.strikes():
                hit.append(rule)
        return hit

    def for_record(self, operation: str, entity: str, record_id: str | None) -> FaultRule | None:
        """The rule that hits this record; `operation` (create, update, delete) is matched as the method."""
        for rule in self._rules:
            if (
                rule.kind == "record_error"
                and rule.method in (None, operation)
                and rule.entity in (None, entity)
                and rule.record_id in (None, record_id)
                and rule.strikes()
            ):
                return rule
        return None


def _matches_call(rule: FaultRule, method: str, path: str) -> bool:
    return (rule.method is None or rule.method.upper() == method) and (
        rule.path is None or re.search(rule.path, path) is not None
    )
