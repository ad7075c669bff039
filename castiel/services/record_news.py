"""Whether a record that comes in says anything new: it may be known, or older than what is."""

from __future__ import annotations

from castiel.adapters.base import ExternalRecord
from castiel.domain.shards import ExternalReference, Shard
from castiel.services.drafts import PullContext


def is_known(context: PullContext, shard: Shard, record: ExternalRecord, content: str) -> bool:
    """Whether the record is, word for word, what the shard saw last: then there is nothing to convert or compare."""
    reference = context.reference(shard, record.external_id)
    if reference is None or reference.deleted or shard.deleted:
        return False
    # A push forgets the hash: what was seen before it is a change when it is seen again.
    return reference.content_hash == content


def is_stale(reference: ExternalReference, record: ExternalRecord) -> bool:
    """Whether the record is older than what is known of it: read before a change that arrived here first."""
    known = reference.modified_at
    return known is not None and record.modified_at is not None and record.modified_at < known


def was_overtaken(context: PullContext, reference: ExternalReference) -> bool:
    """Whether the record was asked for before our last push: what it says may be from before that, and look like a
    change back. The push changed the record, so that it comes again."""
    read_at, pushed_at = context.read_at, reference.pushed_at
    return read_at is not None and pushed_at is not None and pushed_at >= read_at


def came_back(context: PullContext, reference: ExternalReference, tombstone: ExternalRecord) -> bool:
    """Whether the record was pulled, in a later state, after this tombstone of it was asked for: it was restored.

    The times of the record alone don't say so: a tombstone of Slack's is dated as its message was at first.
    """
    read_at, pulled_at = context.read_at, reference.pulled_at
    pulled_since = read_at is not None and pulled_at is not None and pulled_at >= read_at
    return pulled_since and is_stale(reference, tombstone)
