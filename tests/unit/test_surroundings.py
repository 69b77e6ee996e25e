"""What was looked up around a visit, as the rules read it: entry by entry, other clients' left out, reasons kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from fhir_mappings import views
from fhir_mappings.clinicians import Clinicians
from fhir_mappings.complaints import Complaints
from fhir_mappings.context import to_context
from fhir_mappings.records import ContextRecord, NoteRecord
from fhir_mappings.visits import MappedVisit
from guardrails import Context, codebook
from guardrails.codebook import HCPCS_SYSTEM
from guardrails.visit import EarlierNote, Known, NotLookedUp
from plugin.ehr.surroundings import scopes_allow
from tests.conftest import BACHELOR, DAY, TODAY, Prove, a_note, a_visit, asked, ids, skills

Json = dict[str, Any]
PATIENT = {"reference": "Patient/client-1"}
ROLE = {"resourceType": "PractitionerRole", "id": "role-of-p", "practitioner": {"reference": "Practitioner/p"}}


def context(**found: Any) -> Context:
    """The context of the test visit with these resources around it."""
    roles = {"role-of-p": views.read(views.PractitionerRole, ROLE)}
    visit = a_visit(rendering=BACHELOR)
    mapped = MappedVisit(visit, Complaints(), Clinicians({}, roles, codebook.load()))
    return to_context(ContextRecord(**found), mapped, today=date(2026, 3, 9), disclosure_basis=None)


def approved(**period: str) -> Json:
    """A prior authorization that was given."""
    return {
        "resourceType": "ClaimResponse",
        "id": "r",
        "status": "active",
        "use": "preauthorization",
        "outcome": "complete",
        "patient": PATIENT,
        "preAuthPeriod": period,
    }


def claim(**changes: Any) -> Json:
    item = {
        "sequence": 1,
        "productOrService": {"coding": [{"code": "h2014"}]},
        "servicedDate": DAY.isoformat(),
        "quantity": {"value": 2},
        "encounter": [{"reference": "Encounter/other"}],
        "careTeamSequence": [1],
    }
    return {
        "resourceType": "Claim",
        "id": "c",
        "status": "active",
        "use": "claim",
        "patient": PATIENT,
        "careTeam": [{"sequence": 1, "provider": {"reference": "Practitioner/p"}}],
        "item": [item | changes.pop("item", {})],
    } | changes


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, 1),
        ({"status": "draft"}, 1),
        ({"status": "cancelled"}, 0),
        ({"status": "entered-in-error"}, 0),
        ({"use": "preauthorization"}, 0),
        ({"patient": {"reference": "Patient/somebody-else"}}, 0),
        ({"item": {"encounter": [{"reference": "Encounter/visit-1"}]}}, 0),
        ({"item": {"servicedDate": "2026-03-03"}}, 0),
        ({"item": {"servicedDate": "2025-02-28"}}, 0),
        ({"item": {"servicedDate": "not a date"}}, 0),
        ({"item": {"productOrService": {}}}, 0),
    ],
)
def test_lines_of_other_claims_of_this_client_are_known(changes: Json, lines: int) -> None:
    """Of the year up to the date of service, not of this visit, not of somebody else."""
    scope = context(claims=(claim(**changes),)).client_lines
    assert isinstance(scope, Known)
    assert len(scope.values) == lines
    for line in scope.values:
        assert (line.code, line.units, line.clinician_id, line.visit_id) == ("H2014", 2, "p", "other")


def test_another_visit_of_the_same_local_day_is_known() -> None:
    """By the facility's day: 00:30 UTC of the next day is the same evening in New York."""

    def encounter(logical_id: str, start: str, **more: Any) -> Json:
        return {
            "resourceType": "Encounter",
            "id": logical_id,
            "status": "finished",
            "subject": PATIENT,
            "period": {"start": start},
        } | more

    scope = context(
        encounters=(
            encounter("evening", "2026-03-03T00:30:00Z"),
            encounter("day-only", "2026-03-02"),
            encounter("next-day", "2026-03-03T06:00:00Z"),
            encounter("visit-1", "2026-03-02T15:00:00Z"),
            encounter("cancelled", "2026-03-02T15:00:00Z", status="cancelled"),
            encounter("stranger", "2026-03-02T15:00:00Z", subject={"reference": "Patient/2"}),
        )
    ).same_day_visits
    assert isinstance(scope, Known)
    assert [v.id for v in scope.values] == ["evening", "day-only"]


@pytest.mark.parametrize(
    ("changes", "times"),
    [
        ({}, 1),
        ({"subject": PATIENT}, 0),
        ({"subject": {}}, 0),
        ({"status": "cancelled"}, 0),
        ({"period": {"start": "2026-03-02T14:00:00-05:00"}}, 0),
        ({"period": {"start": "2026-03-02T08:00:00-05:00", "end": "2026-03-02T20:00:00-05:00"}}, 0),
        ({"period": {"start": "2026-03-03T09:00:00-05:00", "end": "2026-03-03T10:00:00-05:00"}}, 0),
    ],
)
def test_of_the_clinicians_other_clients_only_the_times_are_known(changes: Json, times: int) -> None:
    """Contacts of the same day that took place and ended; nothing says whose they were."""
    other = {
        "resourceType": "Encounter",
        "id": "theirs",
        "status": "finished",
        "subject": {"reference": "Patient/2", "display": "Somebody Else"},
        "period": {"start": "2026-03-02T14:00:00-05:00", "end": "2026-03-02T14:40:00-05:00"},
    } | changes
    scope = context(clinician_encounters=(other,)).clinician_day
    assert isinstance(scope, Known)
    assert len(scope.values) == times
    assert "Somebody" not in repr(scope)


def test_a_plan_names_the_codes_that_its_activities_name() -> None:
    """Codes of HCPCS and CPT, in the form of the tables; services in words name none."""
    plan = {
        "resourceType": "CarePlan",
        "id": "plan",
        "status": "active",
        "subject": PATIENT,
        "activity": [
            {"detail": {"code": {"coding": [{"system": HCPCS_SYSTEM, "code": "h2014 "}]}}},
            {"detail": {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "1"}], "text": "groups"}}},
        ],
    }
    scope = context(plans=(plan,)).plans
    assert isinstance(scope, Known)
    assert [each.codes for each in scope.values] == [{"H2014"}]


def consent(**changes: Any) -> Json:
    return {
        "resourceType": "Consent",
        "id": "k",
        "status": "active",
        "patient": PATIENT,
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "provision": {"type": "permit", "purpose": [{"code": "HPAYMT"}]} | changes.pop("provision", {}),
    } | changes


@pytest.mark.parametrize(
    ("consents", "basis"),
    [
        ([consent()], "Consent/k"),
        ([consent(provision={"purpose": []})], "Consent/k"),
        ([consent(provision={"period": {"end": "2026-03-01"}})], None),
        ([consent(provision={"period": {"start": "2026-03-02", "end": "2026-03-02"}})], "Consent/k"),
        ([consent(provision={"purpose": [{"code": "TREAT"}]})], None),
        ([consent(provision={"type": "deny"})], None),
        ([consent(), consent(id="later", provision={"type": "deny"})], None),
        ([consent(status="inactive")], None),
        ([consent(scope={"coding": [{"code": "research"}]})], None),
        ([consent(patient={"reference": "Patient/2"})], None),
        ([], None),
    ],
)
def test_a_consent_in_force_for_payment_is_a_basis(consents: list[Json], basis: str | None) -> None:
    """Active, this client's, for payment, permitting, on the date of service; a denial in force outweighs it."""
    assert context(consents=tuple(consents)).disclosure_basis == basis


def test_a_plan_and_an_authorization_are_known_with_their_days() -> None:
    """Only what stands: an approved answer to a preauthorization, an active plan, a signed plan note."""
    found = context(
        plans=(
            {
                "resourceType": "CarePlan",
                "id": "a",
                "status": "active",
                "subject": PATIENT,
                "period": {"start": "2026-01-05"},
            },
            {"resourceType": "CarePlan", "id": "b", "status": "revoked", "subject": PATIENT},
            {
                "resourceType": "DocumentReference",
                "id": "d",
                "status": "current",
                "docStatus": "final",
                "subject": PATIENT,
                "date": "2026-02-01T10:00:00Z",
            },
        ),
        authorizations=(approved(start="2026-01-01", end="2026-03-01"),),
    )
    assert isinstance(found.plans, Known)
    assert [p.id for p in found.plans.values] == ["CarePlan/a", "DocumentReference/d"]
    assert isinstance(found.authorizations, Known)
    assert [a.in_force(DAY) for a in found.authorizations.values] == [False]


def test_what_nobody_looked_at_says_why() -> None:
    """Never "nothing found"."""
    shown = context(claims=NotLookedUp("the EHR offers no search of Claim"), encounters=()).not_looked_up()
    assert shown["client_lines"] == "the EHR offers no search of Claim"
    assert "same_day_visits" not in shown


def test_a_note_copied_from_another_visit_holds(prove: Prove) -> None:
    """Word for word the same: it does not show what was done this time (C20)."""
    visit = skills()
    same = EarlierNote(id="old", text_hash=visit.notes.notes[0].text_hash)
    cloned = prove(visit, asked("H2014", 3, modifiers=("HN",)), context=replace(TODAY, earlier_notes=Known((same,))))
    assert "NOTE-080" in ids(cloned)
    other = EarlierNote(id="old", text_hash="0" * 64)
    clean = prove(visit, asked("H2014", 3, modifiers=("HN",)), context=replace(TODAY, earlier_notes=Known((other,))))
    assert "NOTE-080" not in ids(clean)


def test_only_notes_with_text_are_compared() -> None:
    """A note that could not be read, or may not be, has no text to be equal to."""
    found = context(earlier_notes=(NoteRecord({"id": "a"}, "words"), NoteRecord({"id": "b"}))).earlier_notes
    assert isinstance(found, Known)
    assert [n.id for n in found.values] == ["a"]


def test_an_unsigned_addendum_is_named_and_not_used(prove: Prove) -> None:
    """The line stands on the signed note; the person is told of the other."""
    from guardrails.visit import NoteRole, NoteStatus

    addendum = a_note("Stop time: 3:30 PM", note_id="add", role=NoteRole.ADDENDUM, status=NoteStatus.UNSIGNED)
    visit = skills()
    both = replace(visit, notes=replace(visit.notes, notes=(*visit.notes.notes, addendum)))
    verdicts = prove(both, asked("H2014", 3, modifiers=("HN",)))
    assert verdicts.verdicts[0].outcome.value == "ready"
    assert [f.rule_id for f in verdicts.findings] == ["NOTE-021"]


@pytest.mark.parametrize(
    ("stop", "outcome"),
    [("Stop time: 2:45 PM", "ready"), ("Stop time: 3:30 PM", "held"), ("Start time: 1:00 PM", "held")],
)
def test_an_addendum_that_states_another_time_holds(prove: Prove, stop: str, outcome: str) -> None:
    """Which of the two holds, only a new note can say; repeating the same time is no contradiction."""
    from guardrails.visit import NoteRole

    addendum = a_note(
        f"Correction.\n{stop}\nSigned by T. Renner", note_id="add", role=NoteRole.ADDENDUM, continues="note-1"
    )
    visit = skills()
    both = replace(visit, notes=replace(visit.notes, notes=(*visit.notes.notes, addendum)))
    verdicts = prove(both, asked("H2014", 3, modifiers=("HN",)))
    assert verdicts.verdicts[0].outcome.value == outcome
    assert ("TIME-020" in ids(verdicts)) == (outcome == "held")


@pytest.mark.parametrize(
    ("scopes", "kind", "write", "allowed"),
    [
        (None, "Claim", False, True),
        ({"system/Claim.rs"}, "Claim", False, True),
        ({"system/Claim.r"}, "Claim", False, False),
        ({"system/*.rs"}, "Claim", False, True),
        ({"system/*.*"}, "Claim", True, True),
        ({"user/Claim.read"}, "Claim", False, True),
        ({"user/Claim.read"}, "Claim", True, False),
        ({"user/Claim.write"}, "Claim", True, True),
        ({"system/Claim.cruds"}, "Claim", True, True),
        ({"system/Encounter.rs", "openid", "launch"}, "Claim", False, False),
        ({"patient/Observation.rs?category=x"}, "Observation", False, True),
    ],
)
def test_scopes_say_what_may_be_asked_for(scopes: set[str] | None, kind: str, write: bool, allowed: bool) -> None:
    """SMART v1 and v2, wildcards too; scopes that nobody told us are tried out."""
    assert scopes_allow(frozenset(scopes) if scopes is not None else None, kind, write=write) is allowed


@pytest.mark.parametrize(
    ("provider", "clinician"),
    [
        ({"reference": "Practitioner/p"}, "p"),
        ({"reference": "PractitionerRole/role-of-p"}, "p"),
        ({"reference": "PractitionerRole/of-nobody-known"}, None),
        ({"reference": "https://other.example/fhir/Practitioner/p"}, None),
    ],
)
def test_who_gave_another_claims_line_is_a_person_by_whatever_reference(provider: Json, clinician: str | None) -> None:
    """A role leads to its practitioner; one that leads to nobody names nobody."""
    scope = context(claims=(claim(careTeam=[{"sequence": 1, "provider": provider}]),)).client_lines
    assert isinstance(scope, Known)
    assert [line.clinician_id for line in scope.values] == [clinician]


@pytest.mark.parametrize(
    ("people", "known"),
    [
        (["Practitioner/p", "PractitionerRole/role-of-p"], ("p", "p")),
        (["Practitioner/q", "PractitionerRole/of-nobody-known"], ()),
        (["RelatedPerson/mother", "Practitioner/q"], ("q",)),
    ],
)
def test_of_a_visit_with_somebody_unknown_nobody_says_that_it_was_anothers(
    people: list[str], known: tuple[str, ...]
) -> None:
    """It may have been this clinician's own."""
    other = {
        "resourceType": "Encounter",
        "id": "other",
        "status": "finished",
        "subject": PATIENT,
        "period": {"start": "2026-03-02T14:00:00-05:00", "end": "2026-03-02T15:00:00-05:00"},
        "participant": [{"individual": {"reference": each}} for each in people],
    }
    scope = context(encounters=(other,)).same_day_visits
    assert isinstance(scope, Known)
    assert [v.clinician_ids for v in scope.values] == [known]


@pytest.mark.parametrize(
    ("end", "in_force"),
    [
        ("2025-12", False),
        ("2025", False),
        ("12/31/2025", False),
        ("2026-03", True),
        ("2026", True),
        ("2026-03-01", False),
    ],
)
def test_what_ended_in_a_month_has_ended(end: str, in_force: bool) -> None:
    """A plan, an authorization and a consent to disclose: in force through the last day of it, never if nobody can read it."""
    consent = {
        "resourceType": "Consent",
        "id": "k",
        "status": "active",
        "patient": PATIENT,
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "provision": {"type": "permit", "period": {"end": end}},
    }
    plan = {"resourceType": "CarePlan", "id": "p", "status": "active", "subject": PATIENT, "period": {"end": end}}
    found = context(consents=(consent,), plans=(plan,), authorizations=(approved(end=end),))
    assert found.disclosure_basis == ("Consent/k" if in_force else None)
    for scope in (found.plans, found.authorizations):
        assert isinstance(scope, Known)
        assert any(each.in_force(DAY) for each in scope.values) is in_force


def test_a_refusal_whose_time_nobody_can_read_is_a_refusal() -> None:
    """The client says no, and only when is unclear: nothing is disclosed."""
    said = [
        {
            "resourceType": "Consent",
            "id": kind,
            "status": "active",
            "patient": PATIENT,
            "scope": {"coding": [{"code": "patient-privacy"}]},
            "provision": {"type": kind, "period": {"end": end}},
        }
        for kind, end in (("permit", "2027"), ("deny", "until further notice"))
    ]
    assert context(consents=tuple(said)).disclosure_basis is None
    assert context(consents=tuple(said[:1])).disclosure_basis == "Consent/permit"
