"""The time one invocation may take."""

from __future__ import annotations


class TimeBudgetSpent(Exception):
    """The invocation has worked long enough: what is done is saved, and a continuation does the rest."""
