"""SecureCredentialService: tokens that are fresh when they are used, refreshed once however many ask.

``reader``: documents and secrets, cached shortly. ``refreshing``: one refresh, safe against a crash at every step;
``refresh_journal``: what was begun and what came of it; ``token_pairs``: the new pair to Key Vault, its metadata after.
``reauthorisation``: when a grant is dead, and when it lives again. ``management``: what operators do.
``webhook_secrets``: rotation with an overlap. ``authorisation``: a person's consent.
"""

from castiel.services.credentials.authorizer import CredentialAuthorizer
from castiel.services.credentials.reader import StoredToken
from castiel.services.credentials.service import SecureCredentialService

__all__ = ["CredentialAuthorizer", "SecureCredentialService", "StoredToken"]
