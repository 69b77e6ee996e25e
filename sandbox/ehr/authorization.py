"""The sandbox's authorization server: SMART App Launch 2.2 for people, Backend Services for software, OpenID Connect for staff.

It refuses what a real one refuses. Who signs in is chosen from a list: there are no passwords in a sandbox.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jwt import JWTClaimsRegistry

CODE_SECONDS = 60
TOKEN_SECONDS = 600
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Registered:
    """A client: where its browser comes back to, where its keys are; no keys, and it is public."""

    id: str
    redirect: str | None
    jwks: str | None


@dataclass(frozen=True, slots=True)
class Launch:
    """What the EHR had open when it launched an app."""

    person: str
    patient: str | None = None
    encounter: str | None = None
    app_context: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code and what it was given for."""

    client: str
    redirect: str
    challenge: str
    scope: str
    nonce: str | None
    launch: Launch
    ends: float


@dataclass(slots=True)
class Grant:
    """An access token's meaning. `patient` limits `patient/` scopes to one chart."""

    client: str
    scope: frozenset[str]
    person: str | None
    patient: str | None
    ends: float


class OAuthError(Exception):
    """An error of OAuth, by its code."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


@dataclass
class AuthorizationServer:
    """Keeps everything in memory, as long as the sandbox runs. `need_patient_banner` is what launches say."""

    issuer: str
    base: str
    clients: dict[str, Registered]
    staff: dict[str, str]
    need_patient_banner: bool = True
    launches: dict[str, Launch] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    _codes: dict[str, Code] = field(default_factory=dict)
    _refresh: dict[str, tuple[Launch, Code]] = field(default_factory=dict)
    _jtis: set[str] = field(default_factory=set)
    hook_key: ECKey = field(
        default_factory=lambda: ECKey.generate_key(
            "P-384", {"kid": "hooks", "use": "sig", "alg": "ES384"}, private=True
        )
    )
    key: RSAKey = field(
        default_factory=lambda: RSAKey.generate_key(
            2048, {"kid": "sandbox", "use": "sig", "alg": "RS256"}, private=True
        )
    )

    # --- what it says of itself ---

    def smart_configuration(self) -> dict[str, Any]:
        """For apps that know the FHIR base."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "capabilities": [
                "launch-ehr",
                "launch-standalone",
                "client-public",
                "client-confidential-asymmetric",
                "sso-openid-connect",
                "context-ehr-patient",
                "context-ehr-encounter",
                "permission-patient",
                "permission-user",
                "permission-v2",
                "permission-online",
            ],
        }

    def openid_configuration(self) -> dict[str, Any]:
        """For those who know the issuer."""
        return self.smart_configuration() | {"id_token_signing_alg_values_supported": ["RS256"]}

    def jwks(self) -> dict[str, Any]:
        """Its public keys: the one of id_tokens, and the one of the EHR's calls to hooks."""
        return {"keys": [key.as_dict(private=False) for key in (self.key, self.hook_key)]}

    def hook_token(self, caller: str, audience: str, **changes: Any) -> str:
        """A token by which the EHR proves that it calls a hook."""
        now = int(time.time())
        claims = {"iss": caller, "aud": audience, "iat": now, "exp": now + 120, "jti": secrets.token_hex(16)} | changes
        header = {"alg": "ES384", "kid": "hooks", "typ": "JWT"}
        return jwt.encode(header, claims, self.hook_key, algorithms=["ES384"])

    # --- people ---

    def launch(self, launch: Launch) -> str:
        """A launch handle for what the EHR has open."""
        handle = secrets.token_urlsafe(16)
        self.launches[handle] = launch
        return handle

    def authorize(self, query: dict[str, str], person: str | None) -> str | None:
        """Where to send the browser back to; None where nobody has said yet who signs in.

        Raises:
            OAuthError: the request is not one to answer; the browser is not sent anywhere.
        """
        client = self.clients.get(query.get("client_id", ""))
        if client is None or client.redirect is None or query.get("redirect_uri") != client.redirect:
            raise OAuthError("invalid_request")
        back: dict[str, str] = {"state": query.get("state", "")}
        scopes = query.get("scope", "").split()
        launch = self.launches.get(query.get("launch", "")) if "launch" in scopes else None
        fine = (
            query.get("response_type") == "code"
            and query.get("code_challenge_method") == "S256"
            and len(query.get("code_challenge", "")) == 43
            and len(query.get("state", "")) >= 22
            and ("aud" not in query or query["aud"].rstrip("/") == self.base)
            and ("aud" in query or not any("/" in s for s in scopes))
            and ("launch" not in scopes or launch is not None)
        )
        if not fine:
            return f"{client.redirect}?{urlencode(back | {'error': 'invalid_request'})}"
        if launch is None:
            if person is None:
                return None
            launch = Launch(person)
        code = secrets.token_urlsafe(24)
        self._codes[code] = Code(
            client.id,
            client.redirect,
            query["code_challenge"],
            query["scope"],
            query.get("nonce"),
            launch,
            time.monotonic() + CODE_SECONDS,
        )
        return f"{client.redirect}?{urlencode(back | {'code': code})}"

    # --- tokens ---

    def token(self, form: dict[str, str], url: str) -> dict[str, Any]:
        """Answer a token request.

        Raises:
            OAuthError: as the specification says.
        """
        client = self._client(form, url)
        match form.get("grant_type"):
            case "authorization_code":
                return self._for_code(client, form)
            case "refresh_token":
                launch, code = self._refresh.pop(form.get("refresh_token", ""), (None, None))
                if launch is None or code is None or code.client != client.id:
                    raise OAuthError("invalid_grant")
                return self._granted(client, code, launch)
            case "client_credentials" if client.redirect is None:
                scope = form.get("scope", "")
                if not scope or any(not s.startswith("system/") for s in scope.split()):
                    raise OAuthError("invalid_scope")
                return self._access(client, scope, None, None, seconds=300)
        raise OAuthError("unsupported_grant_type")

    def _for_code(self, client: Registered, form: dict[str, str]) -> dict[str, Any]:
        code = self._codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        if (
            code is None
            or code.client != client.id
            or code.redirect != form.get("redirect_uri")
            or code.challenge != challenge
            or code.ends < time.monotonic()
        ):
            raise OAuthError("invalid_grant")
        return self._granted(client, code, code.launch)

    def _granted(self, client: Registered, code: Code, launch: Launch) -> dict[str, Any]:
        answer = self._access(client, code.scope, launch.person, launch.patient, seconds=TOKEN_SECONDS)
        if "online_access" in code.scope.split():
            refresh = secrets.token_urlsafe(24)
            self._refresh[refresh] = (launch, code)
            answer["refresh_token"] = refresh
        if "openid" in code.scope.split():
            answer["id_token"] = self._id_token(client, code, launch)
        context = {"patient": launch.patient, "encounter": launch.encounter, "appContext": launch.app_context}
        answer |= {k: v for k, v in context.items() if v is not None}
        if launch.note:
            answer["fhirContext"] = [{"reference": f"DocumentReference/{launch.note}"}]
        if launch.patient:
            answer["need_patient_banner"] = self.need_patient_banner
        return answer

    def _access(
        self, client: Registered, scope: str, person: str | None, patient: str | None, *, seconds: int
    ) -> dict[str, Any]:
        token = secrets.token_urlsafe(24)
        self.grants[token] = Grant(client.id, frozenset(scope.split()), person, patient, time.monotonic() + seconds)
        return {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": scope}

    def _id_token(self, client: Registered, code: Code, launch: Launch) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": launch.person,
            "aud": client.id,
            "iat": now,
            "exp": now + 300,
        }
        if code.nonce:
            claims["nonce"] = code.nonce
        if launch.person in self.staff:
            claims["name"] = self.staff[launch.person]
        else:
            claims["fhirUser"] = f"{self.base}/Practitioner/{launch.person}"
        return jwt.encode({"alg": "RS256", "kid": "sandbox"}, claims, self.key, algorithms=["RS256"])

    def _client(self, form: dict[str, str], url: str) -> Registered:
        """The client that asks, proved by its own key unless it is public."""
        if form.get("client_assertion_type") != _ASSERTION:
            client = self.clients.get(form.get("client_id", ""))
            if client is None or client.jwks is not None:
                raise OAuthError("invalid_client", 401)
            return client
        assertion = form.get("client_assertion", "")
        for client in self.clients.values():
            if client.jwks and self._proves(assertion, client, url):
                return client
        raise OAuthError("invalid_client", 401)

    def _proves(self, assertion: str, client: Registered, url: str) -> bool:
        try:
            keys = KeySet.import_key_set(httpx.get(str(client.jwks), timeout=5).json())
            claims = jwt.decode(assertion, keys, algorithms=["ES384", "RS384"]).claims
            JWTClaimsRegistry(
                iss={"essential": True, "value": client.id},
                sub={"essential": True, "value": client.id},
                aud={"essential": True, "value": url},
                exp={"essential": True},
                jti={"essential": True},
            ).validate(claims)
        except (JoseError, ValueError, httpx.HTTPError):
            return False
        if claims["exp"] > time.time() + 300 or claims["jti"] in self._jtis:
            return False
        self._jtis.add(claims["jti"])
        return True

    # --- the door ---

    def may(self, token: str | None, interaction: str, kind: str) -> Grant | None:
        """The grant of a token that may do this (`c`, `r`, `u`, `s`) to that type; None where it may not.

        Raises:
            OAuthError: the token is none, or has ended.
        """
        grant = self.grants.get(token or "")
        if grant is None or grant.ends < time.monotonic():
            raise OAuthError("invalid_token", 401)
        for scope in grant.scope:
            _, _, rest = scope.partition("/")
            name, _, rights = rest.partition(".")
            rights = {"read": "rs", "write": "cud", "*": "cruds"}.get(rights, rights)
            if name in (kind, "*") and interaction in rights:
                return grant
        return None
