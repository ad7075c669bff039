"""What becomes of the records that a complete full pass did not see."""

from __future__ import annotations

from enum import StrEnum


class DeletionDecision(StrEnum):
    """``ask``: nothing is deleted without a person's word."""

    NOTHING = "nothing"
    DELETE = "deleted"
    ASK = "needsConfirmation"


def decide_deletions(*, known: int, unseen: int, seen: int, percent: float) -> DeletionDecision:
    """Of ``known`` records ``unseen`` were not in a pass that showed ``seen``. At most ``percent`` go by themselves.

    A pass that showed nothing at all is suspicious, however few are known.
    """
    if unseen == 0:
        return DeletionDecision.NOTHING
    if seen == 0 or unseen * 100 > percent * known:
        return DeletionDecision.ASK
    return DeletionDecision.DELETE
