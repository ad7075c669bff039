"""Who the sandbox's only Google account is."""

from __future__ import annotations

NAME = "google"
ACCOUNT = "integration@castiel.example.com"
ACCOUNT_ID = "110248495921238986420"
TIME_ZONE = "Europe/Berlin"
CONTACTS_SCOPE = "https://www.googleapis.com/auth/contacts"
EVENTS_SCOPE = "https://www.googleapis.com/auth/calendar.events"
DEFAULT_SCOPE = f"{CONTACTS_SCOPE} {EVENTS_SCOPE} openid https://www.googleapis.com/auth/userinfo.email"
