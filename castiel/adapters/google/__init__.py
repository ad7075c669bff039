"""Google: an account's contacts (People API) and calendar (Calendar API)."""

from castiel.adapters.base import Capabilities, DeleteMeans, Provider
from castiel.adapters.google import contacts, events
from castiel.adapters.google.adapter import GoogleAdapter
from castiel.adapters.google.addresses import ARGUMENTS
from castiel.adapters.google.channels import close_channel, open_channel
from castiel.adapters.google.contact_batches import WRITE_BATCH
from castiel.adapters.google.oauth import GoogleOAuth
from castiel.adapters.google.schemas import DEFAULT_SCHEMAS
from castiel.adapters.google.webhooks import GoogleWebhooks

__all__ = ["PROVIDER"]

PROVIDER = Provider(
    integration_id="google",
    title="Google",
    adapter=GoogleAdapter,
    oauth=GoogleOAuth(),
    webhooks=GoogleWebhooks(),
    capabilities=Capabilities(
        entities=(contacts.ENTITY, events.ENTITY),
        push_batch=WRITE_BATCH,
        delete_means=DeleteMeans.DELETE,
        # Events by their id; contacts have none that we could choose, but a marker that a retry looks for.
        idempotent_create=False,
        sees_deletions=True,
        conditional_update=True,
        arguments=ARGUMENTS,
    ),
    default_schemas=DEFAULT_SCHEMAS,
    rate_limit_per_minute=240,
    create_webhook=open_channel,
    delete_webhook=close_channel,
    webhooks_end=True,
)
