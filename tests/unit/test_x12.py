"""The 837P file: pyx12 accepts it, a naive reader finds the Claims in it again, and no data can add a segment."""

from __future__ import annotations

import csv
import io
import logging
import sys
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_mappings.professional import Address, Facility, PersonName, ProfessionalClaim, to_professional
from plugin.release import table, x12
from plugin.release.fees import Fee, Fees
from plugin.settings import ReleaseSettings, Settings, SettingsError, Usage, load
from tests.released import ENVELOPE, NAMES, RELEASE, Json, drafted, professional

SPOUSE = PersonName(last="Ostrava", first="Petra")


def fees(*rows: tuple[str, int]) -> Fees:
    """Prices of one unit, in cents, for ever and everybody."""
    return Fees(
        Fee(row=n, code=code, modifiers=frozenset(), cents=cents, starts=date.min, ends=date.max, payer="")
        for n, (code, cents) in enumerate(rows)
    )


# --- a reader that knows nothing of the writer ---


@dataclass
class ReadLine:
    """A service line as a payer's clerk would read it."""

    code: str
    modifiers: list[str]
    charge: Decimal
    units: str
    place: str
    pointers: list[str]
    day: str
    rendering: str


def segments_of(data: bytes) -> list[list[str]]:
    """The segments by the delimiters that the interchange header announces."""
    text = data.decode("ascii")
    return [segment.split(text[3]) for segment in text.split(text[105])[:-1]]


def read_back(data: bytes) -> dict[str, tuple[Decimal, list[str], list[ReadLine]]]:
    """Claims by control number: their total, their diagnoses, their lines."""
    found: dict[str, tuple[Decimal, list[str], list[ReadLine]]] = {}
    billing = place = claim_wide = control = ""
    for s in segments_of(data):
        if s[0] == "NM1" and s[1] == "85":
            billing = s[9]
        elif s[0] == "CLM":
            control, place, claim_wide = s[1], s[5].split(":")[0], billing
            found[control] = (Decimal(s[2]), [], [])
        elif s[0] == "HI":
            found[control][1].extend(part.split(":")[1] for part in s[1:])
        elif s[0] == "SV1":
            kind, code, *modifiers = s[1].split(":")
            assert (kind, s[3]) == ("HC", "UN")
            line = ReadLine(code, modifiers, Decimal(s[2]), s[4], s[5] or place, s[7].split(":"), "", claim_wide)
            found[control][2].append(line)
        elif s[0] == "DTP" and s[1] == "472":
            found[control][2][-1].day = s[3]
        elif s[0] == "NM1" and s[1] == "82":
            if found[control][2]:
                found[control][2][-1].rendering = s[9]
            else:
                claim_wide = s[9]
    return found


def counted(data: bytes) -> None:
    """The trailers count what stands between, and the levels count themselves."""
    found = segments_of(data)
    kinds = [s[0] for s in found]
    assert kinds[:3] == ["ISA", "GS", "ST"]
    assert kinds[-3:] == ["SE", "GE", "IEA"]
    assert found[-3][1] == str(len(found) - 4)
    levels = [s for s in found if s[0] == "HL"]
    assert [s[1] for s in levels] == [str(n) for n in range(1, len(levels) + 1)]
    assert len(data[: data.index(b"~") + 1]) == 106


# --- files of the fixtures ---


def test_the_fixtures_become_a_file_that_pyx12_accepts() -> None:
    """Visits with add-ons, groups, telehealth, two clinicians and two payers, in one file."""
    data = x12.write([professional(name) for name in NAMES], ENVELOPE, fees(("H2014", 2575)))
    assert x12.check(data) == []
    counted(data)


def test_what_stands_in_the_file_is_what_the_claims_say() -> None:
    """Read back by hand: every line's code, modifiers, units, pointers, day and place, and who gave it, as in the Claim."""
    drafts = [(*drafted(name), name) for name in NAMES]
    claims = [professional(name) for name in NAMES]
    read = read_back(x12.write(claims, ENVELOPE))
    assert list(read) == [claim.control for claim in claims]
    for (draft, record, name), made in zip(drafts, claims, strict=True):
        total, diagnoses, lines = read[made.control]
        assert total == 0, name
        coded = [d["diagnosisCodeableConcept"]["coding"][0]["code"] for d in draft["diagnosis"]]
        assert diagnoses == [code.replace(".", "") for code in coded]
        assert [_said(draft, item, record.of("Practitioner")) for item in draft["item"]] == lines, name


def _said(draft: Json, item: Json, practitioners: list[Json]) -> ReadLine:
    (sequence,) = item["careTeamSequence"]
    reference = next(m["provider"]["reference"] for m in draft["careTeam"] if m["sequence"] == sequence)
    who = next(p for p in practitioners if f"Practitioner/{p['id']}" == reference)
    return ReadLine(
        code=item["productOrService"]["coding"][0]["code"],
        modifiers=[m["coding"][0]["code"] for m in item.get("modifier", [])],
        charge=Decimal(0),
        units=str(item["quantity"]["value"]),
        place=item["locationCodeableConcept"]["coding"][0]["code"],
        pointers=[str(n) for n in item["diagnosisSequence"]],
        day=item["servicedDate"].replace("-", ""),
        rendering=who["identifier"][0]["value"],
    )


def test_charges_are_the_fee_schedules() -> None:
    """A line costs its units, a claim the sum of its lines; what has no price costs 0 and is told."""
    claims = [professional("h2014-45-minutes"), professional("note-set-two-services")]
    codes = {line.code for claim in claims for line in claim.lines} - {"H2014"}
    prices = fees(("H2014", 2575))
    read = read_back(x12.write(claims, ENVELOPE, prices))
    for claim in claims:
        total, _, lines = read[claim.control]
        assert total == sum(line.charge for line in lines)
        expected = [Decimal(2575 * n.units) / 100 if n.code == "H2014" else 0 for n in claim.lines]
        assert [line.charge for line in lines] == expected
    told = x12.unpriced(claims, prices)
    assert len(told) == sum(line.code in codes for claim in claims for line in claim.lines)
    assert all("no price; add " in each for each in told)
    assert len(x12.unpriced(claims, None)) == sum(len(claim.lines) for claim in claims)


@pytest.mark.parametrize(
    ("cents", "written"), [(0, "0"), (5, "0.05"), (50, "0.5"), (100, "1"), (7725, "77.25"), (10000, "100")]
)
def test_amounts_have_no_needless_zeros(cents: int, written: str) -> None:
    """As X12 writes decimals."""
    line = replace(professional().lines[0], units=1)
    data = x12.write([professional(lines=(line,))], ENVELOPE, fees(("H2014", cents)) if cents else None)
    assert next(s[2] for s in segments_of(data) if s[0] == "CLM") == written


def test_a_client_on_anothers_policy_stands_beneath_the_subscriber() -> None:
    """The subscriber's level has a child, the patient's own, with name, address, birth and sex; pyx12 agrees."""
    claim = professional()
    claim = replace(claim, insured=replace(claim.insured, relationship="01", subscriber=SPOUSE))
    claim = replace(claim, patient=replace(claim.patient, died=date(2026, 3, 5)), prior_authorization="AUTH-77")
    data = x12.write([claim, professional("h0004-30-minutes")], ENVELOPE)
    assert x12.check(data) == []
    counted(data)
    levels = [s[1:] for s in segments_of(data) if s[0] == "HL"]
    assert levels == [["1", "", "20", "1"], ["2", "1", "22", "1"], ["3", "2", "23", "0"], ["4", "1", "22", "0"]]
    assert ["PAT", "01", "", "", "", "D8", "20260305"] in segments_of(data)
    assert ["REF", "G1", "AUTH-77"] in segments_of(data)


def test_claims_of_one_billing_provider_stand_together() -> None:
    """Two providers, three claims in turns: two billing levels; a person bills under their name; a supervisor is named."""
    one, two, three = (professional(name) for name in NAMES[:3])
    solo = replace(two.billing, name=PersonName(last="Whitfield", first="Dana"), npi="1999000023", tax_id_kind="SY")
    two = replace(two, billing=solo, supervising=three.lines[0].rendering)
    data = x12.write([one, two, three], ENVELOPE)
    assert x12.check(data) == []
    assert list(read_back(data)) == [one.control, three.control, two.control]
    assert [s[2:5] for s in segments_of(data) if s[0] == "NM1" and s[1] == "85"][1] == ["1", "WHITFIELD", "DANA"]


def test_who_bills_for_themselves_is_not_named_twice() -> None:
    """The rendering clinician is left out where they are the billing provider."""
    claim = professional()
    rendering = claim.lines[0].rendering
    claim = replace(claim, billing=replace(claim.billing, name=rendering.name, npi=rendering.npi))
    data = x12.write([claim], ENVELOPE)
    assert x12.check(data) == []
    assert not [s for s in segments_of(data) if s[:2] == ["NM1", "82"]]


def test_the_same_claims_give_the_same_bytes() -> None:
    """No clock and no chance."""
    assert x12.write([professional()], ENVELOPE) == x12.write([professional()], ENVELOPE)


def test_a_line_elsewhere_says_where() -> None:
    """The first line's place is the claim's; a line given in another place names its own."""
    line = professional().lines[0]
    claim = professional(lines=(line, replace(line, place="12", control="H2014.2")))
    data = x12.write([claim], ENVELOPE)
    assert x12.check(data) == []
    assert [each.place for each in read_back(data)[claim.control][2]] == ["53", "12"]


@pytest.mark.parametrize("npi", ["", "1999000023"])
def test_a_branch_is_named_between_who_gave_the_service_and_who_supervised(npi: str) -> None:
    """Loop 2310C: name, street and city of the place, its NPI if it has one; pyx12 agrees with its place."""
    address = Address(lines=("7 Quarry Road",), city="Dayton", state="OH", zip_code="454020007")
    facility = Facility(name="Quarry Road clinic", address=address, npi=npi)
    claim = professional()
    data = x12.write([replace(claim, facility=facility, supervising=claim.lines[0].rendering)], ENVELOPE)
    assert x12.check(data) == []
    found = segments_of(data)
    at = next(n for n, s in enumerate(found) if s[:2] == ["NM1", "77"])
    assert found[at][3:] == ["QUARRY ROAD CLINIC", *(["", "", "", "", "XX", npi] if npi else [])]
    assert [s[0] for s in found[at : at + 3]] == ["NM1", "N3", "N4"]
    assert [s[1] for s in found if s[0] == "NM1"][-3:] == ["82", "77", "DQ"]


def test_several_days_are_a_range() -> None:
    """A line over more than one day says from when through when."""
    line = replace(professional().lines[0], day=date(2026, 3, 2), through=date(2026, 3, 4))
    data = x12.write([professional(lines=(line,))], ENVELOPE)
    assert x12.check(data) == []
    assert ["DTP", "472", "RD8", "20260302-20260304"] in segments_of(data)


# --- the check can fail ---


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (b"*MI*ESM70013711", b"**ESM70013711", "NM108 is missing"),
        (b"DTP*472*D8*20260302~", b"", "DTP is missing"),
        (b"HI*ABK:F209~", b"", "HI is missing"),
        (b"*19880714*", b"*19881714*", "DMG02 is no date"),
        (b"*UN*3*", b"*XX*3*", "SV103 is a code that is not allowed"),
        (b"SE*27*", b"SE*26*", "transaction: error 4"),
        (b"~HL*2*1*22*0", b"~XYZ*1~HL*2*1*22*0", "XYZ"),
        (b"005010X222A1~ST", b"005010X222A9~ST", "cannot follow it"),
        (b"ISA*00", b"ISB*00", "does not say where"),
        (b"OSTRAVA", b"OSTR\xc3\x84A", "not ASCII"),
    ],
)
def test_a_broken_file_is_refused(
    right: bytes, wrong: bytes, said: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """pyx12 sees each fault; what it says of it shows no value, here, in the log or on the screen."""
    data = x12.write([professional()], ENVELOPE)
    assert right in data
    with caplog.at_level(logging.DEBUG):
        told = x12.check(data.replace(right, wrong, 1))
    assert any(said in each for each in told), told
    shown = " ".join([*told, caplog.text, *capfd.readouterr()])
    assert not [word for word in ("ESM70013711", "OSTRAVA", "1988", "XX") if word in shown]


def test_without_the_extra_the_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pyx12, no check: never a file that merely looks checked."""
    monkeypatch.setitem(sys.modules, "pyx12.x12n_document", None)
    with pytest.raises(SettingsError, match=r"claimwright\[release\]"):
        x12.check(b"")


# --- hostile data ---


def _with_text(text: str) -> ProfessionalClaim:
    """A claim whose every name and address is that text, behind a letter so that something remains of it."""
    claim, hostile = professional(), f"A{text}"
    name = PersonName(last=hostile, first=hostile, middle=hostile, suffix=hostile)
    address = Address(lines=(hostile, text), city=f"A{hostile}", state="OH", zip_code="455011234")
    line = replace(claim.lines[0], rendering=replace(claim.lines[0].rendering, name=name))
    return replace(
        claim,
        billing=replace(claim.billing, name=hostile, address=address),
        patient=replace(claim.patient, name=name, address=address),
        insured=replace(
            claim.insured,
            subscriber=name,
            relationship="01",
            group=text,
            payer=replace(claim.insured.payer, name=hostile),
        ),
        lines=(line,),
    )


def _shape(data: bytes) -> list[str]:
    return [s[0] for s in segments_of(data)]


HOSTILE = "Ostrava~CLM*EVIL*9999***11:B:1*Y*A*Y*Y~\r\nSV1*HC:90837*9999*UN*9***1^:\x1e\x1d"


def test_a_hostile_name_adds_no_segment() -> None:
    """Delimiters and line breaks in every name and address: the same segments as with a harmless name, and pyx12 agrees."""
    data = x12.write([_with_text(HOSTILE)], ENVELOPE)
    assert _shape(data) == _shape(x12.write([_with_text("bel")], ENVELOPE))
    assert x12.check(data) == []
    assert list(read_back(data)) == [professional().control]
    counted(data)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=90))
def test_no_text_changes_the_files_shape(text: str) -> None:
    """Whatever a name is made of: the same segments, the same lines, only characters of the basic set, lengths kept."""
    data, harmless = x12.write([_with_text(text)], ENVELOPE), x12.write([_with_text("bel")], ENVELOPE)
    assert _shape(data) == _shape(harmless)
    assert read_back(data) == read_back(harmless)
    for s in segments_of(data):
        longest = {"NM1": (60, 35, 25, 0, 10), "N3": (55, 55)}.get(s[0], ())
        first = 3 if s[0] == "NM1" else 1
        assert all(len(value) <= most for value, most in zip(s[first:], longest, strict=False))


@settings(max_examples=5, deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=0x17F), max_size=90), min_size=10, max_size=10))
def test_pyx12_accepts_whatever_names(texts: list[str]) -> None:
    """The same by pyx12, for fewer names."""
    claims = [replace(_with_text(text), control=f"CW{n}") for n, text in enumerate(texts)]
    assert x12.check(x12.write(claims, ENVELOPE)) == []


def test_a_number_with_a_delimiter_is_refused_and_not_shown() -> None:
    """Numbers are never respelt: a member id that no file can carry stops the file."""
    claim = professional()
    for broken in (
        replace(claim, insured=replace(claim.insured, member_id="EVIL~SV1")),
        replace(claim, prior_authorization="EVIL*1"),
        replace(claim, diagnoses=("EVIL:F209",)),
        replace(claim, lines=(replace(claim.lines[0], code="EVIL^1"),)),
    ):
        with pytest.raises(x12.UnwritableFile, match="cannot carry") as refused:
            x12.write([broken], ENVELOPE)
        assert "EVIL" not in str(refused.value)
        assert claim.claim_reference in str(refused.value)


def test_everything_that_cannot_be_written_is_named_at_once() -> None:
    """Lengths of numbers are reported, never cut; a claim goes out once; control numbers have nine digits at most."""
    claim = professional()
    bad = replace(
        claim,
        control="X" * 21,
        insured=replace(claim.insured, member_id="9", payer=replace(claim.insured.payer, name="王", id="")),
    )
    with pytest.raises(x12.UnwritableFile) as refused:
        x12.write([bad, bad], replace(ENVELOPE, interchange=10**9))
    said = " ".join(refused.value.reasons)
    for each in ("given twice", "control numbers", "patient control number", "member id", "payer: id", "payer: name"):
        assert each in said
    with pytest.raises(x12.UnwritableFile, match="1 to 5000 claims"):
        x12.write([], ENVELOPE)


# --- the table ---


def _rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"))))


def test_the_table_has_one_row_a_line() -> None:
    """The same lines as the file, with a charge where there is a price and a blank where there is none."""
    claims = [professional("note-set-two-services"), professional()]
    rows = _rows(table.write(claims, fees(("H2014", 2575))))
    lines = [line for claim in claims for line in claim.lines]
    assert [row["code"] for row in rows] == [line.code for line in lines]
    assert [row["units"] for row in rows] == [str(line.units) for line in lines]
    assert rows[-1]["charge"] == "77.25"
    assert {row["charge"] for row in _rows(table.write(claims))} == {""}
    assert list(rows[0]) == list(table.COLUMNS)


@pytest.mark.parametrize(
    "text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\ufeff=1", "＝1", "|calc", "'=1", "\n@x"]
)
def test_a_formula_is_text(text: str) -> None:
    """A name that a spreadsheet would compute has an apostrophe before it, and a row stays a row."""
    claim = professional()
    name = replace(claim.patient.name, last=text)
    data = table.write([replace(claim, patient=replace(claim.patient, name=name))])
    (row,) = _rows(data)
    assert row["client_last"].startswith("'")
    assert data.count(b"\n") == 2


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_no_cell_begins_a_formula(text: str) -> None:
    """Whatever a cell holds."""
    made = table.inert(text)
    assert not made.lstrip().startswith(("=", "+", "-", "@", "\t", "\r"))
    assert "\n" not in made


def test_names_keep_their_spelling_in_the_table() -> None:
    """A table is UTF-8: accents stay."""
    claim = professional()
    name = replace(claim.patient.name, last="Żółw")
    (row,) = _rows(table.write([replace(claim, patient=replace(claim.patient, name=name))]))
    assert row["client_last"] == "Żółw"


# --- settings ---


def test_a_file_is_a_test_until_somebody_says_otherwise() -> None:
    """Nothing pays by default; without settings nothing is released at all."""
    assert ReleaseSettings.model_fields["usage"].default is Usage.TEST
    assert Settings().release is None
    assert b"*T*:~" in x12.write([professional()], replace(ENVELOPE, usage="T"))


def test_wrong_release_settings_are_named_without_values() -> None:
    """A tax id of eight digits: the setting is named, the number is not."""
    given_ = RELEASE.model_dump(exclude={"billing_tax_id"}) | {"billing_tax_id": "12-345678"}
    with pytest.raises(SettingsError, match=r"release\.billing_tax_id") as refused:
        load(release=given_)
    assert "345678" not in str(refused.value)
    assert "123456789" not in repr(RELEASE)
    assert "12-3456789" not in repr(RELEASE)


def test_settings_become_what_the_mapping_needs() -> None:
    """Hyphens are the writer's habit, not the file's."""
    options = ReleaseSettings.model_validate(RELEASE.model_dump()).billing()
    assert (options.zip_code, options.filing_indicators["MEDICARE-B"]) == ("455011234", "MB")
    claim, record = drafted()
    assert to_professional(claim, record, options).billing.tax_id == "123456789"
