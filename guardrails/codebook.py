"""What each code means on a date, from dated tables that a site can replace by path.

`load()` reads the packaged tables once; every other function is a look-up. The CPT folder is optional: AMA licenses
CPT, so a distribution may leave `data/cpt/` out, and its codes are then unknown (see NOTICE).
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from guardrails import edit_tables
from guardrails.edit_tables import EditTables
from guardrails.patterns import Named, Pattern, PatternError, Sieve
from guardrails.rules import CuredBy, Effect, Rule, registered

HCPCS_SYSTEM = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
CPT_SYSTEM = "http://www.ama-assn.org/go/cpt"
ICD10CM_SYSTEM = "http://hl7.org/fhir/sid/icd-10-cm"

# domain 12; ASCII only, after strip and upper
_HCPCS_FORM = re.compile(r"[A-V][0-9]{4}", re.ASCII)
_CPT_FORM = re.compile(r"[0-9]{4}[0-9AFTMU]", re.ASCII)


class CodebookError(ValueError):
    """A table cannot be used: the message names the file, the line and what to do."""


class UnitRule(StrEnum):
    """How minutes become units (domain 3.2). `PAYER15` leaves the choice to the payer."""

    EVENT = "EVENT"
    SESSION = "SESSION"
    EACH = "EACH"
    PAYER15 = "PAYER15"
    FLOOR = "FLOOR"
    CEIL = "CEIL"
    MIDPOINT15 = "MIDPOINT15"
    INSTRUMENT = "INSTRUMENT"
    PER_DIEM = "PER_DIEM"
    PER_MONTH = "PER_MONTH"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One code over one period of validity, in our own words.

    `from_minute`, `to_minute` and `step_minutes` parametrise `unit_rule`; `ladder` and `rung` order codes of one
    service by documented time; `who` is `non-physician` or `named-profession` where the code names the person.
    """

    code: str
    system: str
    label: str
    unit_rule: UnitRule
    from_minute: int | None
    to_minute: int | None
    step_minutes: int | None
    ladder: str | None
    rung: int | None
    service: str | None
    levels: frozenset[str]
    who: str | None
    add_on_to: frozenset[str]
    in_force_from: date | None
    in_force_through: date | None
    medicare: bool
    source: str

    def in_force(self, on: date) -> bool:
        """Whether the code may be billed for a service on that date (domain 0.3, invariant 1)."""
        return (self.in_force_from is None or self.in_force_from <= on) and (
            self.in_force_through is None or on <= self.in_force_through
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A dated code table: inside its window an unknown code is rejected, past it held."""

    name: str
    system: str
    covers_from: date
    covers_through: date
    source: str

    @property
    def title(self) -> str:
        """What a finding calls it: its name and the last day it covers."""
        return f"table {self.name} through {self.covers_through.isoformat()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Icd10Cm:
    """One year of ICD-10-CM: the codes a claim takes and the categories above them, both written without their point."""

    covers_from: date
    covers_through: date
    billable: frozenset[str] = field(repr=False)
    categories: frozenset[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Modifier:
    """One two-character modifier: its meaning in our words and the set of which a line carries at most one."""

    code: str
    label: str
    conflict_set: str | None
    on_conflict: Effect | None
    age_from: int | None
    age_below: int | None
    in_force_from: date | None
    in_force_through: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOfService:
    """One CMS place-of-service code."""

    code: str
    label: str
    facility_rate: bool
    telehealth: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential as signatures write it, and the provider level it stands for by default."""

    name: str
    level: str
    education_modifier: str | None
    physician: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A documentation element (domain 4) and the signals by which our own detector finds it.

    `shows` is what a note shows by it, in words. `titled` stands among a note's titles, a line each, wherever one of them
    is one of the `headings`.

    Where `denial_is_absence`, words that the note denies ("no safety plan was made") do not show it; a history or a risk
    that the client denies is documented all the same.
    """

    id: str
    shows: str
    rule: Rule
    headings: tuple[re.Pattern[str], ...]
    words: tuple[Pattern, ...]
    titled: Pattern | None = None
    denial_is_absence: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How notes speak of a service: the services that document it, those named beside it, and whether it is part of another's."""

    documented_as: frozenset[str]
    named_beside: frozenset[str] = frozenset()
    within: bool = False


@dataclass(frozen=True)
class Codebook:
    """The loaded tables. Build it with `load()`."""

    codes: Mapping[str, tuple[Code, ...]] = field(repr=False)
    tables: Mapping[str, Table]
    modifiers: Mapping[str, Modifier] = field(repr=False)
    places: Mapping[str, PlaceOfService] = field(repr=False)
    credentials: tuple[Credential, ...] = field(repr=False)
    elements: Mapping[str, Element] = field(repr=False)
    requirements: Mapping[str, Mapping[str, Effect]] = field(repr=False)
    services: Named = field(repr=False)
    works: Mapping[str, Work] = field(repr=False)
    instruments: Mapping[str, Pattern] = field(repr=False)
    look_alikes: Mapping[str, Mapping[str, str]] = field(repr=False)
    diagnosis_words: tuple[tuple[str, Pattern], ...] = field(repr=False)
    edits: EditTables
    version: str
    icd_sources: tuple[tuple[date, date, Traversable], ...] = field(repr=False)
    further_icd10cm: tuple[Icd10Cm, ...] = field(default=(), repr=False)

    @cached_property
    def _icd(self) -> tuple[Icd10Cm, ...]:
        packaged = (_icd10cm(*each) for each in self.icd_sources)
        return tuple(sorted((*packaged, *self.further_icd10cm), key=lambda year: year.covers_from))

    @cached_property
    def _sieves(self) -> dict[tuple[Pattern, ...], Sieve]:
        return {}

    def sieve(self, further: tuple[Pattern, ...]) -> Sieve:
        """The tables' patterns for notes, and further ones, to be looked for together; made once."""
        made = self._sieves.get(further)
        if made is None:
            words = (pattern for element in self.elements.values() for pattern in element.words)
            named = (pattern for _, pattern in self.diagnosis_words)
            made = Sieve((*further, *words, *named, *self.services.values(), *self.instruments.values()))
            self._sieves[further] = made
        return made

    def icd10cm(self, on: date) -> Icd10Cm | None:
        """The year of ICD-10-CM in force on a date; past the newest, the newest; None before the oldest that is loaded."""
        begun = [year for year in self._icd if year.covers_from <= on]
        return begun[-1] if begun else None

    def work(self, service: str) -> Work:
        """How notes speak of a service; by its own name alone where the table says nothing else."""
        return self.works.get(service) or Work(documented_as=frozenset({service}))

    @property
    def has_cpt(self) -> bool:
        """Whether the optional CPT table is loaded."""
        return "cpt" in self.tables

    def find(self, code: str, on: date) -> Code | None:
        """The meaning of `code` on a date of service, or None where it is unknown or not in force."""
        for entry in self.codes.get(code, ()):
            if entry.in_force(on):
                return entry
        return None

    def meanings(self, code: str) -> tuple[Code, ...]:
        """Every meaning the code has had, oldest first; empty where it is unknown."""
        return self.codes.get(code, ())

    def table_for(self, code: str) -> Table | None:
        """The table that would hold a code of this form, or None where no table of that system is loaded."""
        return self.tables.get("hcpcs" if _HCPCS_FORM.fullmatch(code) else "cpt")

    def ladder(self, code: Code, on: date) -> tuple[Code, ...]:
        """The codes of one service ordered from least to most documented time, as of a date."""
        if code.ladder is None:
            return (code,)
        rungs = [
            entry
            for entries in self.codes.values()
            for entry in entries
            if entry.ladder == code.ladder and entry.in_force(on)
        ]
        return tuple(sorted(rungs, key=lambda entry: entry.rung or 0))

    def credential(self, text: str) -> Credential | None:
        """The strongest known credential in a text such as "BA, QMHS" or "PhD, Licensed Psychologist".

        Where it stands for no education of its own ("MA, LICDC"), the degree beside it does.
        """
        words = {_fold(part) for part in re.split(r"[,;/]|\s-\s", text)} | {_fold(text)}
        held = [each for each in self.credentials if _fold(each.name) in words]
        strongest = max(held, key=lambda each: _LEVEL_ORDER.get(each.level, 0), default=None)
        if strongest is None or strongest.education_modifier is not None or strongest.physician:
            return strongest
        degree = next((each.education_modifier for each in held if each.education_modifier), None)
        return replace(strongest, education_modifier=degree)

    def rules(self) -> Mapping[str, Rule]:
        """Every rule there is: those declared in Python and one per documentation element."""
        return dict(sorted((dict(registered()) | {e.rule.id: e.rule for e in self.elements.values()}).items()))


_LEVEL_ORDER = {"PP": 1, "PEER": 2, "BA": 3, "LPN": 3, "RN": 4, "SUD": 4, "AL": 5, "LP": 6, "QHP": 7, "MD": 8}


def normalize(code: str) -> str:
    """A code as tables write it: without blanks at its ends, upper case (domain X-E02)."""
    return code.strip().upper()


def is_well_formed(code: str) -> bool:
    """Whether a normalized code has the form of HCPCS Level II or CPT (domain 12). Non-ASCII look-alikes have not."""
    return bool(_HCPCS_FORM.fullmatch(code) or _CPT_FORM.fullmatch(code))


def _fold(text: str) -> str:
    return re.sub(r"[.\s]+", " ", text).strip().casefold()


def _rows(source: Traversable) -> Iterator[tuple[int, dict[str, str]]]:
    with source.open("r", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            if None in row or None in row.values():
                raise CodebookError(f"{source.name}, line {number}: it has not as many cells as the heading.")
            yield number, row


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _int(text: str) -> int | None:
    return int(text) if text else None


def _codes(source: Traversable, system: str) -> Iterator[Code]:
    for number, row in _rows(source):
        try:
            yield Code(
                code=row["code"],
                system=system,
                label=row["label"],
                unit_rule=UnitRule(row["unit_rule"]),
                from_minute=_int(row["from_minute"]),
                to_minute=_int(row["to_minute"]),
                step_minutes=_int(row["step_minutes"]),
                ladder=row["ladder"] or None,
                rung=_int(row["rung"]),
                service=row["service"] or None,
                levels=frozenset(row["levels"].split()),
                who=row["who"] or None,
                add_on_to=frozenset(row["add_on_to"].split()),
                in_force_from=_date(row["in_force_from"]),
                in_force_through=_date(row["in_force_through"]),
                medicare=row["medicare"] == "yes",
                source=row["source"],
            )
        except (KeyError, ValueError, AttributeError) as problem:
            raise CodebookError(
                f"{source.name}, line {number}: {problem}. Correct the line or restore the file."
            ) from problem


def _elements(data: Traversable) -> dict[str, Element]:
    headings: dict[str, list[re.Pattern[str]]] = {}
    words: dict[str, list[Pattern]] = {}
    for number, row in _rows(data / "signals.csv"):
        try:
            if row["kind"] == "heading":
                headings.setdefault(row["element"], []).append(re.compile(row["pattern"], re.IGNORECASE))
            else:
                words.setdefault(row["element"], []).append(Pattern(row["pattern"], re.IGNORECASE))
        except (re.error, PatternError) as problem:
            raise CodebookError(f"signals.csv, line {number}: not a pattern: {problem}.") from problem
    return {
        row["id"]: Element(
            id=row["id"],
            shows=row["shows"],
            rule=Rule(
                f"DOC-{row['id']}",
                Effect.HOLD,
                f"The note does not show {row['shows']}.",
                row["authority"],
                CuredBy.NOTE,
                row["id"],
            ),
            headings=tuple(headings.get(row["id"], ())),
            titled=_any_line(headings.get(row["id"], ())),
            words=tuple(words.get(row["id"], ())),
            denial_is_absence=row["denial"] == "absent",
        )
        for _, row in _rows(data / "elements.csv")
    }


def _any_line(headings: Sequence[re.Pattern[str]]) -> Pattern | None:
    either = "|".join(f"(?:{heading.pattern})" for heading in headings)
    return Pattern(f"^(?:{either})$", re.IGNORECASE | re.MULTILINE) if headings else None


def _requirements(data: Traversable, elements: Mapping[str, Element]) -> dict[str, dict[str, Effect]]:
    required: dict[str, dict[str, Effect]] = {}
    for number, row in _rows(data / "requirements.csv"):
        for element in row["elements"].split():
            if element not in elements:
                raise CodebookError(f"requirements.csv, line {number}: element {element} is not in elements.csv.")
            required.setdefault(row["service"], {})[element] = Effect(row["effect"])
    return required


@lru_cache(maxsize=4)
def load(directory: Path | None = None, *, with_cpt: bool = True) -> Codebook:
    """The packaged tables, or those of `directory`; `with_cpt=False` leaves the optional CPT folder out.

    Raises:
        CodebookError: a table is missing or has a line that cannot be used.
    """
    data: Traversable = directory or files("guardrails") / "data"
    try:
        described = tomllib.loads((data / "tables.toml").read_text(encoding="utf-8"))
        tables: dict[str, Table] = {}
        codes: dict[str, list[Code]] = {}
        icd: list[tuple[date, date, Traversable]] = []
        for name, about in described.items():
            source = data / about["file"]
            if about["system"] == ICD10CM_SYSTEM:
                icd.append((about["covers_from"], about["covers_through"], source))
                continue
            if name == "cpt" and (not with_cpt or not source.is_file()):
                continue
            tables[name] = Table(
                name=name,
                system=about["system"],
                covers_from=about["covers_from"],
                covers_through=about["covers_through"],
                source=about["source"],
            )
            for code in _codes(source, about["system"]):
                codes.setdefault(code.code, []).append(code)
        elements = _elements(data)
        return Codebook(
            codes={code: tuple(meanings) for code, meanings in codes.items()},
            tables=tables,
            modifiers={m.code: m for m in _modifiers(data / "modifiers.csv")},
            places={
                row["pos"]: PlaceOfService(
                    code=row["pos"],
                    label=row["label"],
                    facility_rate=row["rate"] == "facility",
                    telehealth=row["telehealth"] == "yes",
                )
                for _, row in _rows(data / "places_of_service.csv")
            },
            credentials=tuple(
                Credential(
                    name=row["credential"],
                    level=row["level"],
                    education_modifier=row["education_modifier"] or None,
                    physician=row["physician"] == "yes",
                )
                for _, row in _rows(data / "credentials.csv")
            ),
            elements=elements,
            requirements=_requirements(data, elements),
            services=Named(
                (row["service"], Pattern(row["pattern"], re.IGNORECASE)) for _, row in _rows(data / "services.csv")
            ),
            works={
                row["service"]: Work(
                    documented_as=frozenset(row["documented_as"].split()),
                    named_beside=frozenset(row["named_beside"].split()),
                    within=row["within"] == "yes",
                )
                for _, row in _rows(data / "same_work.csv")
            },
            instruments={
                row["instrument"]: Pattern(rf"\b(?:{row['pattern']})\b") for _, row in _rows(data / "instruments.csv")
            },
            look_alikes=_look_alikes((data, data / "cpt") if "cpt" in tables else (data,)),
            diagnosis_words=tuple(
                (row["prefix"], Pattern(rf"\b(?:{row['pattern']})\b", re.IGNORECASE))
                for _, row in _rows(data / "diagnosis_words.csv")
            ),
            icd_sources=tuple(sorted(icd, key=lambda each: each[0])),
            edits=edit_tables.read(
                (data, data / "cpt") if "cpt" in tables else (data,),
                frozenset(c for c, meanings in codes.items() if meanings[0].service == "evaluation_and_management"),
            ),
            version=";".join(f"{t.name}@{t.covers_through.isoformat()}" for t in tables.values()),
        )
    except ValueError as problem:
        raise problem if isinstance(problem, CodebookError) else CodebookError(f"{problem}; correct the line") from None
    except FileNotFoundError as problem:
        raise CodebookError(f"table {problem.filename} is missing: reinstall, or complete the folder.") from problem


def _look_alikes(folders: tuple[Traversable, ...]) -> dict[str, dict[str, str]]:
    """For a code, the codes that it is often mistaken for, and what in the note tells them apart (domain 2.9)."""
    found: dict[str, dict[str, str]] = {}
    for folder in folders:
        for _, row in _rows(folder / "look_alikes.csv"):
            for other in row["often_really"].split():
                found.setdefault(row["code"], {})[other] = row["tell_apart_by"]
                found.setdefault(other, {}).setdefault(row["code"], row["tell_apart_by"])
    return found


def _icd10cm(covers_from: date, covers_through: date, source: Traversable) -> Icd10Cm:
    lines = source.read_text(encoding="ascii").split()[1:]
    return Icd10Cm(
        covers_from=covers_from,
        covers_through=covers_through,
        billable=frozenset(line[:-2] for line in lines if line.endswith(",1")),
        categories=frozenset(line[:-1] for line in lines if line.endswith(",")),
    )


def _modifiers(source: Traversable) -> Iterator[Modifier]:
    for _, row in _rows(source):
        yield Modifier(
            code=row["modifier"],
            label=row["label"],
            conflict_set=row["conflict_set"] or None,
            on_conflict=Effect(row["on_conflict"]) if row["on_conflict"] else None,
            age_from=_int(row["age_from"]),
            age_below=_int(row["age_below"]),
            in_force_from=_date(row["in_force_from"]),
            in_force_through=_date(row["in_force_through"]),
        )
