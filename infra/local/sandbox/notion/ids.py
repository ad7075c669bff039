"""Who and what is in the workspace; most ids are those of Notion's published examples."""

from __future__ import annotations

from uuid import UUID, uuid5

NAME = "notion"

WORKSPACE_ID = "68313c5c-0f5a-4e4c-9f6e-1b8a3c1ad0f4"
WORKSPACE_NAME = "Example Works"
BOT_ID = "16d84278-ab0e-484c-9bdd-b35da3bd8905"
PERSON_ID = "5389a034-eb5c-47b5-8a9e-f79c99ef166c"
COLLEAGUE_ID = "c2f20311-9e54-4d11-8c79-7398424ae41e"
INTEGRATION_ID = "0ef104cd-477e-80e1-8571-cfd10e92339a"
SUBSCRIPTION_ID = "29d75c0d-5546-4414-8459-7b7a92f1fc4b"
ROOT_PAGE_ID = "af5f89b5-a8ff-4c56-a5e8-69797d11b9f8"

CONTACTS_ID = "2f26ee68-df30-4251-aad4-8ddc420cba3d"
CONTACTS_DATABASE_ID = "842a0286-cef0-46a8-abba-eac4c8ca644e"
TASKS_ID = "c174b72c-d782-432f-8dc0-b647e1c96df6"
TASKS_DATABASE_ID = "a1d8501e-1ac1-43e9-a6bd-ea9fe6c8822b"

_NAMESPACE = UUID("b55c9c91-384d-452b-81db-d1ef79372b75")


def made_id(kind: str, number: int) -> str:
    """The id of the nth of its kind: the same in every workspace, and in no order."""
    return str(uuid5(_NAMESPACE, f"{kind} {number}"))


def canonical_id(text: object) -> str | None:
    """An id with or without dashes as answers have it; None for what is no UUID."""
    try:
        return str(UUID(str(text)))
    except ValueError:
        return None
