"""WebhookManagementService: registrations, signatures, events, and what a delivery turns into.

``registrations``: looked up by id. ``verification``: who sent it. ``first_secret``: a sender that brings its own.
``orders``: what events ask for. ``intake``: how that becomes durable. ``seen``: duplicates. ``sweep``: what had to
wait. ``lifecycle``: events about the connection. ``management``: what operators do, with ``registration_secrets`` and
``trial``, a delivery to ourselves.
"""

from castiel.services.webhooks.management import (
    IssuedRegistration,
    NewRegistration,
    WebhookRegistrations,
)
from castiel.services.webhooks.service import WebhookManagementService
from castiel.services.webhooks.trial import TrialDelivery

__all__ = [
    "IssuedRegistration",
    "NewRegistration",
    "TrialDelivery",
    "WebhookManagementService",
    "WebhookRegistrations",
]
