"""How a page becomes a shard where a connection names no schema of its own.

Property names are each data source's own, so only what every page has can be mapped beforehand.
"""

from __future__ import annotations

from typing import Any

DEFAULT_SCHEMAS: tuple[dict[str, Any], ...] = (
    {
        "id": "notion-page",
        # Of no tenant: it is the same for all.
        "tenantId": "",
        "integrationId": "notion",
        "entity": "Page",
        "shardType": "page",
        "version": 1,
        "labelField": "title",
        "mappings": [
            {"kind": "direct", "field": "title", "source": "title"},
            {"kind": "direct", "field": "url", "source": "url", "direction": "inbound"},
            {
                "kind": "direct",
                "field": "createdAt",
                "source": "created_time",
                "type": "datetime",
                "direction": "inbound",
            },
        ],
    },
)
"""``last_edited_time`` is left out: each write of ours would come back as a change of it."""
