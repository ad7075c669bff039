"""Request charges. They are ESTIMATES, for seeing orders of magnitude; only the service knows the real ones.

Rules of thumb (https://learn.microsoft.com/azure/cosmos-db/request-units and key-value-store-cost): a point read costs
1 RU for 1 KB and 10 RU for 100 KB; a write about 5 RU for 1 KB and 50 RU for 100 KB with few indexed properties; a
query at least about 2.5 RU, more with what it returns.
"""

from __future__ import annotations

from math import sqrt


def read_charge(size: int) -> float:
    """Request units of reading one document of ``size`` bytes by id."""
    return round(max(1.0, sqrt(size / 1024)), 2)


def write_charge(size: int) -> float:
    """Request units of writing or deleting one document of ``size`` bytes."""
    return round(5.5 * max(1.0, sqrt(size / 1024)), 2)


def query_charge(size: int) -> float:
    """Request units of one page of a query that returned ``size`` bytes."""
    return round(2.5 + 0.3 * size / 1024, 2)
