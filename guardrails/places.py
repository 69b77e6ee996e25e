"""Where the service was given, and how: place of service and telehealth, against what the note says (domain 5.4, 6.9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guardrails.codebook import Code, Codebook, PlaceOfService, UnitRule
from guardrails.policies import Policy
from guardrails.prerequisites import PLANNED
from guardrails.reading import Reading
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, Quote, found
from guardrails.visit import Visit

NO_PLACE = rule(
    "PLACE-010",
    Effect.HOLD,
    "The place of service is not known.",
    authority="domain 4.2 C04, 5.4",
    cured_by=CuredBy.CODER,
    lacks="C04",
)
UNKNOWN_PLACE = rule(
    "PLACE-020",
    Effect.BLOCK,
    "The place of service is not a CMS place-of-service code.",
    authority="domain 5.4",
    cured_by=CuredBy.CODER,
)
NOT_OUTSIDE = rule(
    "PLACE-030",
    Effect.BLOCK,
    "{code} is for crisis psychotherapy outside the office and outside sites with a facility rate.",
    authority="domain 5.4, X-E41; CMS HCPCS text",
    cured_by=CuredBy.NOBODY,
)
NOT_AT_HOME = rule(
    "PLACE-040",
    Effect.HOLD,
    "The place of service says telehealth at the client's home, and the note places the client elsewhere.",
    authority="CMS place-of-service list; domain MC-09, X-E25",
    cured_by=CuredBy.CODER,
)
AT_HOME = rule(
    "PLACE-041",
    Effect.HOLD,
    "The place of service says telehealth away from home, and the note places the client at home.",
    authority="CMS place-of-service list; domain MC-09",
    cured_by=CuredBy.CODER,
)
AT_A_DISTANCE = rule(
    "PLACE-042",
    Effect.HOLD,
    "The note describes a contact by video or telephone, and the place of service says in person.",
    authority="CMS place-of-service list; domain 5.4, X-E24",
    cured_by=CuredBy.CODER,
)
IN_PERSON = rule(
    "PLACE-043",
    Effect.HOLD,
    "The place of service says telehealth, and the note describes a contact in person.",
    authority="CMS place-of-service list; domain 5.4",
    cured_by=CuredBy.CODER,
)
MARKED_IN_PERSON = rule(
    "MOD-130",
    Effect.WARN,
    "Modifier {modifier} marks telehealth, and the place of service is not 02 or 10.",
    authority="domain MC-08",
    cured_by=CuredBy.CODER,
)
UNMARKED = rule(
    "MOD-131",
    Effect.WARN,
    "The place of service says telehealth and the line carries no telehealth modifier; payers differ in what they ask.",
    authority="domain MC-08, TE-03",
    cured_by=CuredBy.CODER,
)
SOUND_ONLY = rule(
    "MOD-132",
    Effect.HOLD,
    "Modifier {modifier} marks picture and sound, and the note describes a telephone contact.",
    authority="domain MC-10; CMS modifier guidance",
    cured_by=CuredBy.CODER,
)
TELEPHONE_UNMARKED = rule(
    "MOD-133",
    Effect.HOLD,
    "The note describes a telephone contact, and the line does not say so in the way that Medicare asks.",
    authority="domain MC-08, TE-03",
    cured_by=CuredBy.CODER,
)
TELEPHONE = rule(
    "MOD-134",
    Effect.WARN,
    "The note describes a telephone contact; the payer's policy says what becomes of it.",
    authority="domain MC-11, TE-05; the payer's policy",
    cured_by=CuredBy.CODER,
)
UNSEEN = rule(
    "MOD-135",
    Effect.WARN,
    "{code} rests on what the client is seen to do, and the note describes a telephone contact.",
    authority="domain MC-11",
    cured_by=CuredBy.CODER,
)

IN_ANOTHERS_CARE = rule(
    "PLACE-050",
    Effect.WARN,
    "The place of service is an inpatient or residential one, whose own rate often covers {code}.",
    authority="domain SD-07, 5.4",
    cured_by=CuredBy.CODER,
)

_BY_THE_DAY = frozenset({"21", "51", "55", "56"})
_OUTSIDE_THE_OFFICE = frozenset({"G0017", "G0018"})
_TELEHEALTH_MARKS = frozenset({"GT", "GQ", "95", "93", "FQ"})
_SEEN = frozenset({"95", "GT"})
_HEARD = frozenset({"93", "FQ"})
_OBSERVED = frozenset({"skills_training", "adaptive_behavior", "test_administration"})
_BY_TELEPHONE = frozenset({"98966", "98967", "98968", "G0544", "H0030"})
_HOME = "10"


def check(
    code: Code, modifiers: Sequence[str], readings: Sequence[Reading], visit: Visit, codebook: Codebook, policy: Policy
) -> Iterator[Finding]:
    """Whether the place of service is known, a CMS code, one where the service can be given, and what the note says."""
    if visit.place_of_service is None:
        yield found(NO_PLACE)
        return
    place = codebook.places.get(visit.place_of_service)
    if place is None:
        yield found(UNKNOWN_PLACE)
        return
    if code.code in _OUTSIDE_THE_OFFICE and (place.code == "11" or place.facility_rate):
        yield found(NOT_OUTSIDE, code=code.code)
    if place.code in _BY_THE_DAY and code.service in PLANNED:
        yield found(IN_ANOTHERS_CARE, code=code.code)
    if code.code in _BY_TELEPHONE or code.unit_rule is UnitRule.PER_MONTH:
        return
    if "C24" in codebook.requirements.get(code.service or "", {}):  # else the client need not have been there at all
        yield from _against_note(place, readings)
    yield from _marks(code, place, modifiers, readings, policy)


def _said(readings: Sequence[Reading], what: str) -> list[Quote]:
    return [r.at(span) for r in readings if (span := getattr(r, what))]


def _against_note(place: PlaceOfService, readings: Sequence[Reading]) -> Iterator[Finding]:
    in_person = _said(readings, "in_person")
    if in_person and (not place.telehealth or not _at_a_distance(readings)):
        if place.telehealth:
            yield found(IN_PERSON, where=in_person[:1])
    elif place.telehealth:
        at_home, elsewhere = _said(readings, "client_at_home"), _said(readings, "client_elsewhere")
        if place.code == _HOME and elsewhere and not at_home:
            yield found(NOT_AT_HOME, where=elsewhere[:1])
        elif place.code != _HOME and at_home and not elsewhere:
            yield found(AT_HOME, where=at_home[:1])
    elif distant := _at_a_distance(readings):
        yield found(AT_A_DISTANCE, where=distant[:1])


def _at_a_distance(readings: Sequence[Reading]) -> list[Quote]:
    return [*_said(readings, "video"), *_said(readings, "telephone")]


def _marks(
    code: Code, place: PlaceOfService, modifiers: Sequence[str], readings: Sequence[Reading], policy: Policy
) -> Iterator[Finding]:
    marked = [m for m in modifiers if m in _TELEHEALTH_MARKS]
    if marked and not place.telehealth:
        yield found(MARKED_IN_PERSON, modifier=marked[0])
    if place.telehealth and not marked and policy.telehealth.modifier != "not_needed":
        effect = Effect.HOLD if policy.telehealth.modifier == "required" else Effect.WARN
        yield found(UNMARKED, effect=effect)
    if _said(readings, "in_person") or _said(readings, "video"):
        return
    heard_only = _said(readings, "telephone")
    if not heard_only:
        return
    yield from (found(SOUND_ONLY, where=heard_only[:1], modifier=m) for m in marked if m in _SEEN)
    if policy.kind == "medicare" and place.telehealth and not _HEARD & set(marked):
        yield found(TELEPHONE_UNMARKED, where=heard_only[:1])
    answer = policy.telehealth.audio_only.effect
    if answer is not None:
        yield found(TELEPHONE, where=heard_only[:1], effect=answer)
    if code.service in _OBSERVED:
        yield found(UNSEEN, where=heard_only[:1], code=code.code)
