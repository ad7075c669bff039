"""How to mend what the doctor finds: in the cloud and on this machine."""

from __future__ import annotations

from castiel.errors import CastielError, DependencyUnavailable

_START = "start it with `make stack` (everything: `make run`), and use the local.settings.json it writes"
_UNREACHABLE = {
    "cosmos": (
        "check COSMOS_ENDPOINT, and that the account's firewall or private endpoint lets this network in",
        f"Cosmos DB's emulator does not answer: {_START}",
    ),
    "service-bus": (
        "check SERVICE_BUS_CONNECTION_STRING__fullyQualifiedNamespace, and that port 5671 and the namespace's"
        " firewall let this network in",
        f"Service Bus' emulator does not answer: {_START}",
    ),
    "key-vault": (
        "check KEY_VAULT_URL, and that the vault's firewall or private endpoint lets this network in",
        f"Key Vault's emulator does not answer: {_START}",
    ),
    "redis": (
        "check REDIS_URL (rediss://name.region.redis.azure.net:10000), and that its network lets this one in",
        f"Redis does not answer: {_START}",
    ),
    "event-grid": (
        "check EVENT_GRID_TOPIC_ENDPOINT, and that the topic's network rules let this network in",
        f"Event Grid's emulator does not answer: {_START}",
    ),
    "sandbox": (
        "unset CASTIEL_SANDBOX_URL: it is for this machine only",
        f"the providers' sandbox does not answer: {_START}",
    ),
    "connections": ("see the provider's status page; the workers try again by themselves",) * 2,
}
_WRONG = {
    "cosmos": (
        "run `azd provision`; the identity needs the role Cosmos DB Built-in Data Contributor on the account",
        "run `make stack`: it creates what is missing (`make clean-data` begins anew)",
    ),
    "service-bus": (
        "run `azd provision`; the identity needs Azure Service Bus Data Owner on the namespace",
        "check SERVICE_BUS_QUEUE and SERVICE_BUS_QUEUE_OUTBOUND: the emulator has sync-inbound and sync-outbound",
    ),
    "key-vault": (
        "give the identity Key Vault Secrets Officer on the vault",
        "take KEY_VAULT_CA_FILE and KEY_VAULT_STATIC_TOKEN from the local.settings.json that `make stack` writes",
    ),
    "redis": (
        "with REDIS_USE_ENTRA=true the identity needs a Data Owner access policy on the cache",
        "check REDIS_URL against the local.settings.json that `make stack` writes",
    ),
    "event-grid": (
        "give the identity EventGrid Data Sender on the topic, or check EVENT_GRID_TOPIC_KEY",
        "take EVENT_GRID_TOPIC_KEY from the local.settings.json that `make stack` writes",
    ),
    "sandbox": ("unset CASTIEL_SANDBOX_URL", "check CASTIEL_SANDBOX_URL"),
    "connections": (
        "`castiel connections authorize` gives it a new grant; `castiel connections show` says why it is paused",
    )
    * 2,
}
SETTINGS = (
    "set what is named above (in Azure: the Function App's application settings; here: `make stack` writes"
    " local.settings.json, see local.settings.json.example)"
)
CLOCK = "set this machine's clock by NTP: leases, signatures and tokens compare times"


def advice_for(area: str, error: CastielError, *, local: bool) -> str:
    """What to do about an error that was met in an area of :data:`_UNREACHABLE`."""
    table = _UNREACHABLE if isinstance(error, DependencyUnavailable) else _WRONG
    return table[area][1 if local else 0]
