"""The gate: what leaves, in which form, and the way back."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from fhir_mappings.identifiers import identifiers_of, words
from fhir_mappings.records import VisitRecord
from guardrails.evidence import prove
from guardrails.visit import Visit
from plugin import privacy
from plugin.settings import EhrSettings, ModelSettings, SettingsError
from prompts import Reply, ReplyLine, ReplyQuote
from tests.conftest import TODAY, a_note, a_visit

TEXT = (
    "Client: Grace Ostrava, DOB 07/14/1988, MRN: RB-104417, phone (937) 555-0117, grace.o@mail.example\n"
    "Grace said grace before lunch; Ms. Ostrava's mother called 937-555-0199. CLIENT-001 is a form number.\n"
    "Start time: 2:00 PM\nStop   time:\t2:45 PM\nGrace Ostrava rehearsed the budget twice.\nSigned by Tobias Renner\n"
)
FORMS = (
    words("CLIENT", "Grace Ostrava"),
    words("CLINICIAN", "Tobias Renner"),
    words("CLIENT", "Ostrava", any_case=False),
    words("CLIENT", "Grace", any_case=False),
    words("MRN", "RB-104417"),
)
SANDBOX = EhrSettings(sandbox=True)


def gate(
    visit: Visit | None = None, ehr: EhrSettings = SANDBOX, model: ModelSettings | None = None
) -> tuple[privacy.Outgoing, ...]:
    return privacy.open_gate(visit or a_visit(a_note(TEXT)), TODAY, FORMS, ehr, model)


def test_known_and_recognisable_identifiers_are_replaced() -> None:
    """Names, numbers, dates of birth and contacts leave as placeholders; ordinary words stay."""
    (outgoing,) = gate()
    sent = outgoing.sent.text
    for gone in ("Ostrava", "Grace ", "Renner", "RB-104417", "07/14/1988", "555-0117", "555-0199", "mail.example"):
        assert gone not in sent
    assert "said grace before lunch" in sent


def test_each_surface_form_has_its_own_placeholder_that_no_text_holds() -> None:
    """CLIENT-001 stands in the note already, so no form gets it."""
    (outgoing,) = gate()
    assert outgoing.sent.text.count("CLIENT-001 ") == 1
    assert {"CLIENT-002", "CLIENT-003", "CLIENT-004"} <= set(privacy.client_placeholders([outgoing]))


def test_the_segment_map_covers_the_sent_text_and_leads_back() -> None:
    """Every stretch of sent text maps to an original stretch, in order and without gaps."""
    (outgoing,) = gate()
    assert outgoing.segments[0].sent[0] == 0
    assert outgoing.segments[-1].sent[1] == len(outgoing.sent.text)
    for before, after in zip(outgoing.segments, outgoing.segments[1:], strict=False):
        assert before.sent[1] == after.sent[0]
        assert before.original[1] == after.original[0]
    assert outgoing.original_of(outgoing.sent.text) == TEXT


def test_a_quote_of_sent_text_becomes_the_notes_own_words() -> None:
    """A placeholder in a quote is led back to the name it stands for, then proven against the original note."""
    (outgoing,) = gate()
    words = next(line for line in outgoing.sent.text.splitlines() if "rehearsed" in line)
    line = ReplyLine(code="H2014", units=3, modifiers=[], quotes=[ReplyQuote(note="note-1", element="S03", text=words)])
    (proposal,) = privacy.proposals_of(Reply(lines=[line], nothing_because=None), [outgoing])
    assert proposal.quotes[0].text == "Grace Ostrava rehearsed the budget twice."
    assert not prove(proposal, a_visit(a_note(TEXT))).findings


def test_white_space_may_fold_and_nothing_else() -> None:
    """ "Stop time: 2:45 PM" is found across tabs and blanks; another letter is another quote."""
    (outgoing,) = gate()
    assert outgoing.original_of("Stop time: 2:45 PM") == "Stop   time:\t2:45 PM"
    assert outgoing.original_of("stop time: 2:45 PM") is None
    assert outgoing.original_of("Stop time: 2:46 PM") is None


def test_an_invented_quote_comes_through_to_be_refused() -> None:
    """Nothing vanishes: the quote is kept as it came and EVID-010 refuses its line."""
    outgoing = gate()
    line = ReplyLine(
        code="H2014", units=3, modifiers=[], quotes=[ReplyQuote(note="note-1", element="S03", text="Mastered it.")]
    )
    (proposal,) = privacy.proposals_of(Reply(lines=[line], nothing_because=None), outgoing)
    assert [f.rule_id for f in prove(proposal, a_visit(a_note(TEXT))).findings] == ["EVID-010"]


@pytest.mark.parametrize("label", ["PSYTHPN", "HIPAAPsyNotes"])
def test_a_labelled_psychotherapy_note_never_leaves(label: str) -> None:
    """PV-01: alone it closes the gate; beside an ordinary note only the ordinary note leaves."""
    hidden = a_note("secret words", note_id="hidden", labels=frozenset({label}))
    with pytest.raises(privacy.Closed):
        gate(a_visit(hidden))
    assert [o.note.id for o in gate(a_visit(hidden, a_note(TEXT)))] == ["note-1"]


@pytest.mark.parametrize("label", ["42CFRPart2", "SUD", "ETH", "HIV", "R", "V", "NEW-LABEL"])
def test_protected_labels_close_the_gate_without_a_basis(label: str) -> None:
    """PV-02 and domain 9.4: protected and unknown labels need a recorded basis or a person."""
    with pytest.raises(privacy.Closed):
        gate(a_visit(a_note(TEXT, labels=frozenset({label}))))


def test_a_real_ehrs_notes_need_a_basis_for_the_models_host() -> None:
    """PV-05: without a named agreement nothing goes to a model; the baseline keeps text in the process."""
    real, model = EhrSettings(base_url="https://ehr.example/fhir"), ModelSettings(base_url="https://model.example/v1")
    with pytest.raises(SettingsError, match=r"model\.basis"):
        gate(ehr=real, model=model)
    assert gate(ehr=real, model=model.model_copy(update={"basis": "BAA 2026-01"}))
    assert gate(ehr=real, model=None)


def test_an_unsigned_note_does_not_leave() -> None:
    """Only evidence is sent."""
    visit = a_visit(a_note(TEXT))
    unsigned = replace(visit.notes.notes[0], status=type(visit.notes.notes[0].status).UNSIGNED)
    assert gate(a_visit(unsigned)) == ()


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ({"family": "OSTRAVA", "given": ["GRACE"]}, "Ms. Ostrava, Grace's, GRACE, Grace_Ostrava"),
        ({"family": "ostrava", "given": ["grace"]}, "Ostrava and Grace"),
        ({"family": "Ostrava-Smith", "given": ["Mary-Ann"]}, "Ms. Ostrava, Mrs. Smith, Mary"),
        ({"text": "Grace Marie Ostrava"}, "Grace, Marie, Ostrava"),
        ({"family": "O'Brien", "given": ["José"]}, "Mr. O’Brien, O'Brien, Jose, José"),
        ({"family": "Nuñez", "given": ["Ana"]}, "Nunez, NUÑEZ, nuñez"),
    ],
)
def test_names_are_known_in_the_spellings_people_use(name: dict[str, object], written: str) -> None:
    """Upper case, parts of double names, accents left out, curly apostrophes, underscores."""
    record = VisitRecord(ehr_id="t", encounter={}, patient={"resourceType": "Patient", "id": "p", "name": [name]})
    (outgoing,) = privacy.open_gate(a_visit(a_note(written)), TODAY, identifiers_of(record), SANDBOX, None)
    left = re.sub(r"CLIENT-\d{3}|\b(?:Ms|Mrs|Mr|and|s)\b|[^\w]|_", "", outgoing.sent.text)
    assert left == ""


CLIENT = {
    "resourceType": "Patient",
    "id": "p",
    "name": [{"family": "Zquorlby", "given": ["Wexaphine", "Oolvenna"]}, {"family": "Kvíntarsk"}],
    "identifier": [{"value": "ZQ-77319048"}],
    "telecom": [
        {"system": "phone", "value": "(614) 555-0136"},
        {"system": "email", "value": "w.zquorlby@mail.example"},
    ],
    "address": [{"line": ["41 Vraxley Terrace"]}],
    "birthDate": "1971-11-09",
    "contact": [{"name": {"family": "Uxbrindle"}, "address": {"line": ["5 Ploverquist Way"]}}],
}
AROUND: tuple[dict[str, object], ...] = (
    {"resourceType": "RelatedPerson", "id": "r", "name": [{"family": "Ythrobald"}], "birthDate": "1944-06-23"},
    {"resourceType": "Practitioner", "id": "q", "birthDate": "1969-08-17", "identifier": [{"value": "1730998843"}]},
    {"resourceType": "Practitioner", "id": "s", "address": [{"line": ["9 Dwelphin Court"]}]},
    {"resourceType": "Coverage", "id": "c", "subscriberId": "QMEM88144029"},
)


@pytest.mark.parametrize(
    "written",
    """the Zquorlbys|Zquorlbys chart|wexaphine|zquorlby,wexaphine|WexaphineZquorlby|Wexaphine-Zquorlby|Zquor\u00adlby|Zquor\u200blby
Zquor-\\nlby|Ｚｑｕｏｒｌｂｙ|Wexaphi\u0301ne|Kvi\u0301ntarsk|KVINTARSK|W.Z.|W. O. Z.|Wexaphine1|Nov. 9, 1971|Nov 9 71|9-Nov-71
11 09 1971|19711109|11091971|11/9/71|11–09–1971|11‑09‑1971|1971.11.09|11 / 09 / 1971|November 9th 1971|9th of November 1971
November 9,1971|NOVEMBER 9, 1971|09 Nov 1971|09/11/1971|614‑555‑0136|614 - 555 - 0136|614\u00a0555\u00a00136|614/555/0136
614_555_0136|(614)555-0136|+16145550136|1-614-555-0136|614—555—0136|555-0136|614·555·0136|614,555,0136|614\\n555-0136
6 1 4 5 5 5 0 1 3 6|ZQ77319048|ZQ 77319048|77319048|ZQ‑77319048|QMEM 88144029|QMEM-88144029|88144029|w.zquorlby @ mail.example
w.zquorlby(at)mail.example|41 Vraxley Ter.|Vraxley Terrace|41, Vraxley Terrace|9 Dwelphin Ct|5 Ploverquist Way|June 23, 1944
1971 Nov 9|1971-Nov-09|09NOV1971|1971, November 9|1971/Nov/9|9/Nov/1971|1971NOV09|71-Nov-09|1971 9 November
08/17/1969|Ythrobald's|173-099-8843|Uxbrindle""".replace("\n", "|")
    .replace("\\n", "\n")
    .split("|"),
)
def test_identifiers_are_known_however_they_are_written(written: str) -> None:
    """Broken over lines, run together, in figures or words, with any dash or blank; the words around it stay."""
    record = VisitRecord(ehr_id="t", encounter={}, patient=CLIENT, others=AROUND)
    visit = a_visit(a_note(f"we met {written} then talked"))
    (outgoing,) = privacy.open_gate(visit, TODAY, identifiers_of(record), SANDBOX, None)
    assert re.fullmatch(r"we met (the )?[A-Z]+-\d{3}('s|\.)?( chart|1)? then talked", outgoing.sent.text), (
        outgoing.sent.text
    )
    assert outgoing.original_of(outgoing.sent.text) == f"we met {written} then talked"


def test_words_and_numbers_of_the_session_are_left_alone() -> None:
    """Times, minutes, doses, service dates and codes of a note are none of anybody's identifiers."""
    text = "Met 11/09/2026 from 2:00 PM to 2:45 PM, 45 minutes; PHQ-9 score 9, 50 mg; H2014 x 3, F33.1, 9 of 11 goals."
    record = VisitRecord(ehr_id="t", encounter={}, patient=CLIENT, others=AROUND)
    (outgoing,) = privacy.open_gate(a_visit(a_note(text)), TODAY, identifiers_of(record), SANDBOX, None)
    assert outgoing.sent.text == text


@pytest.mark.parametrize(
    "born",
    [
        "DOB   1948 Sep 21",
        "DOB: 1948-Sep-21",
        "DOB 21SEP1948",
        "born 1948, September 21",
        "D.O.B.: Sept. 21, 1948",
        "DOB: 09/21/1948",
        "date of birth 21 September 1948",
        "Birthdate: 19480921",
        "birth date - September 21st, 1948",
        "DOB (1948-09-21)",
        "born on 21st of September 1948",
        "DOB:\t9 / 21 / 48",
        "DOB\n09-21-1948",
    ],
)
def test_a_date_of_birth_is_known_by_its_label(born: str) -> None:
    """Whoever's it is, and in whatever order it is written; the label stays."""
    (outgoing,) = privacy.open_gate(a_visit(a_note(f"Mother, {born} lives with them")), TODAY, (), SANDBOX, None)
    assert re.fullmatch(r"Mother, \D+BIRTHDATE-001\)? lives with them", outgoing.sent.text), outgoing.sent.text


@pytest.mark.parametrize(
    "number",
    [
        "9375550199",
        "937 5550117",
        "(937) 5550117",
        "937–555–0117",
        "+1 937.555.0117",
        "123-45-6789",
        "123456789",
        "Medicaid ID: 100200300400",
    ],
)
def test_numbers_are_known_by_their_shape(number: str) -> None:
    """Phone, social security and labelled plan numbers that FHIR did not name."""
    (outgoing,) = privacy.open_gate(a_visit(a_note(f"reach her at {number} today")), TODAY, (), SANDBOX, None)
    assert not re.search(r"\d{4}", re.sub(r"-\d{3}\b", "", outgoing.sent.text))
