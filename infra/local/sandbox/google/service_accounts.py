"""Assertions of service accounts (RFC 7523), judged as Google's token endpoint judges them.

Source: https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes
"""

from __future__ import annotations

from typing import Any

import jwt

from infra.local.sandbox.google.errors import OAuthError
from infra.local.sandbox.google.names import ACCOUNT

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCES = ("https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token")
_MAX_SECONDS = 3600


def judge(assertion: str, accounts: dict[str, Any], audience: str) -> tuple[str, str]:
    """Whose token is asked for, and for which scopes.

    ``accounts``: by e-mail, each with ``publicKey`` and, where an administrator has delegated the domain's people
    to it, ``delegated`` (its scopes). Raises :class:`OAuthError`.
    """
    try:
        email = str(jwt.decode(assertion, options={"verify_signature": False}).get("iss"))
        account = accounts.get(email)
        if account is None:
            raise OAuthError("invalid_grant", "Invalid grant: account not found")
        # The account's clock may be moved; the signer's is the machine's. The expiry is left to that one.
        claims = jwt.decode(
            assertion, account["publicKey"], algorithms=["RS256"], audience=[*_AUDIENCES, audience]
        )
    except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
        raise OAuthError("invalid_grant", "Invalid JWT: Failed audience check.") from None
    except jwt.InvalidSignatureError:
        raise OAuthError("invalid_grant", "Invalid JWT Signature.") from None
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        raise _out_of_time() from None
    except jwt.PyJWTError:
        raise OAuthError("invalid_grant", "Invalid JWT") from None
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int) or expires - issued > _MAX_SECONDS:
        raise _out_of_time()
    scope = str(claims.get("scope") or "")
    if not scope:
        raise OAuthError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    subject = claims.get("sub")
    if subject is not None and subject != email:
        _check_delegation(str(subject), scope, account)
    return email, scope


def _check_delegation(subject: str, scope: str, account: dict[str, Any]) -> None:
    if subject != ACCOUNT:
        raise OAuthError("invalid_grant", "Invalid email or User ID")
    if not set(scope.split()) <= set(str(account.get("delegated") or "").split()):
        raise OAuthError(
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any "
            "of the scopes requested.",
            401,
        )


def _out_of_time() -> OAuthError:
    return OAuthError(
        "invalid_grant",
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
        "Check your iat and exp values in the JWT claim.",
    )
