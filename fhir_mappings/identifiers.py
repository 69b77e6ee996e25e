"""What in a visit's FHIR resources identifies people: the surface forms that must not leave in a note's text.

A form is a pattern over `folded` text, wide on purpose: a note writes a number with other separators, a name over a line
break, a date in words. One word too many replaced costs a model little; one too few tells it who the client is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, pairwise

from fhir_mappings import views
from fhir_mappings.records import VisitRecord


@dataclass(frozen=True, slots=True, order=True)
class SurfaceForm:
    """One way a note may write an identifier; `kind` names its placeholder, `pattern` matches in `folded` text."""

    kind: str
    pattern: str = field(repr=False)
    any_case: bool = True


def knows_patient(record: VisitRecord) -> bool:
    """Whether the record's Patient could be read and named: without it nobody can say what identifies the client."""
    patient = _read(views.Patient, record.patient)
    return patient is not None and any(n.family or n.given or n.text for n in patient.name)


def identifiers_of(record: VisitRecord) -> tuple[SurfaceForm, ...]:
    """Every surface form of the people and numbers that the record names.

    Unusable resources are passed over here; the mapping has complained about them, and `knows_patient` says when the
    client's own is among them.
    """
    forms: set[SurfaceForm] = set()
    patient = _read(views.Patient, record.patient)
    if patient is not None:
        forms.update(_person("CLIENT", "MRN", patient, 3))
        for contact in patient.contact:
            forms.update(_names("PERSON", [contact.name] if contact.name else []))
            forms.update(_contacts(contact.telecom, [contact.address] if contact.address else []))
    for raw in record.others:
        person = _read(views.Practitioner, raw)
        if person is not None:
            forms.update(_person("CLINICIAN", "NUMBER", person, 4))
        relative = _read(views.RelatedPerson, raw)
        if relative is not None:
            forms.update(_person("PERSON", "NUMBER", relative, 4))
        coverage = _read(views.Coverage, raw)
        if coverage is not None:
            numbers = [coverage.subscriber_id, *(i.value for i in coverage.identifier)]
            forms.update(form for n in numbers if n and len(n) >= 4 for form in number("MEMBER", n))
    return tuple(sorted(forms))


def _read(view: type[views.R], raw: object) -> views.R | None:
    try:
        return views.read(view, raw)
    except views.UnusableResource:
        return None


def _person(
    kind: str,
    number_kind: str,
    person: views.Patient | views.Practitioner | views.RelatedPerson,
    shortest_number: int,
) -> Iterator[SurfaceForm]:
    yield from _names(kind, person.name)
    yield from _contacts(person.telecom, person.address)
    for each in person.identifier:
        if each.value and len(each.value) >= shortest_number:
            yield from number(number_kind, each.value)
    try:
        born = views.day(person.birth_date)
    except ValueError:
        born = None
    if born:
        yield calendar_day("BIRTHDATE", born)


# --- folding: one spelling for what looks alike ---

_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u2032\u00b4`"), "'")
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-[ ]*\n[ ]*(?=[^\W\d_])")


def folded(text: str) -> tuple[str, Sequence[int]]:
    """The text with accents, invisible characters and hyphens at line ends taken out, dashes, blanks and full-width
    letters made plain; and the place in the original of each of its characters (one more for its end)."""
    if text.isascii() and "-\n" not in text and "- " not in text:
        return text, range(len(text) + 1)
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for plain in character if character.isascii() else _plain(character):
            characters.append(plain)
            places.append(place)
    places.append(len(text))
    whole = "".join(characters)
    broken = [match.span() for match in _BROKEN_WORD.finditer(whole)]
    kept = list(pairwise([0, *chain.from_iterable(broken), len(whole) + 1]))[::2]
    return "".join(whole[a:b] for a, b in kept), [place for a, b in kept for place in places[a:b]]


def _plain(text: str) -> str:
    """The characters as an American keyboard has them; nothing for accents and invisible ones."""
    made = []
    for c in unicodedata.normalize("NFKD", text).translate(_APOSTROPHES):
        category = unicodedata.category(c)
        if category in ("Mn", "Cf"):
            continue
        made.append("-" if category == "Pd" or c == "\u2212" else " " if c.isspace() and c != "\n" else c)
    return "".join(made)


# --- surface forms ---

_NO_LETTER_BEFORE, _NO_LETTER_AFTER = r"(?<![^\W\d_])", r"(?![^\W\d_])"
_BETWEEN = r"[\W_]{0,3}"


def words(kind: str, text: str, *, any_case: bool = True) -> SurfaceForm:
    """Words as they stand, over any white space, and an s after them (a family, or a forgotten apostrophe)."""
    inner = r"[\s_]+".join(map(re.escape, _plain(text).split()))
    if not inner:  # only invisible characters
        return SurfaceForm(kind, r"(?!)")
    plural = "s?" if inner[-1:].isalpha() else ""
    before = _NO_LETTER_BEFORE if _plain(text)[:1].isalnum() else ""
    return SurfaceForm(kind, f"{before}{inner}{plural}{_NO_LETTER_AFTER if plural else ''}", any_case)


def number(kind: str, text: str) -> Iterator[SurfaceForm]:
    """A number or code whatever stands between its parts, and its digits without its letters where they are many."""
    parts = re.findall(r"[^\W\d_]+|\d", _plain(text))
    if not parts:
        return
    edges = r"(?<![^\W_])", r"(?![^\W_])"
    yield SurfaceForm(kind, edges[0] + _BETWEEN.join(map(re.escape, parts)) + edges[1])
    digits = max(re.findall(r"\d+", text), key=len, default="")
    if len(digits) >= 5 and digits != "".join(parts):
        yield SurfaceForm(kind, r"(?<!\d)" + "[ -]?".join(digits) + r"(?!\d)")


def calendar_day(kind: str, when: date) -> SurfaceForm:
    """A date in figures or words, month, day or year first, four or two figures of the year."""
    month, dom, year = f"0?{when.month}", f"0?{when.day}", f"(?:{when.year}|'?{when.year % 100:02})"
    name = f"{when:%B}"
    named = f"(?:{name}|{name[:3]}|{name[:4]})\\.?"
    ordinal = f"{dom}(?:st|nd|rd|th)?"
    gap, sep = r"[\s,./_-]{0,3}", r"\s?[/.,\s_-]\s?"
    forms = (
        f"{month}{sep}{dom}{sep}{year}",
        f"{dom}{sep}{month}{sep}{year}",
        f"{when.year}{sep}{month}{sep}{dom}",
        f"{when:%Y%m%d}",
        f"{when:%m%d%Y}",
        f"{when:%m%d%y}",
        f"{named}{gap}{ordinal}{gap}{year}",
        f"{ordinal}{gap}(?:of\\s)?{named}{gap}{year}",
        f"{year}{gap}{named}{gap}{ordinal}",
        f"{year}{gap}{ordinal}{gap}(?:of\\s)?{named}",
    )
    return SurfaceForm(kind, rf"(?<![\d/])(?:{'|'.join(forms)})(?!\d)")


def _contacts(telecom: Iterable[views.ContactPoint], addresses: Iterable[views.Address]) -> Iterator[SurfaceForm]:
    for point in telecom:
        digits = re.sub(r"\D", "", point.value or "")
        if "@" in (point.value or ""):
            name, _, host = (point.value or "").partition("@")
            at = r"\s*(?:@|[(\[]\s?at\s?[)\]])\s*"
            yield SurfaceForm("CONTACT", rf"(?<!\w){re.escape(name)}{at}{re.escape(host)}")
        elif len(digits) >= 7:
            local = _BETWEEN.join(digits[-7:])
            area = rf"(?:(?:(?:\+|00\s?)?1{_BETWEEN})?{_BETWEEN.join(digits[-10:-7])}{_BETWEEN})?"
            yield SurfaceForm("CONTACT", rf"(?<!\d)\(?{area}{local}(?!\d)")
        elif point.value and len(point.value) >= 3:
            yield words("CONTACT", point.value)
    for address in addresses:
        if address.postal_code and len(address.postal_code) >= 5:
            yield words("ADDRESS", address.postal_code)
        for line in (*address.line, address.text or ""):
            yield from _street(line)


def _street(line: str) -> Iterator[SurfaceForm]:
    """A street with its number and, where it has a name of its own, without; its kind spelt out or abbreviated."""
    parts = re.findall(r"[^\W_]+", _plain(line))
    if sum(map(len, parts)) < 4:
        return
    patterns = [_STREETS.get(p.casefold(), re.escape(p)) for p in parts]
    edges = r"(?<![^\W_])", r"(?![^\W_])"
    yield SurfaceForm("ADDRESS", edges[0] + r"[\W_]+".join(patterns) + edges[1])
    if parts[0].isdigit() and len(parts) >= 3 and any(len(p) >= 4 for p in parts[1:-1]):
        yield SurfaceForm("ADDRESS", edges[0] + r"[\W_]+".join(patterns[1:]) + edges[1])


_STREETS = {
    spelling: f"(?:{pair.replace(' ', '|')})"
    for pair in (
        "street st",
        "avenue ave",
        "terrace terr ter",
        "lane ln",
        "court ct",
        "road rd",
        "drive dr",
        "boulevard blvd",
        "place pl",
        "circle cir",
        "square sq",
        "parkway pkwy",
        "highway hwy",
        "trail trl",
        "apartment apt",
        "north n",
        "south s",
        "east e",
        "west w",
    )
    for spelling in pair.split()
}


def _names(kind: str, names: Iterable[views.HumanName]) -> Iterator[SurfaceForm]:
    """Full forms in any case; single words as people write them, for "Grace" is a person and "grace" is a word."""
    for name in names:
        given = [plain for each in name.given if (plain := _plain(each).strip())]
        family, text = _plain(name.family or "").strip(), _plain(name.text or "").strip()
        for first in given if family else ():
            yield from _full(kind, first, family)
        for whole in {*given, family, text} - {""}:
            for word in {whole, *re.split(r"[\s,/-]+", whole)}:
                if len(word.strip(".")) < 2 or word.casefold() in _PARTICLES:
                    continue
                if " " in word or (len(word) >= 4 and word.casefold() not in _WORDS_TOO):
                    yield words(kind, word)
                else:
                    for spelt in {word, word.title(), word.upper(), word.capitalize()}:
                        yield words(kind, spelt, any_case=False)


def _full(kind: str, first: str, family: str) -> Iterator[SurfaceForm]:
    one, two = re.escape(first), re.escape(family)
    middle = rf"(?:[^\W\d_]+\.?{_BETWEEN})?"
    for inner in (
        rf"{one}{_BETWEEN}{two}s?",
        rf"{one}\s{middle}{two}s?",
        rf"{two}{_BETWEEN}{one}",
        rf"{re.escape(first[0])}\.\s?{two}s?",
        rf"{one}\s{re.escape(family[0])}(?=\.)",
    ):
        yield SurfaceForm(kind, _NO_LETTER_BEFORE + inner + _NO_LETTER_AFTER)
    initials = rf"{re.escape(first[0])}\.\s?(?:[A-Z]\.\s?)?{re.escape(family[0])}\."
    yield SurfaceForm(kind, _NO_LETTER_BEFORE + initials, any_case=False)


_PARTICLES = frozenset(
    """de la le van von der den da dos del mr mr. mrs mrs. ms ms. mx. dr dr. jr jr. sr sr. ii iii""".split()
)
_WORDS_TOO = frozenset(
    """angel april august autumn brown charity clay cliff cook dale dawn destiny drew earnest faith ford frank gene glen grace
    grant green harmony harvest heather holly hope hunter ivory jack journey justice king knight land lane liberty long love
    mark marry mason mercy mike miles miller moon noble norm olive page park parker patience peace precious price promise
    prudence quick reed rich river robin rose rusty sage sandy serenity sharp short skip small star stone storm stout summer
    sunny sunday taylor trinity true victor violet wade walker ward waters weeks white wilder will wise wood woods young""".split()
)
"""Names that are words of notes as well: they count as names only as names are written."""
