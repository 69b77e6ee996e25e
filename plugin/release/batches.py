"""A release: approved drafts and their visits' records become one file, checked before anybody has it; each draft goes out once.

The record is read anew, for names and addresses stand in no table of ours, and because a draft goes out only as it was
approved. The file is handed out after the store has kept it: what dies before that has released nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from fhir_mappings.professional import IncompleteClaim, ProfessionalClaim, to_professional
from fhir_mappings.records import BillingOptions, VisitRecord
from fhir_mappings.views import Json
from plugin import pipeline
from plugin.ehr.errors import Throttled, Unreachable
from plugin.ehr.visits import VisitReader
from plugin.pipeline import EXPECTED
from plugin.release import fees as fee_schedule
from plugin.release import table, x12
from plugin.release.fees import Fees
from plugin.release.x12 import Envelope, UnwritableFile
from plugin.settings import Settings, SettingsError
from plugin.snapshot import Snapshot
from plugin.store.records import Draft, Overtaken
from plugin.store.releases import Batch
from plugin.store.store import Store
from plugin.workbench import Site

log = logging.getLogger("claimwright")

Sites = Callable[[str], AbstractContextManager[tuple[Site, VisitReader]]]
"""The way into an EHR by its id."""

MOST = x12.MAX_CLAIMS
_READERS = 4
_PATIENCE = 3
_RECORD = ("encounter", "notes", "record", "context", "future")
"""What of a snapshot's manifest is the visit's record; the rest is how it was worked on."""


class Form(StrEnum):
    """What a file is."""

    X12 = "837p"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Goes:
    """A draft that can go out."""

    draft: Draft
    claim: ProfessionalClaim = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stays:
    """A draft that cannot go out now, and all that is in its way."""

    draft_id: str
    encounter_id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a release would do. `complaints` are about the whole file: while there are any, nothing goes out."""

    form: Form
    goes: tuple[Goes, ...]
    stays: tuple[Stays, ...]
    fees: Fees | None = field(repr=False)
    usage: str | None
    complaints: tuple[str, ...] = ()

    @property
    def unpriced(self) -> list[str]:
        """The lines that would go out without a price."""
        return x12.unpriced([each.claim for each in self.goes], self.fees)

    @property
    def is_test(self) -> bool:
        """Whether the file only tries out the way to the clearinghouse: nobody is billed by it, and its drafts stay due."""
        return self.usage == "T"

    @property
    def lines(self) -> int:
        """How many service lines would go out."""
        return sum(len(each.claim.lines) for each in self.goes)

    @property
    def prices(self) -> str:
        """What the file says of prices, as a sentence."""
        left = "every charge is 0" if self.form is Form.X12 else "the column `charge` is blank"
        if self.fees is None:
            return f"No fee schedule is set: {left}. A payer takes a claim only with its price; set release.fees_file."
        if lacking := len(self.unpriced):  # of a table; what a payer gets has a price for every line
            return f"{lacking} of {self.lines} lines have no price in the fee schedule."
        return "Every line has its price from the fee schedule."

    def as_json(self) -> Json:
        """The report: ids, counts and sentences, nobody's data."""
        return {
            "form": self.form.value,
            "released": [each.draft.id for each in self.goes],
            "stayed": [
                {"draft": each.draft_id, "encounter": each.encounter_id, "reasons": list(each.reasons)}
                for each in self.stays
            ],
            "lines": self.lines,
            "fee_schedule": self.fees is not None,
            "prices": self.prices,
            "without_price": self.unpriced,
            "usage": self.usage,
        }


@dataclass(frozen=True, slots=True)
class Released:
    """What a release did; no batch where nothing went out, and `seen` says why."""

    seen: Preview
    batch: Batch | None


def preview(settings: Settings, store: Store, sites: Sites, form: Form, *, most: int = MOST) -> Preview:
    """What a release would do now, the file checked as if. Nothing is released or flagged.

    Raises:
        SettingsError, UnusableFees: the site is not set up for it.
    """
    seen = _looked_at(settings, store, sites, form, most, flag=False)
    if seen.complaints or not seen.goes:
        return seen
    return _checked(seen, _file(settings, seen, store.releases.next_number()))


def release(settings: Settings, store: Store, sites: Sites, form: Form, by: str, *, most: int = MOST) -> Released:
    """Let the approved drafts go out in one file, each once however often and by how many this is asked.

    A test file (ISA15 T) bills nobody: it is kept as a batch, and its drafts stay approved.

    Raises:
        SettingsError, UnusableFees: the site is not set up for it.
        Overtaken: others released or decided at the same moment, twice; nothing went out.
    """
    seen = _looked_at(settings, store, sites, form, most, flag=True)
    for last in (False, True):
        if seen.complaints or not seen.goes:
            return Released(seen, None)
        number = store.releases.next_number()
        file = _file(settings, seen, number)
        seen = _checked(seen, file)
        if seen.complaints:
            return Released(seen, None)
        report = seen.as_json() | {
            "file": file_name(number, form, seen.usage),
            "digest": hashlib.sha256(file).hexdigest(),
        }
        try:
            drafts = [each.draft for each in seen.goes]
            batch = store.releases.release(number, drafts, form.value, by, report, file, test=seen.is_test)
            log.info("released %d drafts, %d stay", len(drafts), len(seen.stays), extra={"batch": number})
            return Released(seen, batch)
        except Overtaken:
            if last:
                raise
            seen = _still_due(settings, store, seen)
    raise AssertionError("unreachable")


def file_name(number: int, form: Form, usage: str | None) -> str:
    """What a batch's file is called."""
    if form is Form.CSV:
        return f"claimwright-{number:06}.csv"
    return f"claimwright-{number:06}{'-test' if usage == 'T' else ''}.837"


def free(folder: Path, name: str) -> Path:
    """Where a file of that name would stand.

    Raises:
        SettingsError: one stands there already.
    """
    path = folder / name
    if name and path.exists():
        raise SettingsError(f"--out: {path} is there already; it is not overwritten")
    return path


def hand_out(name: str, file: bytes, folder: Path) -> Path:
    """Write a file whole, readable by its owner only, never over another.

    Raises:
        SettingsError: it stands there already, or cannot be written.
    """
    path = free(folder, name)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".claimwright-")  # mode 0600
        with os.fdopen(handle, "wb") as written:
            written.write(file)
        try:
            os.link(temporary, path)  # never over another, also not over one of this moment
        except FileExistsError:
            free(folder, name)
        except OSError:  # a file system without links
            Path(temporary).rename(free(folder, name))
    except OSError as problem:
        raise SettingsError(f"--out: {path}: {problem.strerror}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path


# --- what is due, with its records ---


def _looked_at(settings: Settings, store: Store, sites: Sites, form: Form, most: int, *, flag: bool) -> Preview:
    if form is Form.X12 and settings.release is None:
        raise SettingsError("release: set who sends 837P files to whom; see docs/operations.md")
    billing = settings.release.billing() if settings.release else BillingOptions()
    fees = _fees(settings)
    due = store.releases.due(timedelta(seconds=settings.review.rest_seconds), most=most)
    read = _Reading(store, sites, billing, flag=flag).all(due)
    goes = [each for each in read if isinstance(each, Goes)]
    stays = [each for each in read if isinstance(each, Stays)]
    complaints: dict[str, None] = {}
    if form is Form.X12:
        goes, unwritable = _writable(settings, goes, fees, complaints)
        stays += unwritable
    return Preview(
        form=form,
        goes=tuple(goes),
        stays=tuple(stays),
        fees=fees,
        usage=settings.release.usage.value if settings.release and form is Form.X12 else None,
        complaints=tuple(complaints),
    )


def _fees(settings: Settings) -> Fees | None:
    path = settings.release.fees_file if settings.release else None
    return fee_schedule.read(path) if path is not None else None


class _Reading:
    """Reads the visits of drafts, a few at a time in each EHR; one that is dead or slow lets the others go."""

    def __init__(self, store: Store, sites: Sites, billing: BillingOptions, *, flag: bool) -> None:
        self._store, self._sites, self._billing, self._flag = store, sites, billing, flag
        self._silent: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def all(self, drafts: Sequence[Draft]) -> list[Goes | Stays]:
        """What each draft comes to, in their order."""
        by_ehr: dict[str, list[Draft]] = defaultdict(list)
        for draft in drafts:
            by_ehr[draft.ehr_id].append(draft)
        shares = [share for theirs in by_ehr.values() for n in range(_READERS) if (share := theirs[n::_READERS])]
        if not shares:
            return []
        with ThreadPoolExecutor(len(shares), thread_name_prefix="release") as pool:
            found = {key: each for share in pool.map(self._share, shares) for key, each in share.items()}
        return [found[draft.id] for draft in drafts]

    def _share(self, drafts: list[Draft]) -> dict[str, Goes | Stays]:
        found: dict[str, Goes | Stays] = {}
        ehr_id = drafts[0].ehr_id
        try:
            with self._sites(ehr_id) as (site, _):
                for draft in drafts:
                    found[draft.id] = self._one(site, draft)
        except EXPECTED as problem:  # no way into that EHR at all
            return {d.id: found.get(d.id) or _stays(d, str(problem)) for d in drafts}
        return found

    def _one(self, site: Site, draft: Draft) -> Goes | Stays:
        if self._silent[draft.ehr_id] >= _PATIENCE:
            return _stays(draft, "the EHR does not answer now; release it again later")
        try:
            made = self._claim(site, draft)
        except IncompleteClaim as lacking:
            return _stays(draft, *lacking.missing)
        except EXPECTED as problem:
            with self._lock:
                self._silent[draft.ehr_id] += isinstance(problem, (Unreachable, Throttled))
            return _stays(draft, str(problem))
        except Exception as defect:  # a defect of ours: its kind is shown, the others go
            log.error("a draft stays: %s", type(defect).__name__, extra={"ehr": draft.ehr_id, "draft": draft.id})
            return _stays(draft, f"a defect of Claimwright ({type(defect).__name__}); tell your administrator")
        with self._lock:
            self._silent[draft.ehr_id] = 0
        return made

    def _claim(self, site: Site, draft: Draft) -> Goes | Stays:
        """The claim of a draft with the record as it stands, if that is the one that was approved."""
        records: list[VisitRecord] = []

        def read(encounter_id: str) -> VisitRecord:
            records.append(site.read(encounter_id))
            return records[-1]

        _, taken = pipeline.look(replace(site, read=read), draft.encounter_id)
        if taken.key != draft.snapshot_key:
            if self._flag:
                self._store.changed_since(draft, taken.key)
            return _stays(draft, self._why_changed(draft, taken))
        if draft.claim is None:
            return _stays(draft, "no line is left that could go out")
        return Goes(draft, to_professional(draft.claim, records[-1], self._billing))

    def _why_changed(self, draft: Draft, taken: Snapshot) -> str:
        before = self._store.manifest(draft.snapshot_key)
        if any(before.get(part) != taken.manifest.get(part) for part in _RECORD):
            return "the record changed after it was approved; a coder looks at it again"
        return "rules, tables, policy or model changed after it was approved; a coder looks at it again"


def _stays(draft: Draft, *reasons: str) -> Stays:
    return Stays(draft.id, draft.encounter_id, reasons)


# --- the file ---


def _writable(
    settings: Settings, goes: Sequence[Goes], fees: Fees | None, complaints: dict[str, None]
) -> tuple[list[Goes], list[Stays]]:
    """What an 837P can say, each claim tried alone, so that one that it cannot say lets the others go."""
    good, bad = [], []
    for each in goes:
        if fees is not None and (lacking := x12.unpriced([each.claim], fees)):  # sent at 0, it could not be sent again
            bad.append(_stays(each.draft, *lacking))
            continue
        try:
            x12.write([each.claim], _envelope(settings, 1), fees)
        except UnwritableFile as problem:
            own = [r for r in problem.reasons if r.startswith(f"{each.claim.claim_reference}: ")]
            complaints.update(dict.fromkeys(r for r in problem.reasons if r not in own))
            if own:
                bad.append(_stays(each.draft, *own))
                continue
        good.append(each)
    return good, bad


def _file(settings: Settings, seen: Preview, number: int) -> bytes:
    claims = [each.claim for each in seen.goes]
    if seen.form is Form.CSV:
        return table.write(claims, seen.fees)
    return x12.write(claims, _envelope(settings, number), seen.fees)


def _envelope(settings: Settings, number: int) -> Envelope:
    assert settings.release is not None
    zone = ZoneInfo(settings.ehr.zone) if settings.ehr.zone else UTC
    return Envelope.of(settings.release, interchange=number, group=number, transaction=number, at=datetime.now(zone))


def _checked(seen: Preview, file: bytes) -> Preview:
    """The same with what pyx12 says against the file."""
    if seen.form is Form.CSV:
        return seen
    return replace(seen, complaints=tuple(f"the file would not be valid: {each}" for each in x12.check(file)))


def _still_due(settings: Settings, store: Store, seen: Preview) -> Preview:
    """The same without what somebody else released or decided on meanwhile."""
    due = store.releases.due(timedelta(seconds=settings.review.rest_seconds))
    as_it_was = {(d.id, d.revision) for d in due}
    goes = tuple(each for each in seen.goes if (each.draft.id, each.draft.revision) in as_it_was)
    gone = tuple(_gone(each) for each in seen.goes if each not in goes)
    return replace(seen, goes=goes, stays=(*seen.stays, *gone))


def _gone(each: Goes) -> Stays:
    return _stays(each.draft, "somebody else released it, or decided on it, at the same time")


def in_words(report: Json) -> Iterator[str]:
    """A report as sentences."""
    test = ", a test file: they stay approved" if report.get("usage") == "T" else ""
    yield f"{len(report['released'])} drafts with {report['lines']} lines{test}. {report['prices']}"
    for each in report["stayed"]:
        yield f"stays: {each['draft']}: {'; '.join(each['reasons'])}"
    yield from (f"no price: {each}" for each in report["without_price"] if report["fee_schedule"])
