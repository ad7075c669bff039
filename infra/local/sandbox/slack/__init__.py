"""A Slack workspace with one installed app."""

from infra.local.sandbox.slack.provider import SlackProvider

__all__ = ["SlackProvider"]
