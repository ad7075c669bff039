"""The workspace's two data sources and their properties.

Source: https://developers.notion.com/reference/property-object
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.local.sandbox.notion.ids import (
    CONTACTS_DATABASE_ID,
    CONTACTS_ID,
    TASKS_DATABASE_ID,
    TASKS_ID,
    made_id,
)

JsonObject = dict[str, Any]

READ_ONLY = frozenset(
    {"formula", "rollup", "created_time", "created_by", "last_edited_time", "last_edited_by", "unique_id"}
)


@dataclass(frozen=True, slots=True)
class Property:
    """One property; ``id`` is URL-encoded, as Notion gives it."""

    name: str
    id: str
    type: str
    config: JsonObject = field(default_factory=dict)

    def render(self, added_options: list[str]) -> JsonObject:
        """As the data source describes it, with the options that writes have added."""
        config = dict(self.config)
        if self.type in ("select", "multi_select"):
            first = len(config["options"])
            more = [option(name, first + index) for index, name in enumerate(added_options)]
            config["options"] = [*config["options"], *more]
        return {
            "id": self.id,
            "name": self.name,
            "description": None,
            "type": self.type,
            self.type: config,
        }


@dataclass(frozen=True, slots=True)
class Source:
    """A data source, alone in its database."""

    id: str
    database_id: str
    title: str
    properties: tuple[Property, ...]

    def find(self, name_or_id: str) -> Property | None:
        return next((p for p in self.properties if name_or_id in (p.name, p.id)), None)


_COLORS = ("default", "gray", "brown", "orange", "yellow", "green", "blue", "purple", "pink", "red")


def option(name: str, index: int = 0) -> JsonObject:
    return {
        "id": made_id(f"option {name}", 1),
        "name": name,
        "color": _COLORS[index % len(_COLORS)],
        "description": None,
    }


def _options(*names: str) -> JsonObject:
    return {"options": [option(name, index) for index, name in enumerate(names)]}


def _status(*names: str) -> JsonObject:
    options = [option(name, index) for index, name in enumerate(names)]
    titles = ("To-do", "In progress", "Complete")
    groups = [
        {"id": made_id(f"group {title}", 1), "name": title, "color": "gray", "option_ids": [one["id"]]}
        for title, one in zip(titles, options, strict=False)
    ]
    return {"options": options, "groups": groups}


def _relation(source_id: str, database_id: str) -> JsonObject:
    return {
        "database_id": database_id,
        "data_source_id": source_id,
        "type": "single_property",
        "single_property": {},
    }


CONTACTS = Source(
    CONTACTS_ID,
    CONTACTS_DATABASE_ID,
    "Contacts",
    (
        Property("Name", "title", "title"),
        Property("Email", "e%3Dml", "email"),
        Property("Phone", "pH%5En", "phone_number"),
        Property("Company", "cO%7Dm", "rich_text"),
        Property("Role", "rOl%3A", "rich_text"),
        Property("Website", "uRl%40", "url"),
        Property("Status", "Z%3ClH", "status", _status("Lead", "Active", "Dormant")),
        Property("Kind", "kN%3Bd", "select", _options("Customer", "Supplier", "Partner")),
        Property("Tags", "tAg%3F", "multi_select", _options("vip", "newsletter", "event")),
        Property("Score", "sC%7Cr", "number", {"format": "number"}),
        Property("Subscribed", "sUb%5D", "checkbox"),
        Property("Birthday", "bDy%5B", "date"),
        Property("Next call", "nXt%60", "date"),
        Property("Notes", "nO%3Ets", "rich_text"),
        Property("Owner", "oW%7Bn", "people"),
        Property("Tasks", "tSk%3D", "relation", _relation(TASKS_ID, TASKS_DATABASE_ID)),
        Property(
            "Task count",
            "tCt%40",
            "rollup",
            {
                "function": "count",
                "relation_property_name": "Tasks",
                "relation_property_id": "tSk%3D",
                "rollup_property_name": "Task name",
                "rollup_property_id": "title",
            },
        ),
        Property("Label", "lBl%5C", "formula", {"expression": 'prop("Name") + " – " + prop("Company")'}),
        Property("Files", "fIl%3A", "files"),
        Property("Number", "nUm%5E", "unique_id", {"prefix": "CRM"}),
        Property("Castiel ID", "cAs%7Eid", "rich_text"),
        Property("Created", "cRt%3C", "created_time"),
        Property("Created by", "cRb%3E", "created_by"),
        Property("Edited", "eDt%3D", "last_edited_time"),
        Property("Edited by", "eDb%3F", "last_edited_by"),
    ),
)
TASKS = Source(
    TASKS_ID,
    TASKS_DATABASE_ID,
    "Tasks",
    (
        Property("Task name", "title", "title"),
        Property("State", "sTt%3B", "status", _status("Not started", "In progress", "Done")),
        Property("Due date", "M%3BBw", "date"),
        Property("Contact", "cNt%3A", "relation", _relation(CONTACTS_ID, CONTACTS_DATABASE_ID)),
    ),
)
SOURCES = {source.id: source for source in (CONTACTS, TASKS)}
