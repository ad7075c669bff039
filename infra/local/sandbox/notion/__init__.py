"""A sandboxed Notion workspace."""

from infra.local.sandbox.notion.provider import NotionProvider

__all__ = ["NotionProvider"]
