"""Which schema is remembered for whom, and for how long."""

from __future__ import annotations

import gc
import weakref
from typing import Any, cast

from castiel.adapters.base import Provider
from castiel.adapters.registry import load_providers
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema
from castiel.services.conversion import CACHE_SECONDS, ConversionSchemaService
from castiel.services.integrations import Integrations
from tests.support.fakes.coordination import YieldingClock
from tests.support.fakes.records import MemorySchemas

PROVIDERS = load_providers()


class _Providers:
    def provider(self, integration_id: str) -> Provider:
        return PROVIDERS.get(integration_id)


def own_schema(tenant: str, schema_id: str) -> ConversionSchema:
    document: dict[str, Any] = {
        "id": schema_id,
        "tenantId": tenant,
        "integrationId": "notion",
        "entity": "Page",
    }
    mapping = {"kind": "direct", "field": "secret", "source": "Secret"}
    return ConversionSchema.model_validate({**document, "shardType": "page", "mappings": [mapping]})


def connection(tenant: str) -> Connection:
    return Connection(id="conn", tenant_id=tenant, integration_id="notion", credential_id="cred")


async def test_a_tenant_that_is_called_like_a_provider_has_its_schema_to_itself() -> None:
    schemas, clock = MemorySchemas(), YieldingClock()
    await schemas.put(own_schema("notion", "Page"))
    service = ConversionSchemaService(schemas, cast("Integrations", _Providers()), clock, {})
    default, own = (
        EntitySync(entity="Page", shard_type="page"),
        EntitySync(entity="Page", shard_type="page", schema_id="Page"),
    )
    assert (await service.schema_for(connection("notion"), own)).mappings[0].to_json()["field"] == "secret"
    for tenant in ("acme", "notion"):
        assert len((await service.schema_for(connection(tenant), default)).mappings) > 1
    assert (await service.schema_for(connection("notion"), own)).mappings[0].to_json()["field"] == "secret"


async def test_what_is_too_old_to_be_used_does_not_stay_in_memory() -> None:
    schemas, clock = MemorySchemas(), YieldingClock()
    service = ConversionSchemaService(schemas, cast("Integrations", _Providers()), clock, {})
    entity = EntitySync(entity="Page", shard_type="page", schema_id="ours")
    for tenant in ("acme", "globex"):
        await schemas.put(own_schema(tenant, "ours"))
    old = weakref.ref(await service.schema_for(connection("acme"), entity))
    assert await service.schema_for(connection("acme"), entity) is old()
    await clock.sleep(CACHE_SECONDS)
    await service.schema_for(connection("globex"), entity)
    gc.collect()
    assert old() is None
