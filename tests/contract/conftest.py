"""Fixtures that several contract suites share."""

from tests.support.cosmos import cosmos_account, cosmos_database, cosmos_emulator

__all__ = ["cosmos_account", "cosmos_database", "cosmos_emulator"]
