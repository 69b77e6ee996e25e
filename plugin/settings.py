"""Every setting there is, with its default, in one table. From `claimwright.toml`, then `CLAIMWRIGHT_...` variables.

The model's address and key are read from the variables that every OpenAI-compatible tool reads.
"""

from __future__ import annotations

import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from fhir_mappings.visits import SiteOptions
from guardrails import policies
from guardrails.policies import Policy


class SettingsError(ValueError):
    """A setting is missing or wrong: the message names it and what to do."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Group):
    """What is read at most. Over a limit a note is unreadable and holds; it is never cut. Bytes, counts, seconds."""

    note_bytes: int = 5 * 1024 * 1024
    html_characters: int = 512 * 1024
    html_depth: int = 1000
    response_bytes: int = 32 * 1024 * 1024
    pages: int = 50
    resources: int = 2000
    request_seconds: float = 20.0
    read_seconds: float = 120.0
    model_seconds: float = 60.0
    model_total_seconds: float = 150.0
    model_output_tokens: int = 4000
    reply_lines: int = 6
    reply_quotes: int = 12
    reply_quote_characters: int = 400


class WriteWhen(StrEnum):
    """When a draft reaches the EHR: once proved (tagged unreviewed), or once a person has accepted it."""

    PROVED = "proved"
    ACCEPTED = "accepted"


class EhrSettings(_Group):
    """One EHR. `id` leads every key of ours and never changes."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = "ehr"
    base_url: str = ""
    sandbox: bool = False
    finished_when: frozenset[str] = frozenset({"finished"})
    zone: str | None = None
    places_of_service: dict[str, str] = {}
    billing_provider: str | None = None
    disclosure_basis: str | None = None
    write_when: WriteWhen = WriteWhen.PROVED
    bearer_token: SecretStr | None = None

    def site(self) -> SiteOptions:
        """What the mappings need of these settings."""
        return SiteOptions(
            finished_when=self.finished_when,
            zone=self.zone,
            places_of_service=self.places_of_service,
            billing_provider=self.billing_provider,
        )


class PayerRule(_Group):
    """One line of `payers.toml`: which policy a payer gets. `policy` is a packaged name or a file beside it."""

    payer: str
    policy: str
    ehr_id: str | None = None


class ModelSettings(_Group):
    """The language model. `basis` names the agreement under which patient text may go there (BAA, QSOA, local)."""

    name: str = "gpt-4o-mini"
    base_url: str | None = None
    api_key: SecretStr | None = None
    basis: str | None = None

    @property
    def configured(self) -> bool:
        """Whether a model is set at all; else the offline baseline is the choice."""
        return self.api_key is not None or self.base_url is not None


class Settings(BaseSettings):
    """All settings. Nested ones by double underscore: `CLAIMWRIGHT_EHR__BASE_URL`."""

    model_config = SettingsConfigDict(
        env_prefix="CLAIMWRIGHT_", env_nested_delimiter="__", toml_file="claimwright.toml", extra="forbid", frozen=True
    )

    ehr: EhrSettings = EhrSettings()
    model: ModelSettings = ModelSettings()
    limits: Limits = Limits()
    data_dir: Path = Path.home() / ".local" / "share" / "claimwright"
    database_url: str | None = None
    vault_key: SecretStr | None = None
    payers_file: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def database(self) -> str:
        """The store's URL: SQLite in the data folder unless one is set."""
        return self.database_url or f"sqlite:///{self.data_dir / 'claimwright.db'}"


def load(**overrides: Any) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: a setting is unknown or wrong; all of them are named, no value is shown.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as problem:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors(include_input=False))
        raise SettingsError(f"settings: {wrong}. See docs/operations.md.") from None
    except tomllib.TOMLDecodeError as problem:
        raise SettingsError(f"claimwright.toml: not TOML: {problem}") from None
    model = settings.model
    address = model.base_url or os.environ.get("OPENAI_BASE_URL")
    key = model.api_key or (SecretStr(os.environ["OPENAI_API_KEY"]) if os.environ.get("OPENAI_API_KEY") else None)
    name = model.name if "name" in model.model_fields_set else os.environ.get("OPENAI_MODEL", model.name)
    return settings.model_copy(
        update={"model": model.model_copy(update={"base_url": address, "api_key": key, "name": name})}
    )


class Payers:
    """Which policy each payer gets (`payers.toml`); no match is `unknown`, which counts by the lowest rule."""

    def __init__(self, rules: list[PayerRule], folder: Path | None) -> None:
        self._rules = rules
        self._policies: dict[str, Policy] = {rule.policy: _policy(rule.policy, folder) for rule in rules}
        self._unknown = policies.load("unknown")

    @classmethod
    def read(cls, path: Path | None) -> Payers:
        """The rules of a file; none where no file is set.

        Raises:
            SettingsError: the file or a policy it names cannot be used.
        """
        if path is None:
            return cls([], None)
        try:
            listed = tomllib.loads(path.read_text(encoding="utf-8")).get("payer", [])
            return cls([PayerRule.model_validate(each) for each in listed], path.parent)
        except (OSError, tomllib.TOMLDecodeError, ValidationError, policies.PolicyError) as problem:
            raise SettingsError(f"{path.name}: {problem}") from None

    def policy_for(self, payer: str | None, ehr_id: str) -> Policy:
        """The policy of a payer identifier (`system|value`, or the value alone) as that EHR names it."""
        for rule in self._rules:
            if payer and rule.ehr_id in (None, ehr_id) and rule.payer in (payer, payer.rpartition("|")[2]):
                return self._policies[rule.policy]
        return self._unknown


def _policy(name: str, folder: Path | None) -> Policy:
    if name.endswith(".toml"):
        return policies.read((folder or Path()) / name)
    return policies.load(name)
