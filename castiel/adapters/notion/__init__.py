"""Notion: the pages of data sources."""

from castiel.adapters.base import Capabilities, DeleteMeans, Provider
from castiel.adapters.notion.adapter import NotionAdapter
from castiel.adapters.notion.oauth import NotionOAuth
from castiel.adapters.notion.records import ENTITY
from castiel.adapters.notion.schemas import DEFAULT_SCHEMAS
from castiel.adapters.notion.settings import ARGUMENTS
from castiel.adapters.notion.webhooks import NotionWebhooks

__all__ = ["PROVIDER"]

PROVIDER = Provider(
    integration_id="notion",
    title="Notion",
    adapter=NotionAdapter,
    oauth=NotionOAuth(),
    webhooks=NotionWebhooks(),
    capabilities=Capabilities(
        entities=(ENTITY,),
        delete_means=DeleteMeans.ARCHIVE,
        sees_deletions=False,
        arguments=ARGUMENTS,
    ),
    default_schemas=DEFAULT_SCHEMAS,
    rate_limit_per_minute=180,
)
