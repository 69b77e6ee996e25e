"""Signing in with an authorization server: SMART App Launch 2.2, SMART Backend Services, OpenID Connect (fhir 5).

Where a server is comes from an EHR's own configuration, whose base is one that an administrator registered; from nowhere
else. Keys, signatures and claims are joserfc's work.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from fhir_mappings.views import Json, objects
from plugin.ehr import errors
from plugin.ehr.tokens import Granted, Renewable
from plugin.keys import SigningKeys
from plugin.settings import Algorithm, AppSettings, BackendSettings, EhrSettings, Limits, SettingsError

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ID_TOKEN_ALGORITHMS = ["RS256", "RS384", "ES256", "ES384"]
_LEEWAY_SECONDS = 30
_NEW_KEYS_SECONDS = 60  # an unknown key sends us to the key set again at most this often
_MOST_BYTES = 1024 * 1024


class SignInError(Exception):
    """Signing in did not work. The message names the step and what to do; it holds nothing of a token."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An authorization server as it describes itself."""

    token: str
    authorization: str | None = None
    issuer: str | None = None
    jwks: str | None = None
    capabilities: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are to an authorization server: a public client has no key."""

    id: str
    public: bool
    algorithm: Algorithm


@dataclass(frozen=True, slots=True)
class Asked:
    """An authorization request under way: what must come back, and what only we know of it."""

    state: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)

    @classmethod
    def fresh(cls) -> Asked:
        """Unpredictable values of 256 bits."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(48), secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        """The PKCE challenge, S256."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token request granted: the access token, perhaps more, and the launch's context."""

    access: str = field(repr=False)
    seconds: float
    scope: str = ""
    refresh: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    context: Mapping[str, Any] = field(default_factory=dict)

    def granted(self) -> Granted:
        """The access token with its end."""
        return Granted.now(self.access, self.seconds)


class OAuth:
    """Talks to authorization servers. One for the process; what servers publish is kept for a while."""

    def __init__(self, keys: SigningKeys, limits: Limits, *, transport: httpx.BaseTransport | None = None) -> None:
        self._keys = keys
        self._http = httpx.Client(
            timeout=httpx.Timeout(limits.request_seconds, connect=5.0),
            follow_redirects=False,
            transport=transport,
            headers={"Accept": "application/json", "User-Agent": "claimwright/0.1"},
        )
        self._key_sets: dict[str, tuple[float, KeySet]] = {}

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    # --- where ---

    def of_ehr(self, ehr: EhrSettings) -> Provider:
        """The authorization server of an EHR, by its SMART configuration.

        Raises:
            SignInError: it has none, or one without what SMART requires (S256 and not plain).
        """
        base = ehr.base_url.rstrip("/") + "/"
        body = self._json("GET", urljoin(base, ".well-known/smart-configuration"), "the EHR's SMART configuration")
        methods = body.get("code_challenge_methods_supported") or []
        if body.get("authorization_endpoint") and ("S256" not in methods or "plain" in methods):
            raise SignInError("the EHR's SMART configuration: PKCE with S256, and not plain, is required")
        return self._provider(body, base)

    def of_issuer(self, issuer: str) -> Provider:
        """An OpenID Connect provider.

        Raises:
            SignInError: its configuration is not to be had, or speaks of another issuer.
        """
        url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        body = self._json("GET", url, "the sign-in provider's configuration")
        if str(body.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
            raise SignInError("the sign-in provider's configuration speaks of another issuer")
        return self._provider(body, issuer)

    def _provider(self, body: Json, base: str) -> Provider:
        def place(name: str) -> str | None:
            return _safe(urljoin(base, str(body[name])), name) if body.get(name) else None

        token = place("token_endpoint")
        if token is None:
            raise SignInError("the authorization server names no token_endpoint")
        return Provider(
            token=token,
            authorization=place("authorization_endpoint"),
            issuer=str(body["issuer"]) if body.get("issuer") else None,
            jwks=place("jwks_uri"),
            capabilities=frozenset(map(str, body.get("capabilities") or ())),
            scopes=frozenset(map(str, body.get("scopes_supported") or ())),
        )

    # --- what ---

    def authorization_url(
        self, provider: Provider, client: Client, asked: Asked, redirect: str, scope: str, **more: str
    ) -> str:
        """Where to send the browser."""
        if provider.authorization is None:
            raise SignInError("the authorization server offers no sign-in for people")
        query = {
            "response_type": "code",
            "client_id": client.id,
            "redirect_uri": redirect,
            "scope": scope,
            "state": asked.state,
            "nonce": asked.nonce,
            "code_challenge": asked.challenge,
            "code_challenge_method": "S256",
        } | more
        return f"{provider.authorization}{'&' if '?' in provider.authorization else '?'}{urlencode(query)}"

    def exchange(self, provider: Provider, client: Client, code: str, verifier: str, redirect: str) -> Tokens:
        """An authorization code for tokens.

        Raises:
            SignInError: the server refused, or answered with what is no token.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        return self._grant(provider, client, form)

    def refresh(self, provider: Provider, client: Client, token: str) -> Tokens:
        """A refresh token for new tokens; the old one must not be used again.

        Raises:
            SignInError: the grant has ended.
        """
        return self._grant(provider, client, {"grant_type": "refresh_token", "refresh_token": token})

    def backend_source(self, ehr: EhrSettings) -> Renewable:
        """Tokens of an EHR for work without a person, got when one is needed.

        The source raises `Unauthorized` where the server does not know us so, or grants less.
        """
        backend = ehr.backend
        if backend is None:
            raise SettingsError("ehr.backend: this EHR has not registered us for work without a person")
        client = Client(backend.client_id, public=False, algorithm=backend.algorithm)

        def grant() -> Granted:
            try:
                provider = self.of_ehr(ehr)
                form = {"grant_type": "client_credentials", "scope": backend_scope(provider, backend)}
                return self._grant(provider, client, form).granted()
            except SignInError as problem:
                raise errors.Unauthorized(f"Backend Services: {problem}") from None

        return Renewable(grant)

    def _grant(self, provider: Provider, client: Client, form: dict[str, str]) -> Tokens:
        if client.public:
            form = form | {"client_id": client.id}
        else:
            assertion = self._keys.assertion(client.id, provider.token, client.algorithm)
            form = form | {"client_assertion_type": _ASSERTION, "client_assertion": assertion}
        body = self._json("POST", provider.token, "the token request", form=form)
        access, kind = body.get("access_token"), str(body.get("token_type", "bearer"))
        if not isinstance(access, str) or not access or kind.lower() != "bearer":
            raise SignInError("the token request: the answer holds no bearer token")
        seconds = body.get("expires_in")
        known = {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
        return Tokens(
            access=access,
            seconds=float(seconds) if isinstance(seconds, (int, float)) and 0 < seconds < 86_400 else 300.0,
            scope=str(body.get("scope") or ""),
            refresh=body["refresh_token"] if isinstance(body.get("refresh_token"), str) else None,
            id_token=body["id_token"] if isinstance(body.get("id_token"), str) else None,
            context={k: v for k, v in body.items() if k not in known},
        )

    # --- who ---

    def identity(self, provider: Provider, client: Client, tokens: Tokens, nonce: str) -> dict[str, Any]:
        """The verified claims of an id_token.

        Raises:
            SignInError: there is none, or its signature, issuer, audience, times or nonce are not right.
        """
        if tokens.id_token is None:
            raise SignInError("the sign-in came without an id_token; grant us the scopes openid and fhirUser")
        if provider.issuer is None:
            raise SignInError("the authorization server names no issuer, so nobody can say who signed in")
        jwks = provider.jwks or self.of_issuer(provider.issuer).jwks
        if jwks is None:
            raise SignInError("the authorization server publishes no keys (jwks_uri)")
        claims = self.verified(
            tokens.id_token, jwks, _ID_TOKEN_ALGORITHMS, [provider.issuer], client.id, essential=("sub",)
        )
        if claims.get("nonce") not in (None, nonce):
            raise SignInError("the id_token answers another sign-in (nonce)")
        return claims

    def verified(
        self,
        token: str,
        jwks: str,
        algorithms: Sequence[str],
        issuers: Sequence[str],
        audience: str,
        *,
        essential: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The claims of a JWT signed by a key of that key set, issued by one of those for that audience, in its time.

        Raises:
            SignInError: anything of that is not so.
        """
        try:
            claims = self._decoded(token, jwks, algorithms)
            required = {name: {"essential": True} for name in essential}
            JWTClaimsRegistry(
                leeway=_LEEWAY_SECONDS,
                iss={"essential": True, "values": list(issuers)},
                aud={"essential": True, "value": audience},
                exp={"essential": True},
                iat={"essential": True},
                **required,  # type: ignore[arg-type]
            ).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as problem:
            raise SignInError(f"a signed token was not accepted ({type(problem).__name__})") from None
        return claims

    def _decoded(self, token: str, jwks: str, algorithms: Sequence[str]) -> dict[str, Any]:
        kid = _header(token).get("kid")
        keys = self._published(jwks)
        if kid is not None and not any(k.kid == kid for k in keys.keys):
            keys = self._published(jwks, unknown=True)
        claims: dict[str, Any] = jwt.decode(token, keys, algorithms=list(algorithms)).claims
        return claims

    def _published(self, jwks: str, *, unknown: bool = False) -> KeySet:
        """A key set as published; read again after an hour, or for an unknown key, but not more often than once a minute."""
        fetched, keys = self._key_sets.get(jwks, (0.0, None))
        age = time.monotonic() - fetched
        if keys is None or age > (_NEW_KEYS_SECONDS if unknown else 3600):
            body = self._json("GET", _safe(jwks, "jwks_uri"), "the published keys")
            asymmetric = [k for k in objects(body.get("keys")) if k.get("kty") in ("RSA", "EC")]
            keys = KeySet.import_key_set({"keys": asymmetric})
            self._key_sets[jwks] = (time.monotonic(), keys)
        return keys

    # --- the one way out ---

    def _json(self, method: str, url: str, what: str, form: dict[str, str] | None = None) -> Json:
        try:
            response = self._http.request(method, url, data=form)
            body = response.json() if len(response.content) <= _MOST_BYTES else None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise SignInError(f"{what}: no answer from the authorization server; try again") from None
        except (ValueError, RecursionError):
            body = None
        if response.status_code != 200:
            said = body.get("error") if isinstance(body, dict) else None
            known = said if said in _KNOWN_ERRORS else response.status_code
            raise SignInError(f"{what}: refused ({known})")
        if not isinstance(body, dict):
            raise SignInError(f"{what}: the answer is no JSON object")
        return body


_KNOWN_ERRORS = frozenset(
    """invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope
    access_denied server_error temporarily_unavailable login_required consent_required""".split()
)


def known_error(code: str | None) -> str:
    """An OAuth error code as it may be shown: those of the standards; others could be anybody's words."""
    return code if code in _KNOWN_ERRORS else "refused"


def _header(token: str) -> dict[str, Any]:
    part = token.partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(header, dict):
        raise TypeError("no header")
    return header


def _safe(url: str, what: str) -> str:
    """HTTPS, or loopback: nothing of ours goes over an open wire."""
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise SignInError(f"{what}: only https is used")
    return url


# --- scopes (fhir 5.3) ---

_READ = (
    ("Patient", "r", "patient"),
    ("Encounter", "rs", "patient"),
    ("DocumentReference", "rs", "patient"),
    ("Binary", "r", "patient"),
    ("Condition", "rs", "patient"),
    ("Coverage", "rs", "patient"),
    ("Practitioner", "r", "user"),
    ("PractitionerRole", "rs", "user"),
    ("Organization", "r", "user"),
    ("Location", "r", "user"),
)
_CLAIMS = (("Claim", "crus", "patient"), ("Provenance", "crs", "patient"), ("Device", "crs", "user"))
_V1 = {"r": "read", "rs": "read", "crus": "*", "crs": "*"}


def launch_scope(provider: Provider, app: AppSettings) -> str:
    """What to ask for when the EHR launches us in a chart."""
    return " ".join(
        [
            "launch launch/patient launch/encounter openid fhirUser online_access",
            *_resources(provider, app.claims, None),
        ]
    )


def standalone_scope(provider: Provider, app: AppSettings) -> str:
    """What to ask for when a person signs in outside a chart: all that they themselves may see."""
    return " ".join(["openid fhirUser online_access", *_resources(provider, app.claims, "user")])


def backend_scope(provider: Provider, backend: BackendSettings) -> str:
    """What to ask for when nobody is there."""
    return " ".join(_resources(provider, backend.claims, "system"))


def _resources(provider: Provider, claims: bool, level: str | None) -> list[str]:
    """Version 2 of SMART's scopes, or version 1 where the server does not say that it knows version 2."""
    second = not provider.capabilities or "permission-v2" in provider.capabilities
    wanted = (*_READ, *(_CLAIMS if claims else ()))
    return [f"{level or each}/{kind}.{rights if second else _V1[rights]}" for kind, rights, each in wanted]
