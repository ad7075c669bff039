"""A sandboxed Google account: People API contacts and one calendar."""

from infra.local.sandbox.google.provider import GoogleProvider

__all__ = ["GoogleProvider"]
