"""A sandboxed GitHub: repositories, issues and pull requests behind its REST API, OAuth and webhooks."""

from infra.local.sandbox.github.provider import GitHubProvider

__all__ = ["GitHubProvider"]
