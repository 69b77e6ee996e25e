"""Every setting there is, with its default, in one table. From `claimwright.toml`, then `CLAIMWRIGHT_...` variables.

The model's address and key are read from the variables that every OpenAI-compatible tool reads.
"""

from __future__ import annotations

import os
import tomllib
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from fhir_mappings.records import BillingOptions, SiteOptions
from guardrails import policies
from guardrails.policies import Policy
from guardrails.visit import Coverage


class SettingsError(ValueError):
    """A setting is missing or wrong: the message names it and what to do."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Group):
    """What is read at most. Over a limit a note is unreadable and holds; it is never cut. Bytes, counts, seconds."""

    note_bytes: int = 10 * 1024 * 1024
    note_characters: int = 1_000_000
    html_characters: int = 512 * 1024
    html_depth: int = 1000
    rtf_bytes: int = 2 * 1024 * 1024
    ccda_bytes: int = 5 * 1024 * 1024
    pdf_bytes: int = 10 * 1024 * 1024
    pdf_pages: int = 50
    extract_seconds: float = 20.0
    extract_memory_bytes: int = 1024 * 1024 * 1024
    earlier_notes: int = 20
    response_bytes: int = 32 * 1024 * 1024
    pages: int = 50
    resources: int = 2000
    request_seconds: float = 20.0
    read_seconds: float = 120.0
    model_seconds: float = 60.0
    model_total_seconds: float = 150.0
    model_output_tokens: int = 4000
    model_requests_per_visit: int = 8
    model_requests_per_hour: int = 600
    model_requests_per_day: int = 5000
    reply_quotes: int = 4
    reply_quote_characters: int = 400


class WriteWhen(StrEnum):
    """When a draft reaches the EHR: once proved (tagged unreviewed), or once a person has accepted it."""

    PROVED = "proved"
    ACCEPTED = "accepted"


class LookUp(StrEnum):
    """What is looked up around a visit, where the EHR and our scopes allow."""

    SAME_DAY = "same-day"
    CLINICIAN_DAY = "clinician-day"
    CLAIMS = "claims"
    AUTHORIZATIONS = "authorizations"
    EARLIER_NOTES = "earlier-notes"


class PlanSource(StrEnum):
    """Where the client's plan is kept: rules that need a plan ask for it only where this is set."""

    NONE = "none"
    CARE_PLAN = "care-plan"
    NOTE = "note"


class ConsentSource(StrEnum):
    """Where a consent for payment is recorded: as Consent resources, or nowhere that we can read."""

    NONE = "none"
    FHIR = "fhir"


class Algorithm(StrEnum):
    """How we sign towards an EHR: the two that SMART asks every client to know."""

    ES384 = "ES384"
    RS384 = "RS384"


class AppSettings(_Group):
    """How an EHR registered us as an app that people launch. A public client has no key; `claims` asks to write drafts.

    `frame_origins` are the origins of the EHR's pages that show us in a frame.
    """

    client_id: str
    public: bool = False
    algorithm: Algorithm = Algorithm.ES384
    claims: bool = True
    frame_origins: frozenset[str] = frozenset()


class BackendSettings(_Group):
    """How an EHR registered us for work without a person (SMART Backend Services)."""

    client_id: str
    algorithm: Algorithm = Algorithm.ES384
    claims: bool = True


class HooksSettings(_Group):
    """Who may call our CDS Hooks: each caller's `iss` with the one address its keys are fetched from (`jku`).

    `cors_origins` are those of browser-based callers.
    """

    callers: dict[str, str] = {}
    cors_origins: frozenset[str] = frozenset()


class EhrSettings(_Group):
    """One EHR. `id` leads every key of ours and never changes.

    `scopes` are the SMART scopes granted to us, where known; `trusted_bases` other addresses under which this EHR
    writes links to itself (a proxy's inner name); `part2_programs` and `psychotherapy_note_types` say what labels
    mostly do not: the programmes under 42 CFR Part 2, and the document types that hold psychotherapy notes.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = "ehr"
    base_url: str = ""
    sandbox: bool = False
    finished_when: frozenset[str] = frozenset({"finished"})
    zone: str | None = None
    places_of_service: dict[str, str] = {}
    billing_provider: str | None = None
    disclosure_basis: str | None = None
    consent_source: ConsentSource = ConsentSource.NONE
    plan_source: PlanSource = PlanSource.NONE
    plan_note_types: frozenset[str] = frozenset({"18776-5"})
    look_up: frozenset[LookUp] = frozenset(LookUp)
    scopes: frozenset[str] | None = None
    trusted_bases: frozenset[str] = frozenset()
    part2_programs: frozenset[str] = frozenset()
    psychotherapy_note_types: frozenset[str] = frozenset()
    write_when: WriteWhen = WriteWhen.PROVED
    bearer_token: SecretStr | None = None
    app: AppSettings | None = None
    backend: BackendSettings | None = None
    hooks: HooksSettings = HooksSettings()

    @property
    def unattended(self) -> bool:
        """Whether we may work there without a person: Backend Services, a token of the installation's own, the sandbox."""
        return self.backend is not None or self.bearer_token is not None or (self.sandbox and self.app is None)

    def site(self) -> SiteOptions:
        """What the mappings need of these settings."""
        return SiteOptions(
            finished_when=self.finished_when,
            zone=self.zone,
            places_of_service=self.places_of_service,
            part2_programs=self.part2_programs,
            billing_provider=self.billing_provider,
        )


class PayerRule(_Group):
    """One line of `payers.toml`: which policy a payer gets, from and through which dates of service.

    `policy` is a packaged name or a file beside it; `plan` the plan's number where one payer has several; `filing_days`
    how long after the date of service it takes a claim. The first line that fits counts.
    """

    payer: str
    policy: str
    plan: str | None = None
    ehr_id: str | None = None
    filing_days: int | None = None
    effective_from: date = Field(date.min, alias="from")
    effective_through: date = Field(date.max, alias="through")

    def fits(self, coverage: Coverage, ehr_id: str, on: date | None) -> bool:
        """Whether this line speaks of that coverage, there and then."""
        payer = coverage.payer
        return (
            payer is not None
            and self.payer in (payer, payer.rpartition("|")[2])
            and self.plan in (None, coverage.plan)
            and self.ehr_id in (None, ehr_id)
            and (on is None or self.effective_from <= on <= self.effective_through)
        )


class AcceptBy(StrEnum):
    """Who may accept a visit's lines: any clinician who opens its chart, or only who wrote its notes."""

    CLINICIAN = "clinician"
    AUTHOR = "author"


class SignInSettings(_Group):
    """The OpenID Connect provider where coders, supervisors and administrators sign in outside an EHR."""

    issuer: str
    client_id: str
    public: bool = False
    algorithm: Algorithm = Algorithm.ES384


class WebSettings(_Group):
    """The pages. `public_url` is where browsers and EHRs find us; `idle_minutes` end a session that nobody uses.

    `metrics_token` lets who has it read `/metrics` from elsewhere than this machine.
    """

    public_url: str = "http://localhost:8085"
    idle_minutes: float = 30.0
    session_hours: float = 12.0
    accept_by: AcceptBy = AcceptBy.CLINICIAN
    sign_in: SignInSettings | None = None
    metrics_token: SecretStr | None = None


class EngineSettings(_Group):
    """The work that needs no person: finding finished visits, coding them, bringing decisions to the EHR, retention.

    `in_web`: `claimwright serve` does it too; else only `claimwright worker` does. `name` tells this process from the
    others, and stays the same when it is started again: what died with it is taken up under that name. `visits_at_once`
    and `visits_a_minute` bound what the model is asked for. `poll_seconds`: how often an EHR is asked for changes (0 or None:
    never); `first_days`: how far back a new one is asked. `retention_days`: how long text is kept of visits that are closed,
    `released_days`: how long a released file is, to be issued again.
    """

    in_web: bool = True
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = "web"
    visits_at_once: int = 2
    visits_a_minute: int = 60
    poll_seconds: float | None = 60.0
    poll_overlap_minutes: float = 10.0
    first_days: int = 7
    pump_seconds: float = 2.0
    lease_seconds: float = 600.0
    retention_days: int | None = None
    released_days: int | None = None


class ReviewSettings(_Group):
    """What coders may do, and when. `approve_unaccepted`: also what no clinician accepted. Seconds, days, a share of one.

    An approval can be taken back for `rest_seconds`, and does not go out before. `filing_days` is how long after the
    date of service a claim may be filed where `payers.toml` does not say.
    """

    approve_unaccepted: bool = False
    bulk_most: int = 50
    rest_seconds: float = 60.0
    filing_days: int = 365
    second_review_share: Annotated[float, Field(ge=0, le=1)] = 0.0


class AnswerForm(StrEnum):
    """How a model is held to the form of its answer: by a strict schema, by JSON that we validate, or whichever it takes."""

    AUTO = "auto"
    STRICT = "strict"
    JSON = "json"


class ModelSettings(_Group):
    """The language model. `basis` names the agreement under which patient text may go there (BAA, QSOA, local).

    `protected_basis` names the one that also covers records labelled as protected (42 CFR Part 2, restricted); without
    it those are not sent, and a person codes them. `context_tokens` is how much it takes at once; a visit that is longer
    is not cut, it waits for a person. The prices are what its host charges for a million tokens, in cents, for `stats`.
    """

    name: str = "gpt-4o-mini"
    base_url: str | None = None
    api_key: SecretStr | None = None
    basis: str | None = None
    protected_basis: str | None = None
    form: AnswerForm = AnswerForm.AUTO
    context_tokens: int = 128_000
    cents_per_million_input: float = 0.0
    cents_per_million_cached: float = 0.0
    cents_per_million_output: float = 0.0

    @property
    def configured(self) -> bool:
        """Whether a model is set at all; else the offline baseline is the choice."""
        return self.api_key is not None or self.base_url is not None


class Usage(StrEnum):
    """Whether a file is a test or pays: ISA15."""

    TEST = "T"
    PRODUCTION = "P"


class Assignment(StrEnum):
    """Whether the provider accepts the payer's fee: A for all, B for laboratory services alone, C not (CLM07)."""

    ALL = "A"
    LABORATORY = "B"
    NONE = "C"


class BenefitsAssigned(StrEnum):
    """Whether the payer may pay the provider instead of the subscriber (CLM08)."""

    YES = "Y"
    NO = "N"
    NOT_APPLICABLE = "W"


class InformationRelease(StrEnum):
    """By what the provider may tell the payer: the patient's signed statement, or informed consent (CLM09)."""

    SIGNED = "Y"
    INFORMED_CONSENT = "I"


Text60 = Annotated[str, Field(min_length=1, max_length=60)]
TradingId = Annotated[str, Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,13}[A-Za-z0-9])$")]
Qualifier = Annotated[str, Field(pattern=r"^(01|14|20|27|28|29|30|33|ZZ)$")]
Taxonomy = Annotated[str, Field(pattern=r"^[0-9A-Z]{9}X$")]
FilingIndicator = Annotated[
    str, Field(pattern=r"^(11|12|13|14|15|16|17|AM|BL|CH|CI|DS|FI|HM|LM|MA|MB|MC|OF|TV|VA|WC|ZZ)$")
]


class ReleaseSettings(_Group):
    """What an 837P file says that no chart does: who sends it to whom, and what the clearinghouse calls them.

    `sender_id` and `receiver_interchange_id` are those of the interchange (ISA) where they differ from the others.
    `billing_...` stand in where the EHR does not say them of the billing provider. Payers are keyed by their identifier
    in the EHR, clinicians by reference (`Practitioner/12`). `usage` stays T until the clearinghouse has accepted a test.
    """

    submitter_id: TradingId = Field(repr=False)
    submitter_name: Text60
    contact_name: Text60 = Field(repr=False)
    contact_phone: Annotated[str, Field(pattern=r"^[0-9]{10}$", repr=False)]
    receiver_id: TradingId
    receiver_name: Text60
    sender_qualifier: Qualifier = "ZZ"
    sender_id: TradingId | None = Field(default=None, repr=False)
    receiver_qualifier: Qualifier = "ZZ"
    receiver_interchange_id: TradingId | None = None
    usage: Usage = Usage.TEST
    billing_tax_id: Annotated[str, Field(pattern=r"^[0-9]{2}-?[0-9]{7}$")] | None = Field(default=None, repr=False)
    billing_taxonomy: Taxonomy | None = None
    billing_zip: Annotated[str, Field(pattern=r"^[0-9]{5}-?[0-9]{4}$")] | None = None
    filing_indicator: FilingIndicator | None = None
    filing_indicators: dict[str, FilingIndicator] = {}
    payer_ids: dict[str, str] = {}
    taxonomies: dict[str, Taxonomy] = {}
    assignment: Assignment = Assignment.ALL
    benefits_assigned: BenefitsAssigned = BenefitsAssigned.YES
    release_of_information: InformationRelease = InformationRelease.SIGNED
    fees_file: Path | None = None

    def billing(self) -> BillingOptions:
        """What the mappings need of these settings."""
        return BillingOptions(
            tax_id=self.billing_tax_id,
            taxonomy=self.billing_taxonomy,
            zip_code=self.billing_zip.replace("-", "") if self.billing_zip else None,
            filing_indicator=self.filing_indicator,
            filing_indicators=self.filing_indicators,
            payer_ids=self.payer_ids,
            taxonomies=self.taxonomies,
            assignment=self.assignment.value,
            benefits_assigned=self.benefits_assigned.value,
            release_of_information=self.release_of_information.value,
        )


class LogForm(StrEnum):
    """How `serve` and `worker` log: lines to read, or a JSON object a line."""

    TEXT = "text"
    JSON = "json"


class Settings(BaseSettings):
    """All settings. Nested ones by double underscore: `CLAIMWRIGHT_EHR__BASE_URL`."""

    model_config = SettingsConfigDict(
        env_prefix="CLAIMWRIGHT_", env_nested_delimiter="__", toml_file="claimwright.toml", extra="forbid", frozen=True
    )

    ehr: EhrSettings = EhrSettings()
    further_ehrs: tuple[EhrSettings, ...] = ()
    web: WebSettings = WebSettings()
    model: ModelSettings = ModelSettings()
    limits: Limits = Limits()
    engine: EngineSettings = EngineSettings()
    review: ReviewSettings = ReviewSettings()
    release: ReleaseSettings | None = None
    data_dir: Path = Path.home() / ".local" / "share" / "claimwright"
    database_url: str | None = None
    vault_key: SecretStr | None = None
    payers_file: Path | None = None
    log: LogForm = LogForm.TEXT

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
    def ehrs(self) -> tuple[EhrSettings, ...]:
        """Every EHR of this deployment."""
        return self.ehr, *self.further_ehrs

    def of_ehr(self, ehr_id: str) -> Settings:
        """The same settings with that EHR as the one worked with.

        Raises:
            SettingsError: there is none of that id.
        """
        for each in self.ehrs:
            if each.id == ehr_id:
                return self.model_copy(update={"ehr": each})
        raise SettingsError("ehr.id: no EHR of that id is set")

    @property
    def tables(self) -> Path:
        """The folder of imported official tables."""
        return self.data_dir / "tables"

    @property
    def database(self) -> str:
        """The store's URL: SQLite in the data folder unless one is set."""
        url = self.database_url or f"sqlite:///{self.data_dir / 'claimwright.db'}"
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def engine_database(self) -> str:
        """Where the durable engine keeps its own tables: in the same PostgreSQL database, or a SQLite file beside ours.

        A file of its own, because SQLite has one writer, and nothing in it is needed to go on: our tables say what is due.
        """
        if self.database.startswith("sqlite"):
            return f"sqlite:///{self.data_dir / 'engine.db'}"
        return self.database


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
            if not isinstance(listed, list):
                raise SettingsError(f"{path.name}: payer: write each as [[payer]]")
            return cls([PayerRule.model_validate(each) for each in listed], path.parent)
        except (OSError, tomllib.TOMLDecodeError, ValidationError, policies.PolicyError) as problem:
            raise SettingsError(f"{path.name}: {problem}") from None

    def policy_for(self, coverage: Coverage, ehr_id: str, on: date | None) -> Policy:
        """The policy of a coverage's payer (`system|value`, or the value alone) and plan on a date of service."""
        rule = self._rule(coverage, ehr_id, on)
        return self._unknown if rule is None else self._policies[rule.policy]

    def filing_days(self, coverage: Coverage, ehr_id: str, on: date | None) -> int | None:
        """How many days after the date of service the coverage's payer takes a claim, where a line says so."""
        rule = self._rule(coverage, ehr_id, on)
        return rule.filing_days if rule else None

    def _rule(self, coverage: Coverage, ehr_id: str, on: date | None) -> PayerRule | None:
        return next((rule for rule in self._rules if rule.fits(coverage, ehr_id, on)), None)


def _policy(name: str, folder: Path | None) -> Policy:
    if name.endswith(".toml"):
        return policies.read((folder or Path()) / name)
    return policies.load(name)
