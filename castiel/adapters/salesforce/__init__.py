"""Salesforce: an org's records over its REST API."""

from castiel.adapters.base import Capabilities, DeleteMeans, Provider
from castiel.adapters.salesforce.adapter import SalesforceAdapter
from castiel.adapters.salesforce.oauth import SalesforceOAuth
from castiel.adapters.salesforce.schemas import DEFAULT_SCHEMAS
from castiel.adapters.salesforce.settings import ARGUMENTS, DEFAULT_ENTITIES
from castiel.adapters.salesforce.webhooks import SalesforceWebhooks
from castiel.adapters.salesforce.write import MOST_RECORDS

__all__ = ["PROVIDER"]

PROVIDER = Provider(
    integration_id="salesforce",
    title="Salesforce",
    adapter=SalesforceAdapter,
    oauth=SalesforceOAuth(),
    webhooks=SalesforceWebhooks(),
    capabilities=Capabilities(
        entities=DEFAULT_ENTITIES,
        push_batch=MOST_RECORDS,
        delete_means=DeleteMeans.DELETE,
        idempotent_create=True,
        sees_deletions=True,
        conditional_update=False,
        arguments=ARGUMENTS,
    ),
    default_schemas=DEFAULT_SCHEMAS,
    rate_limit_per_minute=300,
)
