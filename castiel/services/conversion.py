"""ConversionSchemaService: which schema converts a connection's entity, and the check that saving one must pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema, SchemaProblem, did_you_mean, validate_schema
from castiel.domain.fields import FieldDescription
from castiel.domain.matching import Matcher, MatchFunction, parse_rules
from castiel.errors import ConfigurationError, InvalidInput, NotFound
from castiel.ports.clock import Clock
from castiel.ports.stores import SchemaStore
from castiel.services.integrations import Integrations

CACHE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SavedSchema:
    """A schema as it was stored, and what is worth a look all the same."""

    schema: ConversionSchema
    warnings: Sequence[SchemaProblem]


class ConversionSchemaService:
    """A connection's own schema where it names one, else the provider's default for the entity."""

    def __init__(
        self,
        schemas: SchemaStore,
        integrations: Integrations,
        clock: Clock,
        match_functions: Mapping[str, MatchFunction],
    ) -> None:
        """``match_functions``: the custom comparisons that a schema's match rules may name."""
        self._schemas = schemas
        self._integrations = integrations
        self._clock = clock
        self._match_functions = match_functions
        self._cache: dict[tuple[str, str], tuple[float, ConversionSchema]] = {}
        self._defaults: dict[tuple[str, str], ConversionSchema] = {}

    async def save(self, connection: Connection, document: Mapping[str, Any]) -> SavedSchema:
        """Store a new schema, or the next version of one, for the tenant and the integration of ``connection``.

        It is checked against the fields that the connection's account has now. Raises :class:`InvalidInput`, which
        names every wrong field and the nearest right one; :class:`~castiel.errors.Conflict` when somebody saved the
        same schema meanwhile; :class:`~castiel.errors.ProviderError` when the account can't be asked.
        """
        schema, problems = await self.look_at(connection, document)
        errors = [str(problem) for problem in problems if problem.severity == "error"]
        if schema is None or errors:
            raise InvalidInput("; ".join(errors))
        now = self._clock.now()
        schema.created_at, schema.updated_at = now, now
        try:
            stored = await self._schemas.get(schema.tenant_id, schema.id)
        except NotFound:
            schema.version = 1
            saved = await self._schemas.create(schema)
        else:
            if (stored.integration_id, stored.entity) != (schema.integration_id, schema.entity):
                raise InvalidInput(
                    f"id: {schema.id} is the schema of {stored.integration_id}'s {stored.entity}; choose another id"
                )
            schema.version = stored.version + 1
            schema.created_at, schema.etag = stored.created_at, stored.etag
            saved = await self._schemas.replace(schema)
        self._cache.pop((schema.tenant_id, schema.id), None)
        return SavedSchema(saved, problems)

    async def look_at(
        self, connection: Connection, document: Mapping[str, Any]
    ) -> tuple[ConversionSchema | None, list[SchemaProblem]]:
        """What :meth:`save` would find, without saving: the schema, where it can be read as one, and its problems.

        Raises :class:`~castiel.errors.ProviderError` when the account can't be asked.
        """
        own = {"tenantId": connection.tenant_id, "integrationId": connection.integration_id}
        try:
            schema = ConversionSchema.model_validate({**own, **document})
        except ValidationError as error:
            return None, _unreadable(error)
        problems = [
            SchemaProblem(name, "it is not the connection's", "leave it out")
            for name, value in own.items()
            if document.get(name, value) != value
        ]
        return schema, problems + await self.problems(connection, schema)

    async def problems(self, connection: Connection, schema: ConversionSchema) -> list[SchemaProblem]:
        """All that is wrong with a schema for the fields of a connection's account, and for its match rules."""
        found = [] if schema.match_rules is None else self._rule_problems(schema.match_rules)
        described = {each.name: each for each in await self._integrations.adapter(connection).describe()}
        fields: Sequence[FieldDescription] = ()
        if schema.entity in described:
            fields = described[schema.entity].fields
        else:
            hint = did_you_mean(schema.entity, described) or f"there are: {', '.join(sorted(described))}"
            found.append(SchemaProblem("entity", f"the account has no entity '{schema.entity}'", hint))
        return found + validate_schema(schema, fields)

    def _rule_problems(self, rules: Mapping[str, Any]) -> list[SchemaProblem]:
        try:
            Matcher(parse_rules(rules), self._match_functions)
        except ConfigurationError as error:
            return [SchemaProblem("matchRules", str(error).removeprefix("match rules: "))]
        return []

    async def schema_for(self, connection: Connection, entity: EntitySync) -> ConversionSchema:
        """The schema. Raises :class:`ConfigurationError` when there is none."""
        if entity.schema_id is None:
            return self._default(connection, entity)
        key = (connection.tenant_id, entity.schema_id)
        cached = self._cache.get(key)
        if cached and self._clock.monotonic() - cached[0] < CACHE_SECONDS:
            return cached[1]
        try:
            schema = await self._schemas.get(connection.tenant_id, entity.schema_id)
        except NotFound:
            raise ConfigurationError(
                f"connection {connection.id}, entity {entity.entity}, schemaId: there is no such schema"
            ) from None
        now = self._clock.monotonic()
        kept = {each: found for each, found in self._cache.items() if now - found[0] < CACHE_SECONDS}
        self._cache = kept | {key: (now, schema)}
        return schema

    def _default(self, connection: Connection, entity: EntitySync) -> ConversionSchema:
        key = (connection.integration_id, entity.entity)
        if key in self._defaults:
            return self._defaults[key]
        provider = self._integrations.provider(connection.integration_id)
        for data in provider.default_schemas:
            if data["entity"] == entity.entity:
                schema = ConversionSchema.model_validate(data)
                self._defaults[key] = schema
                return schema
        known = ", ".join(sorted(str(data["entity"]) for data in provider.default_schemas))
        raise ConfigurationError(
            f"connection {connection.id}, entity {entity.entity}: no schemaId, and no default schema"
            f" for this entity (there are: {known})"
        )


def _unreadable(error: ValidationError) -> list[SchemaProblem]:
    return [
        SchemaProblem(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, "))
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
