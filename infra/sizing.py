"""How much of everything a number of tenants needs, and what that costs: the tables of ``docs/scaling-and-cost.md``.

``python -m infra.sizing`` puts them there. Every figure is an assumption, a measurement or a list price, and says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.configuration import ROOT

DOCUMENT = ROOT / "docs" / "scaling-and-cost.md"
TENANTS = (10, 1_000, 100_000)
DAY, HOUR, MONTH = 86_400, 3_600, 30
PEAK = 4
"""Assumed: the busiest hour against the average one."""

# A tenant, assumed: three connections pulled every hour, 20 000 records of which 2 % change in a day; each change is
# pushed to the two other connections; 300 deliveries; two connections whose tokens live for an hour.
CONNECTIONS = 3
PULLS = 24 * CONNECTIONS
RECORDS = 20_000
CHANGED = 400
PUSHES = CHANGED * (CONNECTIONS - 1)
FIELDS = 3
DELIVERIES = 300
REFRESHES = 48
MESSAGES = PULLS + DELIVERIES + PUSHES

# Measured over the local stack (make bench ONLY=footprint): bytes of a stored document, and of a fence, a ledger entry,
# a seen delivery and the limits of one connection at work in Redis.
SHARD, TASK, RESULT = 2_216, 1_231, 860
FENCE, LEDGER, SEEN, LIMITS = 163, 162, 153, 3_608
AUDIT, PUSH_RESULT = 1_500, 400
"""Assumed: bytes of a delivery's audit record, and of a push's result."""
FENCES = CHANGED * PEAK / 24 + 2 * CONNECTIONS
"""Remembered for an hour after a lease: those of the shards pushed in the busiest, and of each connection's work."""
LOG_BYTES = 3_000
"""Assumed: telemetry of one message, requests, dependencies and lines together."""


def read_ru(size: int) -> float:
    """A point read under strong consistency: twice 1 RU for each KB.

    https://learn.microsoft.com/azure/cosmos-db/request-units, /azure/cosmos-db/consistency-levels
    """
    return 2 * max(1.0, size / 1024)


def write_ru(size: int) -> float:
    """A write: about 5 RU for 1 KB and 50 for 100 KB, and a little for each indexed property.

    https://learn.microsoft.com/azure/cosmos-db/key-value-store-cost
    """
    return 5.5 * max(1.0, (size / 1024) ** 0.5)


RU_A_DAY: Mapping[str, float] = {
    # A pull that finds nothing: the task is read and written three times, two documents are read, one result written.
    "pulls": PULLS * (3 * read_ru(TASK) + 3 * write_ru(TASK) + 2 * read_ru(700) + write_ru(RESULT)),
    # A hundred records are one query for their references and one for their keys, and one batch of writes.
    "changed records": CHANGED * (2 * 2 * 0.6 + write_ru(SHARD)),
    # The audit record, and once more when its message was late.
    "deliveries": DELIVERIES * 1.1 * write_ru(AUDIT),
    "pushes": PUSHES * (read_ru(SHARD) + write_ru(SHARD) + write_ru(PUSH_RESULT)),
    "refreshes": REFRESHES * (read_ru(700) + write_ru(700)),
}
"""Request units of one tenant's day. Estimates by the documented rules: only the service knows the real ones."""

STORED = RECORDS * SHARD + MONTH * (PULLS * RESULT + PUSHES * PUSH_RESULT + DELIVERIES * AUDIT)
"""Bytes of one tenant in Cosmos DB, the records and 30 days of results and audits; indexes add about 15 %."""
REDIS = FENCE * FENCES + LEDGER * PUSHES * FIELDS + SEEN * DELIVERIES + LIMITS * CONNECTIONS
"""Bytes of one tenant in Redis: fences for an hour, the ledger and the seen deliveries for a day."""

# Seconds of one instance, assumed: a pull takes 1 s and a push 0.45 s, eight at once in an instance; a delivery 50 ms.
INSTANCE_SECONDS = {"inbound": PULLS * 1.0 / 8, "outbound": PUSHES * 0.45 / 8, "webhook": DELIVERIES * 0.05}
GIGABYTES = {"inbound": 2.0, "outbound": 2.0, "webhook": 0.5}


@dataclass(frozen=True)
class Limit:
    """What ends first: how much there is, and how much of it a tenant takes."""

    name: str
    available: float
    unit: str
    a_tenant: float
    then: str

    @property
    def tenants(self) -> int:
        """How many tenants it is enough for, with two digits."""
        number = self.available / self.a_tenant
        digits = max(0, len(str(int(number))) - 2)
        return int(number / 10**digits) * 10**digits


PULLS_AT_ONCE = 10 * 8
SCHEDULED_A_SECOND = 160
"""Measured (make bench ONLY=scheduler, two busy cores): claimed and sent."""
LIMITS_MET: tuple[Limit, ...] = (
    Limit(
        "Log Analytics' daily cap, `logDailyCapGb`",
        20e9,
        "bytes a day",
        MESSAGES * LOG_BYTES,
        "sample traces (`OTEL_TRACES_SAMPLER=microsoft.fixed_percentage`), then raise the cap",
    ),
    Limit(
        "Service Bus Standard: 1 000 credits a second",
        1_000,
        "operations a second",
        MESSAGES * 2 / DAY * PEAK,
        "Premium (`privateNetworking` brings it); another unit for each 4 MB a second",
    ),
    Limit(
        "Redis in one shard: 24 GB (Balanced_B20), four fifths of it usable",
        0.8 * 24e9,
        "bytes",
        REDIS,
        "cluster: each script keeps to one slot already",
    ),
    Limit(
        "Key Vault: 30 new versions a second",
        30,
        "versions a second",
        REFRESHES / DAY * PEAK,
        "spread the pulls over the hour; then a second vault (one vault for all is what the code knows today)",
    ),
    Limit(
        "Cosmos DB: 20 000 RU/s for `shards`, 4 000 to 10 000 for the others",
        38_000,
        "RU a second",
        sum(RU_A_DAY.values()) / DAY * PEAK,
        "raise `cosmosThroughput`: a physical partition takes 10 000 RU/s, and tenants spread over them",
    ),
    Limit(
        "SyncInboundWorker: 10 instances of 8 pulls, a second each, once an hour",
        PULLS_AT_ONCE * HOUR,
        "pulls an hour",
        CONNECTIONS,
        "raise its maximum, or pull less often where webhooks bring the changes",
    ),
    Limit(
        "SyncScheduler: 600 s for a run (`functionTimeout`), 160 tasks a second",
        600 * SCHEDULED_A_SECOND,
        "tasks an hour",
        CONNECTIONS,
        "what is left is queued by the next run: give tasks minutes of their own instead of the full hour",
    ),
    Limit(
        "SyncOutboundWorker: 50 instances of 8 pushes at once",
        50,
        "instances",
        INSTANCE_SECONDS["outbound"] / DAY * PEAK,
        "raise its maximum; a 250-core quota of the region holds about 180 of its instances beside the others",
    ),
)

# List prices, US dollars, pay as you go, a US region, mid 2025. Not re-read since: check them before you budget.
FLEX_ON_DEMAND, FLEX_READY, FLEX_READY_RUN, FLEX_EXECUTION = 26e-6, 4e-6, 16e-6, 0.40e-6
COSMOS_RU_HOUR, COSMOS_GB = 0.012 / 100, 0.25
BUS_BASE, BUS_OPERATION, BUS_UNIT = 9.81, 0.8e-6, 677.0
VAULT_OPERATION, LOG_GB, EVENT = 3e-6, 2.30, 0.6e-6
REDIS_MONTH: Mapping[float, tuple[str, float]] = {
    0.5: ("Balanced_B0", 26.0),
    1: ("Balanced_B1", 53.0),
    3: ("Balanced_B3", 105.0),
    6: ("Balanced_B5", 210.0),
    12: ("Balanced_B10", 420.0),
    24: ("Balanced_B20", 840.0),
}
"""By GB, replicated. Assumed: the price list could not be read where this was written."""
REDIS_GB_CLUSTERED = 30.0


def needs(tenants: int) -> dict[str, float]:
    """What so many tenants need."""
    return {
        "messages a day": tenants * MESSAGES,
        "messages a second at peak": tenants * MESSAGES / DAY * PEAK,
        "RU/s on average": tenants * sum(RU_A_DAY.values()) / DAY,
        "RU/s at peak": tenants * sum(RU_A_DAY.values()) / DAY * PEAK,
        "GB in Cosmos DB": tenants * STORED * 1.15 / 1e9,
        "GB in Redis": tenants * REDIS / 1e9,
        "pulls at once in the busiest hour": tenants * CONNECTIONS / HOUR,
        "inbound instances": max(1.0, tenants * CONNECTIONS / HOUR / 8),
        "outbound instances at peak": max(1.0, tenants * INSTANCE_SECONDS["outbound"] / DAY * PEAK),
        "webhook instances at peak": max(1.0, tenants * DELIVERIES * 0.05 / DAY * PEAK / 32),
        "token refreshes a second at peak": tenants * REFRESHES / DAY * PEAK,
        "GB of telemetry a day": tenants * MESSAGES * LOG_BYTES / 1e9,
    }


def redis_size(gigabytes: float) -> tuple[str, float]:
    """The smallest size whose usable four fifths hold it, and its monthly price."""
    for size, (name, price) in REDIS_MONTH.items():
        if gigabytes <= 0.8 * size:
            return name, price
    return f"clustered, {gigabytes / 0.8:.0f} GB", gigabytes / 0.8 * REDIS_GB_CLUSTERED


def costs(tenants: int) -> dict[str, float]:
    """US dollars a month for so many tenants, with the sizes of prod."""
    need = needs(tenants)
    seconds = {app: tenants * MONTH * each for app, each in INSTANCE_SECONDS.items()}
    ready = sum(size * MONTH * DAY for size in (2.0, 2.0, 2.0, 0.5)) * FLEX_READY
    running = sum(seconds[app] * GIGABYTES[app] for app in seconds) * FLEX_ON_DEMAND
    operations = need["messages a day"] * MONTH * 3
    premium = need["messages a second at peak"] * 2 > 1_000
    units = max(1.0, -(-need["messages a second at peak"] * 1_024 // 4e6))
    autoscale = max(3_800.0, need["RU/s on average"] * 1.5)
    secrets = tenants * MONTH * (PULLS + PUSHES / 50 + REFRESHES * 2)
    return {
        "Functions": ready + running + need["messages a day"] * MONTH * FLEX_EXECUTION,
        "Cosmos DB, throughput": autoscale * COSMOS_RU_HOUR * 24 * MONTH,
        "Cosmos DB, storage": need["GB in Cosmos DB"] * COSMOS_GB,
        "Service Bus": units * BUS_UNIT
        if premium
        else BUS_BASE + max(0.0, operations - 13e6) * BUS_OPERATION,
        "Managed Redis": redis_size(need["GB in Redis"])[1],
        "Key Vault": secrets * VAULT_OPERATION,
        "Event Grid": tenants * MONTH * (PULLS + DELIVERIES) * EVENT,
        "Log Analytics": max(0.0, need["GB of telemetry a day"] * MONTH - 5) * LOG_GB,
    }


def _number(value: float) -> str:
    return f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def tables() -> str:
    """The tables as Markdown."""
    heads = " | ".join(f"{tenants:,} tenants" for tenants in TENANTS)
    rules = "|---|" + "---:|" * len(TENANTS)
    need, cost = [needs(tenants) for tenants in TENANTS], [costs(tenants) for tenants in TENANTS]
    day = sum(RU_A_DAY.values())
    lines = ["### A tenant's day in request units", "", "| | RU a day | share |", "|---|---:|---:|"]
    lines += [f"| {name} | {ru:,.0f} | {100 * ru / day:.0f} % |" for name, ru in RU_A_DAY.items()]
    lines += [f"| **together** | **{day:,.0f}** | |", "", "### What is needed", "", f"| | {heads} |", rules]
    lines += [f"| {name} | {' | '.join(_number(each[name]) for each in need)} |" for name in need[0]]
    sizes = " | ".join(redis_size(each["GB in Redis"])[0] for each in need)
    lines += [
        f"| Redis size | {sizes} |",
        "",
        "### What it costs, US dollars a month",
        "",
        f"| | {heads} |",
        rules,
    ]
    lines += [f"| {name} | {' | '.join(_number(each[name]) for each in cost)} |" for name in cost[0]]
    total = [sum(each.values()) for each in cost]
    lines += [
        f"| **together** | {' | '.join(f'**{_number(each)}**' for each in total)} |",
        f"| for a tenant | {' | '.join(_number(each / n) for each, n in zip(total, TENANTS, strict=True))} |",
        "",
        "### Which limit is met first",
        "",
        "| limit | enough for tenants | then |",
        "|---|---:|---|",
    ]
    found = sorted(LIMITS_MET, key=lambda each: each.tenants)
    lines += [f"| {each.name} | {each.tenants:,} | {each.then} |" for each in found]
    return "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """The document with its tables made anew, between their marks."""
    before, _, rest = text.partition("<!-- infra.sizing -->\n")
    _, _, after = rest.partition("<!-- /infra.sizing -->\n")
    return f"{before}<!-- infra.sizing -->\n{tables()}<!-- /infra.sizing -->\n{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text("utf-8")), "utf-8")
    print(f"wrote {DOCUMENT.relative_to(ROOT)}")
