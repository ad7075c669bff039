"""Slack: a workspace's users, channels and messages over its Web API."""

from castiel.adapters.base import Capabilities, DeleteMeans, Provider
from castiel.adapters.slack.adapter import SlackAdapter
from castiel.adapters.slack.oauth import SlackOAuth
from castiel.adapters.slack.schemas import DEFAULT_SCHEMAS
from castiel.adapters.slack.settings import ARGUMENTS, ENTITIES
from castiel.adapters.slack.webhooks import SlackWebhooks

__all__ = ["PROVIDER"]

PROVIDER = Provider(
    integration_id="slack",
    title="Slack",
    adapter=SlackAdapter,
    oauth=SlackOAuth(),
    webhooks=SlackWebhooks(),
    capabilities=Capabilities(
        entities=ENTITIES,
        push_batch=1,
        # Messages are deleted; channels are archived, and users can't be removed by an app.
        delete_means=DeleteMeans.DELETE,
        # By the marker in a message's metadata and by a channel's name, looked for when a create is retried.
        idempotent_create=False,
        sees_deletions=True,
        conditional_update=False,
        arguments=ARGUMENTS,
    ),
    default_schemas=DEFAULT_SCHEMAS,
    rate_limit_per_minute=60,
)
