"""How Salesforce's standard objects become shards, where a connection names no schema of its own."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _direct(field: str, source: str, **more: Any) -> Json:
    return {"kind": "direct", "field": field, "source": source, **more}


def _inbound(field: str, source: str, **more: Any) -> Json:
    return _direct(field, source, direction="inbound", **more)


def _address(prefix: str) -> list[Json]:
    parts = {
        "street": "Street",
        "city": "City",
        "state": "State",
        "postalCode": "PostalCode",
        "country": "Country",
    }
    return [_direct(field, f"{prefix}{part}") for field, part in parts.items()]


def _person() -> list[Json]:
    return [
        _direct("firstName", "FirstName"),
        _direct("lastName", "LastName", required=True),
        _inbound("name", "Name"),
        _direct("email", "Email"),
        _direct("phone", "Phone"),
        _direct("title", "Title"),
        _direct("leadSource", "LeadSource"),
        _direct("description", "Description"),
    ]


def _schema(entity: str, shard_type: str, mappings: list[Json]) -> Json:
    return {
        "id": f"salesforce-{entity.lower()}",
        # Of no tenant: it is the same for all.
        "tenantId": "",
        "integrationId": "salesforce",
        "entity": entity,
        "shardType": shard_type,
        "version": 1,
        "labelField": "name",
        "mappings": mappings,
    }


DEFAULT_SCHEMAS: tuple[Json, ...] = (
    _schema(
        "Account",
        "account",
        [
            _direct("name", "Name", required=True),
            _direct("phone", "Phone"),
            _direct("website", "Website"),
            _direct("industry", "Industry"),
            _direct("type", "Type"),
            _direct("accountNumber", "AccountNumber"),
            _direct("employees", "NumberOfEmployees"),
            _direct("annualRevenue", "AnnualRevenue"),
            _direct("description", "Description"),
            *_address("Billing"),
        ],
    ),
    _schema(
        "Contact",
        "contact",
        [
            *_person(),
            _direct("mobilePhone", "MobilePhone"),
            _direct("department", "Department"),
            _direct("birthDate", "Birthdate", type="date"),
            _inbound("accountId", "AccountId"),
            *_address("Mailing"),
        ],
    ),
    _schema(
        "Opportunity",
        "opportunity",
        [
            _direct("name", "Name", required=True),
            _direct("stage", "StageName", required=True),
            _direct("closeDate", "CloseDate", type="date", required=True),
            _direct("amount", "Amount"),
            _direct("probability", "Probability"),
            _direct("type", "Type"),
            _direct("leadSource", "LeadSource"),
            _direct("nextStep", "NextStep"),
            _direct("description", "Description"),
            _inbound("accountId", "AccountId"),
            _inbound("closed", "IsClosed"),
            _inbound("won", "IsWon"),
        ],
    ),
    _schema(
        "Lead",
        "lead",
        [
            *_person(),
            _direct("company", "Company", required=True),
            _direct("status", "Status"),
            _direct("industry", "Industry"),
            _inbound("converted", "IsConverted"),
        ],
    ),
)
"""Ids of other records (``accountId``) come in only: another org's ids mean nothing to this one."""
