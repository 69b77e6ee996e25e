"""Tokens that others sign: only the right key, issuer, audience, time and use are accepted; the rest is refused by name."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from plugin.ehr.oauth import Asked, Client, OAuth, Provider, SignInError, Tokens, launch_scope
from plugin.keys import SigningKeys
from plugin.settings import Algorithm, AppSettings, Limits, Settings
from tests.scripted import Answer, ScriptedServer

ISSUER, CLIENT = "https://ehr.example/auth", "client-1"
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}, private=True)
EC = ECKey.generate_key("P-384", {"kid": "ec", "use": "sig"}, private=True)
OTHER = ECKey.generate_key("P-384", {"kid": "other", "use": "sig"}, private=True)


@pytest.fixture
def oauth(tmp_path: Path) -> Iterator[OAuth]:
    """Ours, with fresh keys."""
    made = OAuth(SigningKeys.of(Settings(data_dir=tmp_path)), Limits())
    yield made
    made.close()


@pytest.fixture
def jwks(scripted: ScriptedServer) -> str:
    """A key set as published on loopback."""
    keys = {"keys": [RSA.as_dict(private=False), EC.as_dict(private=False)]}
    scripted.script(Answer(body=keys, content_type="application/json"))
    return scripted.base


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token."""
    now = int(time.time())
    return {"iss": ISSUER, "aud": CLIENT, "sub": "p", "iat": now, "exp": now + 120, "jti": "1"} | changes


def signed(key: Any = EC, alg: str = "ES384", kid: str | None = "ec", **changes: Any) -> str:
    """A token, good unless changed."""
    header = {"alg": alg} | ({"kid": kid} if kid else {})
    return jwt.encode(header, claims(**changes), key, algorithms=[alg])


def unsigned() -> str:
    """A token whose header says that nobody signed it."""
    parts = ({"alg": "none", "kid": "ec"}, claims())
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."


def test_a_good_token_is_read(oauth: OAuth, jwks: str) -> None:
    """Both algorithms that SMART names are understood."""
    assert oauth.verified(signed(), jwks, ["ES384", "RS384"], [ISSUER], CLIENT)["sub"] == "p"
    assert oauth.verified(signed(RSA, "RS384", "rsa"), jwks, ["ES384", "RS384"], [ISSUER], CLIENT)["sub"] == "p"


def confused() -> str:
    """Signed with HMAC, with the public key's own text as the secret."""
    header = {"alg": "HS256", "kid": "rsa"}
    start = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in (header, claims()))
    mac = hmac.new(RSA.as_pem(private=False), start.encode(), hashlib.sha256).digest()
    return f"{start}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


BAD: dict[str, Callable[[], str]] = {
    "alg none": unsigned,
    "HS256 with the public key as secret": confused,
    "another key under a known id": lambda: signed(OTHER, kid="ec"),
    "a key that nobody published": lambda: signed(OTHER, kid="other"),
    "another audience": lambda: signed(aud="client-2"),
    "another issuer": lambda: signed(iss="https://elsewhere.example"),
    "expired": lambda: signed(exp=int(time.time()) - 60),
    "issued in the future": lambda: signed(iat=int(time.time()) + 600),
    "without an end": lambda: signed(exp=None),
    "without an id": lambda: signed(jti=None),
    "no token at all": lambda: "no.token.here",
    "not even that": lambda: "x",
}


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_is_not_right_is_refused(oauth: OAuth, jwks: str, name: str) -> None:
    """Each way of being wrong ends in the same words, which hold nothing of the token."""
    token = BAD[name]()
    with pytest.raises(SignInError) as refused:
        oauth.verified(token, jwks, ["ES384", "RS384"], [ISSUER], CLIENT, essential=("jti",))
    assert str(refused.value).startswith("a signed token was not accepted (")
    assert ISSUER not in str(refused.value)


def test_an_unknown_key_is_looked_for_at_most_once_a_minute(oauth: OAuth, jwks: str, scripted: ScriptedServer) -> None:
    """A caller that invents key ids does not make us fetch for each."""
    for _ in range(5):
        with pytest.raises(SignInError):
            oauth.verified(signed(OTHER, kid="other"), jwks, ["ES384"], [ISSUER], CLIENT)
    assert len(scripted.requests) == 1


def test_an_id_token_of_another_sign_in_is_refused(oauth: OAuth, jwks: str) -> None:
    """The nonce ties it to the request; a token that holds none is taken, because SMART does not ask for one."""
    provider = Provider(token="https://ehr.example/token", issuer=ISSUER, jwks=jwks)
    client = Client(CLIENT, public=True, algorithm=Algorithm.ES384)

    def answered(**changes: Any) -> Tokens:
        return Tokens("t", 60.0, id_token=signed(**changes))

    assert oauth.identity(provider, client, answered(nonce="mine"), "mine")["sub"] == "p"
    assert oauth.identity(provider, client, answered(), "mine")["sub"] == "p"
    with pytest.raises(SignInError, match="nonce"):
        oauth.identity(provider, client, answered(nonce="theirs"), "mine")
    with pytest.raises(SignInError, match="without an id_token"):
        oauth.identity(provider, client, Tokens("t", 60.0), "mine")


def test_our_assertion_is_what_smart_asks_for(tmp_path: Path) -> None:
    """Signed with the algorithm registered, for the token URL, for under five minutes, never twice the same; both keys of each kind are published."""
    keys = SigningKeys.of(Settings(data_dir=tmp_path))
    published = {k["kid"]: k for k in keys.public()["keys"]}
    assert len(published) == 4
    assert not any("d" in key for key in published.values())
    for algorithm in Algorithm:
        tokens = [keys.assertion("c", "https://ehr.example/token", algorithm) for _ in range(2)]
        headers = [json.loads(base64.urlsafe_b64decode(t.split(".")[0] + "==")) for t in tokens]
        said = [json.loads(base64.urlsafe_b64decode(t.split(".")[1] + "==")) for t in tokens]
        assert {h["alg"] for h in headers} == {algorithm.value}
        assert published[headers[0]["kid"]]["kty"] in ("EC", "RSA")
        assert all(c["iss"] == c["sub"] == "c" and c["aud"] == "https://ehr.example/token" for c in said)
        assert all(0 < c["exp"] - time.time() <= 300 for c in said)
        assert said[0]["jti"] != said[1]["jti"]


def test_rotation_lets_the_published_next_key_sign(tmp_path: Path) -> None:
    """An EHR that fetched our keys yesterday knows the key that signs today."""
    settings = Settings(data_dir=tmp_path)
    before = {k["kid"] for k in SigningKeys.of(settings).public()["keys"]}
    rotated = SigningKeys.rotate(settings)
    token = rotated.assertion("c", "https://ehr.example/token", Algorithm.ES384)
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"] in before
    assert len({k["kid"] for k in SigningKeys.of(settings).public()["keys"]} - before) == 2
    assert (tmp_path / "signing-keys.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("configuration", "complaint"),
    [
        ({"authorization_endpoint": "https://e.example/a", "token_endpoint": "https://e.example/t"}, "PKCE"),
        (
            {
                "authorization_endpoint": "https://e.example/a",
                "token_endpoint": "https://e.example/t",
                "code_challenge_methods_supported": ["S256", "plain"],
            },
            "PKCE",
        ),
        ({"capabilities": []}, "token_endpoint"),
        ({"token_endpoint": "http://e.example/t"}, "https"),
    ],
)
def test_a_server_that_is_not_safe_is_not_used(
    oauth: OAuth, scripted: ScriptedServer, configuration: dict[str, Any], complaint: str
) -> None:
    """PKCE with S256 and not plain, a token endpoint, and no open wire."""
    from plugin.settings import EhrSettings

    scripted.script(Answer(body=configuration, content_type="application/json"))
    with pytest.raises(SignInError, match=complaint):
        oauth.of_ehr(EhrSettings(base_url=scripted.base))


def test_scopes_are_written_as_the_server_understands_them() -> None:
    """Version 2 where the server says so, else version 1; Claims only where a site wants them."""
    app = AppSettings(client_id="c")
    second = launch_scope(Provider("t", capabilities=frozenset({"permission-v2"})), app)
    first = launch_scope(Provider("t", capabilities=frozenset({"launch-ehr"})), app)
    assert "patient/Encounter.rs" in second.split()
    assert "patient/Claim.crus" in second.split()
    assert "patient/Encounter.read" in first.split()
    assert "patient/Claim.*" in first.split()
    without = launch_scope(Provider("t"), AppSettings(client_id="c", claims=False))
    assert "Claim" not in without


def test_a_challenge_is_the_hash_of_its_verifier_and_no_two_are_alike() -> None:
    """RFC 7636's own numbers are met, and state and verifier are unpredictable."""
    example = Asked("s", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "n")
    assert example.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    fresh = [Asked.fresh() for _ in range(50)]
    assert len({a.state for a in fresh} | {a.verifier for a in fresh}) == 100
    assert all(len(a.state) >= 43 and 43 <= len(a.verifier) <= 128 for a in fresh)
