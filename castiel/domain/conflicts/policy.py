"""Which strategy settles a conflict: one for a connection, and exceptions per field."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from castiel.domain.model import Model


class ConflictStrategy(StrEnum):
    """How a field that was changed on both sides gets its value.

    - ``external_wins``, ``local_wins``: that side's value.
    - ``newest_wins``: the value that was set last; the external one when the times are equal or one is unknown.
    - ``merge``: lists as three-way sets, objects member by member, anything else as ``newest_wins``.
    - ``manual``: the local value stays, and the field waits for a person.
    - ``custom``: what a named function says.
    """

    EXTERNAL_WINS = "external_wins"
    LOCAL_WINS = "local_wins"
    NEWEST_WINS = "newest_wins"
    MERGE = "merge"
    MANUAL = "manual"
    CUSTOM = "custom"


class ConflictPolicy(Model):
    """A connection's choice. ``fields`` overrides ``strategy``, ``field_resolvers`` overrides ``resolver``.

    A field named in ``field_resolvers`` alone is settled by that function: its strategy is ``custom``.
    """

    strategy: ConflictStrategy = ConflictStrategy.NEWEST_WINS
    fields: dict[str, ConflictStrategy] = Field(default_factory=dict)
    resolver: str | None = None
    field_resolvers: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _custom_names_its_function(self) -> Self:
        if self.strategy is ConflictStrategy.CUSTOM and self.resolver is None:
            raise ValueError("strategy 'custom' needs 'resolver', the name of a function")
        for field, strategy in self.fields.items():
            if strategy is ConflictStrategy.CUSTOM and self.resolver_for(field) is None:
                raise ValueError(
                    f"field '{field}' is 'custom' and needs 'resolver' or an entry in 'fieldResolvers'"
                )
        return self

    def strategy_for(self, field: str) -> ConflictStrategy:
        """The strategy that settles this field."""
        if field in self.fields:
            return self.fields[field]
        return ConflictStrategy.CUSTOM if field in self.field_resolvers else self.strategy

    def resolver_for(self, field: str) -> str | None:
        """The name of the function that settles this field, where its strategy is ``custom``."""
        return self.field_resolvers.get(field, self.resolver)

    def resolver_names(self) -> frozenset[str]:
        """Every function the policy names, to be checked against those there are when it is saved."""
        return frozenset(filter(None, [self.resolver, *self.field_resolvers.values()]))
