"""Our own signing keys: we prove with them who we are to an EHR's authorization server, which finds the public halves at our JWKS URL.

Two of each kind are published, so that the next one is known everywhere before it signs (SMART 2.2; fhir 5.6).
"""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeyParameters, KeySet, RSAKey

from plugin.settings import Algorithm, Settings
from plugin.store.vault import write_private

KEY_FILE = "signing-keys.json"
_LIFE_SECONDS = 240  # SMART: at most five minutes
_SKEW_SECONDS = 5


class SigningKeys:
    """The keys of this deployment, in a file of the data folder that only its owner reads."""

    def __init__(self, keys: list[Key]) -> None:
        self._keys = keys

    @classmethod
    def of(cls, settings: Settings) -> SigningKeys:
        """The deployment's keys, made on first use."""
        path = settings.data_dir / KEY_FILE
        if not path.exists():
            write_private(path, _written([_new(a) for a in Algorithm for _ in range(2)]))
        return cls(_read(path))

    @classmethod
    def rotate(cls, settings: Settings) -> SigningKeys:
        """The next key of each kind begins to sign, a new one is published beside it, the oldest is forgotten."""
        path = settings.data_dir / KEY_FILE
        current = cls.of(settings)._keys
        rotated = [k for a in Algorithm for k in (*[k for k in current if k.get("alg") == a][1:], _new(a))]
        path.unlink(missing_ok=True)
        write_private(path, _written(rotated))
        return cls(rotated)

    def public(self) -> dict[str, Any]:
        """The JWK Set to publish."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def assertion(self, client_id: str, audience: str, algorithm: Algorithm) -> str:
        """A client assertion: who we are, for that token URL, once, for a few minutes."""
        key = next(k for k in self._keys if k.get("alg") == algorithm)
        now = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": str(uuid.uuid4()),
            "iat": now - _SKEW_SECONDS,
            "exp": now + _LIFE_SECONDS,
        }
        header = {"alg": algorithm.value, "kid": key.kid, "typ": "JWT"}
        return jwt.encode(header, claims, key, algorithms=[algorithm.value])


def _new(algorithm: Algorithm) -> Key:
    about: KeyParameters = {"use": "sig", "alg": algorithm.value, "kid": uuid.uuid4().hex[:16]}
    if algorithm is Algorithm.ES384:
        return ECKey.generate_key("P-384", about, private=True)
    return RSAKey.generate_key(3072, about, private=True)


def _written(keys: list[Key]) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=True) for key in keys]}).encode()


def _read(path: Path) -> list[Key]:
    return list(KeySet.import_key_set(json.loads(path.read_bytes())).keys)
