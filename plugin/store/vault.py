"""Encryption at rest: a key per visit, wrapped by the site's key. Fernet (AES-128-CBC with HMAC) from `cryptography`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from plugin.settings import Settings, SettingsError

KEY_FILE = "vault.key"


class VaultError(Exception):
    """Sealed text cannot be opened: the site's key is another one, or the visit's key was purged."""


class Vault:
    """Wraps and opens visit keys with the site's key."""

    def __init__(self, site_key: bytes) -> None:
        try:
            self._site = Fernet(site_key)
        except ValueError:
            raise SettingsError("vault_key: not a Fernet key; make one with `claimwright vault-key`") from None

    @classmethod
    def of(cls, settings: Settings) -> Vault:
        """The site's vault: the configured key, else one in the data folder, made on first use and readable by its owner only."""
        if settings.vault_key is not None:
            return cls(settings.vault_key.get_secret_value().encode())
        path = settings.data_dir / KEY_FILE
        if not path.exists():
            write_private(path, Fernet.generate_key())
        return cls(path.read_bytes().strip())

    def new_visit_key(self) -> bytes:
        """A fresh visit key, wrapped."""
        return self._site.encrypt(Fernet.generate_key())

    def seal(self, wrapped: bytes, text: str) -> bytes:
        """Encrypt text under a visit's key."""
        return self._visit(wrapped).encrypt(text.encode("utf-8", "surrogatepass"))

    def open(self, wrapped: bytes | None, ciphertext: bytes) -> str:
        """Decrypt what `seal` made.

        Raises:
            VaultError: the key was purged, or is not the one it was sealed with.
        """
        if wrapped is None:
            raise VaultError("the visit's key was purged")
        try:
            return self._visit(wrapped).decrypt(ciphertext).decode("utf-8", "surrogatepass")
        except InvalidToken:
            raise VaultError("the sealed text was changed, or sealed with another key") from None

    def seal_site(self, text: str) -> bytes:
        """Encrypt what belongs to no visit (a session's tokens) under the site's key."""
        return self.seal_bytes(text.encode())

    def open_site(self, ciphertext: bytes) -> str:
        """Decrypt what `seal_site` made.

        Raises:
            VaultError: the site's key is another one.
        """
        return self.open_bytes(ciphertext).decode()

    def seal_bytes(self, content: bytes) -> bytes:
        """Encrypt a file that holds several visits (a release) under the site's key."""
        return self._site.encrypt(content)

    def open_bytes(self, ciphertext: bytes) -> bytes:
        """Decrypt what `seal_bytes` made.

        Raises:
            VaultError: the site's key is another one.
        """
        try:
            return self._site.decrypt(ciphertext)
        except InvalidToken:
            raise VaultError("the site's vault key is not the one this store was made with") from None

    def _visit(self, wrapped: bytes) -> Fernet:
        try:
            return Fernet(self._site.decrypt(wrapped))
        except InvalidToken:
            raise VaultError("the site's vault key is not the one this store was made with") from None


def write_private(path: Path, content: bytes) -> None:
    """Write whole or not at all: another process, or a later start, never sees half a key. The first one's key is the key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
