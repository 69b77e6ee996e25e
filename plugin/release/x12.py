"""Professional claims as an 837P file (005010X222A1), written by ourselves and checked by pyx12.

No clock and no counter stands here: the caller gives time and control numbers, and the same claims give the same bytes.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from fhir_mappings.professional import (
    SELF,
    Address,
    BillingProvider,
    Clinician,
    Insured,
    Line,
    Patient,
    PersonName,
    ProfessionalClaim,
)
from fhir_mappings.x12_text import basic
from plugin.release.fees import Fees
from plugin.settings import ReleaseSettings, SettingsError

VERSION = "005010X222A1"
MAX_CLAIMS = 5000
"""Claims of one file (the guide's own limit for one transaction)."""

_SEGMENT, _ELEMENT, _COMPONENT, _REPETITION = "~", "*", ":", "^"
_SAFE = re.compile(r"[A-Za-z0-9 !\"&'()+,\-./;?=_]*", re.ASCII)
"""The basic set with small letters and `_`, without our delimiters: an element outside it is never written."""

Element = str | tuple[str, ...]


class UnwritableFile(ValueError):
    """Claims that no 837P can carry as they are. `reasons` name the draft and what is wrong, without values."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who sends a file to whom, when, and under which control numbers (1 to 999,999,999, the caller counts them)."""

    submitter_id: str = field(repr=False)
    submitter_name: str
    contact_name: str = field(repr=False)
    contact_phone: str = field(repr=False)
    receiver_id: str
    receiver_name: str
    sender_qualifier: str
    sender_id: str = field(repr=False)
    receiver_qualifier: str
    receiver_interchange_id: str
    usage: str
    interchange: int
    group: int
    transaction: int
    at: datetime

    @classmethod
    def of(cls, release: ReleaseSettings, *, interchange: int, group: int, transaction: int, at: datetime) -> Envelope:
        """The envelope that a site's settings give, with the numbers and the local time of this file."""
        return cls(
            submitter_id=release.submitter_id,
            submitter_name=release.submitter_name,
            contact_name=release.contact_name,
            contact_phone=release.contact_phone,
            receiver_id=release.receiver_id,
            receiver_name=release.receiver_name,
            sender_qualifier=release.sender_qualifier,
            sender_id=release.sender_id or release.submitter_id,
            receiver_qualifier=release.receiver_qualifier,
            receiver_interchange_id=release.receiver_interchange_id or release.receiver_id,
            usage=release.usage.value,
            interchange=interchange,
            group=group,
            transaction=transaction,
            at=at,
        )


def write(claims: Sequence[ProfessionalClaim], envelope: Envelope, fees: Fees | None = None) -> bytes:
    """One interchange with all the claims, those of one billing provider together. A line without a price costs 0.

    Names and addresses are cut to the map's lengths; numbers and codes never are.

    Raises:
        UnwritableFile: with everything that the file cannot say.
    """
    writer = _Writer(envelope, fees)
    writer.file(claims)
    if writer.reasons:
        raise UnwritableFile(writer.reasons)
    return "".join(writer.segments).encode("ascii")


def unpriced(claims: Sequence[ProfessionalClaim], fees: Fees | None) -> list[str]:
    """The lines that go out with a charge of 0, for the caller to tell."""
    return [
        f"{claim.claim_reference}: item {n}: no price; add {line.code} to the fee schedule"
        for claim in claims
        for n, line in enumerate(claim.lines, 1)
        if _price(fees, claim, line) is None
    ]


def _price(fees: Fees | None, claim: ProfessionalClaim, line: Line) -> int | None:
    return fees.charge(line, line.day, claim.insured.payer.id) if fees else None


class _Writer:
    def __init__(self, envelope: Envelope, fees: Fees | None) -> None:
        self.envelope, self.fees = envelope, fees
        self.segments: list[str] = []
        self.reasons: list[str] = []
        self.here = "release"
        self.levels = 0

    # --- elements ---

    def put(self, *elements: Element) -> None:
        """One segment; empty elements at its end are left out."""
        flat = [_COMPONENT.join(map(self._safe, e)) if isinstance(e, tuple) else self._safe(e) for e in elements]
        self.segments.append(_ELEMENT.join(flat).rstrip(_ELEMENT) + _SEGMENT)

    def _safe(self, element: str) -> str:
        if not _SAFE.fullmatch(element):
            self._cannot("a code or number holds a character that an 837P cannot carry; correct it")
            return ""
        return element

    def _cannot(self, what: str) -> None:
        reason = f"{self.here}: {what}"
        if reason not in self.reasons:
            self.reasons.append(reason)

    def text(self, value: str, most: int, what: str, *, least: int = 1) -> str:
        """A name or address in the basic character set, cut to its length."""
        plain = basic(value)[:most].strip()
        if len(plain) < least:
            self._cannot(f"{what}: nothing of it can be written in Latin letters; spell it so")
        return plain

    def optional(self, value: str, most: int) -> str:
        return basic(value)[:most].strip()

    def number(self, value: str, least: int, most: int, what: str) -> str:
        """A code or number as it is, never cut."""
        if not least <= len(value) <= most or value != value.strip():
            self._cannot(f"{what}: {least} to {most} characters are needed")
        return value

    # --- the file ---

    def file(self, claims: Sequence[ProfessionalClaim]) -> None:
        self._accept(claims)
        e = self.envelope
        day, clock = f"{e.at:%Y%m%d}", f"{e.at:%H%M}"
        self._interchange(day, clock)
        sender, receiver = (
            self.number(e.submitter_id, 2, 15, "release.submitter_id"),
            self.number(e.receiver_id, 2, 15, "release.receiver_id"),
        )
        self.put("GS", "HC", sender, receiver, day, clock, str(e.group), "X", VERSION)
        start = len(self.segments)
        self._transaction(claims, day, clock)
        self.put("SE", str(len(self.segments) - start + 1), f"{e.transaction:04}")
        self.put("GE", "1", str(e.group))
        self.put("IEA", "1", f"{e.interchange:09}")

    def _accept(self, claims: Sequence[ProfessionalClaim]) -> None:
        if not 1 <= len(claims) <= MAX_CLAIMS:
            self._cannot(f"a file takes 1 to {MAX_CLAIMS} claims; split them")
        if len({claim.control for claim in claims}) < len(claims):
            self._cannot("a claim is given twice; release it once")
        numbers = (self.envelope.interchange, self.envelope.group, self.envelope.transaction)
        if not all(1 <= n <= 999_999_999 for n in numbers):
            self._cannot("control numbers are 1 to 999999999; begin again at 1")
        if self.envelope.usage not in ("T", "P"):
            self._cannot("release.usage: T (test) or P (production)")

    def _interchange(self, day: str, clock: str) -> None:
        """ISA, whose elements have fixed widths and which says itself what the delimiters are."""
        e = self.envelope
        ids = (
            self._safe(self.number(e.sender_id, 2, 15, "release.sender_id")),
            self._safe(self.number(e.receiver_interchange_id, 2, 15, "release.receiver_interchange_id")),
        )
        qualifiers = (
            self._safe(self.number(e.sender_qualifier, 2, 2, "release.sender_qualifier")),
            self._safe(self.number(e.receiver_qualifier, 2, 2, "release.receiver_qualifier")),
        )
        elements = (
            *("ISA", "00", " " * 10, "00", " " * 10),
            *(qualifiers[0], ids[0].ljust(15), qualifiers[1], ids[1].ljust(15)),
            *(day[2:], clock, _REPETITION, "00501", f"{e.interchange:09}", "0", e.usage, _COMPONENT),
        )
        self.segments.append(_ELEMENT.join(elements) + _SEGMENT)

    def _transaction(self, claims: Sequence[ProfessionalClaim], day: str, clock: str) -> None:
        e = self.envelope
        self.put("ST", "837", f"{e.transaction:04}", VERSION)
        self.put("BHT", "0019", "00", f"{e.interchange:09}", day, clock, "CH")
        submitter = self.text(e.submitter_name, 60, "release.submitter_name")
        self.put("NM1", "41", "2", submitter, "", "", "", "", "46", self.number(e.submitter_id, 2, 80, "submitter_id"))
        phone = self.number(e.contact_phone, 10, 10, "release.contact_phone")
        self.put("PER", "IC", self.text(e.contact_name, 60, "release.contact_name"), "TE", phone)
        receiver = self.text(e.receiver_name, 60, "release.receiver_name")
        self.put("NM1", "40", "2", receiver, "", "", "", "", "46", self.number(e.receiver_id, 2, 80, "receiver_id"))
        by_provider: dict[BillingProvider, list[ProfessionalClaim]] = defaultdict(list)
        for claim in claims:
            by_provider[claim.billing].append(claim)
        for provider, theirs in by_provider.items():
            self._billing(provider, theirs)

    def _billing(self, provider: BillingProvider, claims: Sequence[ProfessionalClaim]) -> None:
        self.here = claims[0].claim_reference
        level = self._level("", "20", children=True)
        self.put("PRV", "BI", "PXC", self.number(provider.taxonomy, 10, 10, "billing provider: taxonomy"))
        npi = self.number(provider.npi, 10, 10, "billing provider: NPI")
        if isinstance(provider.name, PersonName):
            self.put("NM1", "85", "1", *self._name(provider.name, "billing provider"), "XX", npi)
        else:
            name = self.text(provider.name, 60, "billing provider: name")
            self.put("NM1", "85", "2", name, "", "", "", "", "XX", npi)
        self._address(provider.address, "billing provider")
        self.put("REF", provider.tax_id_kind, self.number(provider.tax_id, 9, 9, "billing provider: tax id"))
        for claim in claims:
            self.here = claim.claim_reference
            self._subscriber(claim, level)

    def _level(self, parent: str, kind: str, *, children: bool) -> str:
        self.levels += 1
        self.put("HL", str(self.levels), parent, kind, "1" if children else "0")
        return str(self.levels)

    def _subscriber(self, claim: ProfessionalClaim, parent: str) -> None:
        """The subscriber's level, and the patient's beneath it where they are not the same person."""
        insured, own = claim.insured, claim.insured.relationship == SELF
        level = self._level(parent, "22", children=not own)
        self._coverage(insured, SELF if own else "")
        if own:
            self._death(claim.patient, "")
        self._insured_name(insured)
        if own:
            self._person(claim.patient)
        self._payer(insured)
        if not own:
            self._level(level, "23", children=False)
            self._death(claim.patient, insured.relationship)
            self.put("NM1", "QC", "1", *self._name(claim.patient.name, "patient"))
            self._person(claim.patient)
        self._claim(claim)

    def _coverage(self, insured: Insured, relationship: str) -> None:
        filing = self.number(insured.payer.filing_indicator, 1, 2, "payer: claim filing indicator")
        self.put("SBR", insured.turn, relationship, self.optional(insured.group, 50), "", "", "", "", "", filing)

    def _death(self, patient: Patient, relationship: str) -> None:
        if patient.died or relationship:
            died = ("D8", _day(patient.died)) if patient.died else ()
            self.put("PAT", relationship, "", "", "", *died)

    def _insured_name(self, insured: Insured) -> None:
        member_id = self.number(insured.member_id, 2, 80, "subscriber: member id")
        self.put("NM1", "IL", "1", *self._name(insured.subscriber, "subscriber"), "MI", member_id)

    def _payer(self, insured: Insured) -> None:
        name = self.text(insured.payer.name, 60, "payer: name")
        self.put("NM1", "PR", "2", name, "", "", "", "", "PI", self.number(insured.payer.id, 2, 80, "payer: id"))

    def _person(self, patient: Patient) -> None:
        self._address(patient.address, "patient")
        self.put("DMG", "D8", _day(patient.birth_date), patient.sex)

    def _name(self, name: PersonName, whose: str) -> tuple[str, ...]:
        """NM103 to NM107."""
        last = self.text(name.last, 60, f"{whose}: family name")
        return last, self.optional(name.first, 35), self.optional(name.middle, 25), "", self.optional(name.suffix, 10)

    def _address(self, address: Address, whose: str) -> None:
        first, *more = address.lines or ("",)
        self.put("N3", self.text(first, 55, f"{whose}: street"), self.optional(" ".join(more), 55))
        city = self.text(address.city, 30, f"{whose}: city", least=2)
        self.put("N4", city, self.number(address.state, 2, 2, f"{whose}: state"), address.zip_code)

    def _claim(self, claim: ProfessionalClaim) -> None:
        charges = [_price(self.fees, claim, line) or 0 for line in claim.lines]
        place, rendering = claim.lines[0].place, claim.lines[0].rendering
        self.put(
            "CLM",
            self.number(claim.control, 1, 20, "patient control number"),
            _amount(sum(charges)),
            "",
            "",
            (place, "B", "1"),
            "Y",
            claim.assignment,
            claim.benefits_assigned,
            claim.release_of_information,
        )
        if claim.prior_authorization:
            self.put("REF", "G1", self.number(claim.prior_authorization, 1, 50, "authorization"))
        principal, *others = claim.diagnoses
        self.put("HI", ("ABK", principal), *(("ABF", code) for code in others))
        if rendering.npi != claim.billing.npi:
            self._clinician("82", rendering)
        if claim.facility:
            name = self.text(claim.facility.name, 60, "service facility: name")
            npi = claim.facility.npi
            own = ("", "", "", "", "XX", self.number(npi, 10, 10, "service facility: NPI")) if npi else ()
            self.put("NM1", "77", "2", name, *own)
            self._address(claim.facility.address, "service facility")
        if claim.supervising:
            self._clinician("DQ", claim.supervising)
        for further in claim.further:
            self._further(further, claim)
        for n, (line, charge) in enumerate(zip(claim.lines, charges, strict=True), 1):
            self._line(n, line, charge, place, rendering)

    def _clinician(self, role: str, clinician: Clinician) -> None:
        whose = "rendering clinician" if role == "82" else "supervising clinician"
        npi = self.number(clinician.npi, 10, 10, f"{whose}: NPI")
        self.put("NM1", role, "1", *self._name(clinician.name, whose), "XX", npi)
        if role == "82":
            self.put("PRV", "PE", "PXC", self.number(clinician.taxonomy, 10, 10, f"{whose}: taxonomy"))

    def _further(self, insured: Insured, claim: ProfessionalClaim) -> None:
        """Another coverage that may pay after this claim's payer (loop 2320)."""
        self._coverage(insured, insured.relationship)
        self.put("OI", "", "", claim.benefits_assigned, "", "", claim.release_of_information)
        self._insured_name(insured)
        self._payer(insured)

    def _line(self, n: int, line: Line, charge: int, place: str, rendering: Clinician) -> None:
        service = ("HC", line.code, *line.modifiers)
        own_place = line.place if line.place != place else ""
        pointers = tuple(map(str, line.pointers))
        self.put("LX", str(n))
        self.put("SV1", service, _amount(charge), "UN", str(line.units), own_place, "", pointers)
        if line.through:
            self.put("DTP", "472", "RD8", f"{_day(line.day)}-{_day(line.through)}")
        else:
            self.put("DTP", "472", "D8", _day(line.day))
        if line.control:
            self.put("REF", "6R", self.number(line.control, 1, 30, "line control number"))
        if line.rendering != rendering:
            self._clinician("82", line.rendering)


def _day(day: date) -> str:
    return f"{day:%Y%m%d}"


def _amount(cents: int) -> str:
    """Dollars without zeros at the end, as X12 writes decimals."""
    whole, rest = divmod(cents, 100)
    return f"{whole}.{rest:02}".rstrip("0").rstrip(".")


# --- the check ---

_ELEMENT_ERRORS = {
    "1": "is missing",
    "2": "is missing beside another element",
    "3": "is one element too many",
    "4": "is too short",
    "5": "is too long",
    "6": "holds a character that is not allowed",
    "7": "is a code that is not allowed",
    "8": "is no date",
    "9": "is no time",
    "10": "must not stand beside another element",
    "12": "is repeated too often",
    "13": "has too many components",
}
_SEGMENT_ERRORS = {
    "1": "is not known",
    "2": "is not expected here",
    "3": "is missing, or a loop that needs it",
    "4": "begins a loop that occurs too often",
    "5": "occurs too often",
    "6": "does not belong into this transaction",
    "7": "is not in its place",
    "8": "has wrong elements",
}
_SEGMENT_ID = re.compile(r"[A-Z][A-Z0-9]{1,2}", re.ASCII)


def check(data: bytes) -> list[str]:
    """What pyx12 finds wrong with a file by the map of 005010X222A1; nothing where it is good. No value is shown.

    Raises:
        SettingsError: the extra `release` is not installed.
    """
    try:
        from pyx12.params import ParamsBase
        from pyx12.x12n_document import x12n_document
    except ImportError:
        raise SettingsError("release: install claimwright[release], which checks 837P files") from None
    logging.getLogger("pyx12").setLevel(logging.CRITICAL + 1)  # it logs the data that it refuses
    if not data.isascii():
        return ["the file holds characters that are not ASCII"]
    found = io.StringIO()
    try:
        good = x12n_document(ParamsBase(), io.StringIO(data.decode("ascii")), None, None, fd_json=found)
    except Exception:  # whatever it stumbles over, its message may show data
        return ["the file is so broken that pyx12 cannot follow it"]
    if good:
        return []
    told = list(dict.fromkeys(_complaints(json.loads(found.getvalue() or "{}"))))
    return told or ["pyx12 refuses the file and does not say where"]


def _complaints(document: dict[str, Any]) -> Iterator[str]:
    for interchange in document.get("interchanges", ()):
        yield from (f"interchange: error {_code(e)}" for e in interchange["errors"])
        for group in interchange["groups"]:
            yield from (f"group: error {_code(e)}" for e in group["errors"])
            for transaction in group["transactions"]:
                yield from (f"transaction: error {_code(e)}" for e in transaction["errors"])
                for segment in transaction["segments"]:
                    yield from _of_segment(segment)


def _of_segment(segment: dict[str, Any]) -> Iterator[str]:
    kind = segment["seg_id"] if _SEGMENT_ID.fullmatch(str(segment["seg_id"])) else "a segment"
    here = f"segment {segment['seg_count']}: {kind}"
    for error in segment["errors"]:
        yield f"{here} {_SEGMENT_ERRORS.get(_code(error), f'has error {_code(error)}')}"
    for element in segment["elements"]:
        place = f"{kind}{int(element['ele_pos'] or 0):02}"
        place += f"-{int(element['subele_pos']):02}" if element["subele_pos"] else ""
        for error in element["errors"]:
            yield f"segment {segment['seg_count']}: {place} {_ELEMENT_ERRORS.get(_code(error), f'has error {_code(error)}')}"


def _code(error: dict[str, Any]) -> str:
    code = str(error["err_cde"])
    return code if re.fullmatch(r"[0-9A-Z]{1,4}", code, re.ASCII) else "unknown"
