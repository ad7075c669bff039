"""GitHub: issues, pull requests and repositories over its REST API."""

from castiel.adapters.base import Capabilities, DeleteMeans, Provider
from castiel.adapters.github.adapter import GitHubAdapter
from castiel.adapters.github.hook_secret import set_hook_secret
from castiel.adapters.github.hooks import create_hook, delete_hook
from castiel.adapters.github.oauth import GitHubOAuth
from castiel.adapters.github.records import ISSUE, PULL_REQUEST, REPOSITORY
from castiel.adapters.github.schemas import DEFAULT_SCHEMAS
from castiel.adapters.github.settings import ARGUMENTS
from castiel.adapters.github.webhooks import GitHubWebhooks

__all__ = ["PROVIDER"]

PROVIDER = Provider(
    integration_id="github",
    title="GitHub",
    adapter=GitHubAdapter,
    oauth=GitHubOAuth(),
    webhooks=GitHubWebhooks(),
    capabilities=Capabilities(
        entities=(ISSUE, PULL_REQUEST, REPOSITORY),
        push_batch=1,
        delete_means=DeleteMeans.CLOSE,
        idempotent_create=False,
        sees_deletions=False,
        conditional_update=False,
        read_only_entities=(REPOSITORY,),
        arguments=ARGUMENTS,
    ),
    default_schemas=DEFAULT_SCHEMAS,
    rate_limit_per_minute=360,
    set_webhook_secret=set_hook_secret,
    create_webhook=create_hook,
    delete_webhook=delete_hook,
)
