"""Whether a code may stand at all: its table and dates, the payer, the clinician, and what the note says was done."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from guardrails import code_validity
from guardrails.code_validity import Resolved
from guardrails.codebook import CPT_SYSTEM, HCPCS_SYSTEM, Code, Codebook, UnitRule, Work
from guardrails.policies import CodePolicy, Counted, Policy
from guardrails.verdict import Finding, Fix, Proposal
from guardrails.visit import Clinician, Coverage
from tests.conftest import DAY, PSYCHIATRIST, a_note, a_reading, a_visit, said_of, skills, without_cpt


def a_code(book: Codebook, name: str = "H2014", **more: Any) -> Code:
    code = book.find(name, DAY)
    assert code
    return replace(code, **more)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {}),
        ({"counted": Counted.EVENT}, {"unit_rule": UnitRule.EVENT, "step_minutes": None}),
        ({"counted": Counted.PER_DIEM}, {"unit_rule": UnitRule.PER_DIEM, "step_minutes": None}),
        ({"counted": Counted.FLOOR30}, {"unit_rule": UnitRule.FLOOR, "step_minutes": 30}),
        ({"counted": Counted.FLOOR60}, {"unit_rule": UnitRule.FLOOR, "step_minutes": 60}),
        ({"counted": Counted.MID15}, {"unit_rule": UnitRule.PAYER15, "step_minutes": 15}),
        (
            {"counted": Counted.EVENT, "from_minutes": 20},
            {"unit_rule": UnitRule.EVENT, "step_minutes": None, "from_minute": 20},
        ),
    ],
)
def test_a_payer_counts_a_code_in_its_own_way(
    said: dict[str, Any], expected: dict[str, Any], book: Codebook, whole_unit: Policy
) -> None:
    """Then neither the code's own bounds nor its ladder hold."""
    own: dict[str, Any] = {
        "unit_rule": UnitRule.SESSION,
        "step_minutes": 7,
        "from_minute": 16,
        "to_minute": 37,
        "ladder": "a ladder",
    }
    code = a_code(book, **own)
    cleared = {"from_minute": None, "to_minute": None, "ladder": None} if said else {}
    policy = whole_unit.model_copy(update={"codes": {"H2014": CodePolicy(**said)}})
    assert code_validity.as_paid(code, policy) == replace(code, **cleared | expected)


def test_a_payer_means_another_service_by_a_code(book: Codebook, whole_unit: Policy) -> None:
    """Its least minutes and its service are those of the code; all else stays."""
    policy = whole_unit.model_copy(update={"codes": {"H2014": CodePolicy(service="nursing", from_minutes=8)}})
    code = a_code(book)
    assert code_validity.as_paid(code, policy) == replace(code, service="nursing", from_minute=8)


@pytest.mark.parametrize(
    ("asked", "day", "rule"),
    [
        ("H2099", 0, "CODE-020"),
        ("H2099", -1, "CODE-021"),
        ("H2099", 1, "CODE-020"),
        ("H2099", 2, "CODE-021"),
    ],
)
def test_an_unknown_code_inside_and_outside_its_tables_window(
    asked: str, day: int, rule: str, book: Codebook, whole_unit: Policy
) -> None:
    """Refused from the first day that the table covers to the last, held before and after."""
    table = replace(book.tables["hcpcs"], covers_from=DAY, covers_through=DAY + timedelta(days=1))
    mine = replace(book, tables={**book.tables, "hcpcs": table})
    found = code_validity.resolve(Proposal(asked), DAY + timedelta(days=day), mine, whole_unit)
    authority = {"CODE-020": "domain 2.1, X-E03", "CODE-021": "domain 2.1; design: Tables"}[rule]
    title = "table hcpcs through 2026-03-03"
    assert found == Resolved(None, (said_of(rule, code=asked, authority=f"{authority}; {title}"),))


def test_a_code_whose_table_is_not_loaded(
    book: Codebook, whole_unit: Policy, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nobody can say what it is."""
    bare = without_cpt(tmp_path_factory.mktemp("bare"))
    found = code_validity.resolve(Proposal("90834"), DAY, bare, whole_unit)
    assert found == Resolved(None, (said_of("CODE-022", code="90834"),))


def test_a_code_that_is_not_in_force(book: Codebook, whole_unit: Policy) -> None:
    """With the table that says so, where there is one."""
    ended = replace(a_code(book), in_force_through=DAY - timedelta(days=1))
    mine = replace(book, codes={**book.codes, "H2014": (ended,)})
    authority = "domain 0.3 (1), X-E04 to X-E07"
    for tables, title in ((book.tables, f"; {book.tables['hcpcs'].title}"), ({}, "")):
        found = code_validity.resolve(Proposal("H2014"), DAY, replace(mine, tables=tables), whole_unit)
        assert found == Resolved(None, (said_of("CODE-030", code="H2014", authority=authority + title),))


@pytest.mark.parametrize(
    ("system", "same"),
    [
        (None, True),
        (HCPCS_SYSTEM, True),
        (f" {HCPCS_SYSTEM.replace('Coding', 'coding')}/ ", True),
        (HCPCS_SYSTEM.replace("http://", "https://"), True),
        (HCPCS_SYSTEM.removeprefix("http://"), True),
        (HCPCS_SYSTEM.upper(), True),
        (f"{HCPCS_SYSTEM}X", False),
        (f"/{HCPCS_SYSTEM}", False),
        (CPT_SYSTEM, False),
        ("", False),
    ],
)
def test_the_code_system_of_a_proposal(system: str | None, same: bool, book: Codebook, whole_unit: Policy) -> None:
    """Written in any of its ways; under another the code keeps its meaning and is refused."""
    found = code_validity.resolve(Proposal("H2014", system=system), DAY, book, whole_unit)
    assert found == Resolved(a_code(book), () if same else (said_of("CODE-040", code="H2014"),))


@pytest.mark.parametrize(
    ("kind", "medicare", "covered", "further", "rule"),
    [
        ("medicaid", False, True, False, None),
        ("medicare", True, True, False, None),
        ("medicare", False, True, False, "CODE-050"),
        ("medicare", False, True, True, "CODE-051"),
        ("medicaid", True, False, False, "CODE-050"),
        ("medicaid", True, False, True, "CODE-051"),
    ],
)
def test_whether_the_payer_takes_a_code(
    kind: str, medicare: bool, covered: bool, further: bool, rule: str | None, book: Codebook, whole_unit: Policy
) -> None:
    """By its policy, and Medicare by its own indicator; where another pays next, a person decides."""
    own = {"H2014": CodePolicy(covered=covered)}
    policy = whole_unit.model_copy(update={"kind": kind, "codes": own})
    visit = skills(further_coverages=(Coverage(id="c2"),) if further else ())
    found = code_validity.payer_takes(a_code(book, medicare=medicare), policy, visit)
    assert found == ((said_of(rule, code="H2014"),) if rule else ())


@pytest.mark.parametrize(
    ("level", "code", "stated", "rule"),
    [
        ("BA", {"levels": frozenset({"BA"})}, None, None),
        ("BA", {"levels": frozenset()}, None, None),
        ("BA", {"levels": frozenset({"ORG"})}, None, None),
        ("BA", {"levels": frozenset({"LP"})}, None, "CODE-061"),
        ("MD", {"levels": frozenset({"QHP"})}, None, None),
        ("MD", {"levels": frozenset({"LP"})}, None, "CODE-061"),
        ("LP", {"levels": frozenset({"QHP"})}, None, "CODE-061"),
        ("LP", {"levels": frozenset({"BA"})}, None, None),
        ("LP", {"levels": frozenset({"PP"})}, None, None),
        ("LP", {"levels": frozenset({"BA"}), "who": "non-physician"}, None, "CODE-061"),
        ("LPN", {"levels": frozenset({"BA"})}, None, "CODE-061"),
        ("PEER", {"levels": frozenset({"BA"})}, None, "CODE-061"),
        ("PP", {"levels": frozenset({"BA"})}, None, "CODE-061"),
        ("BA", {"levels": frozenset({"LP"}), "service": "psychotherapy"}, None, "CODE-062"),
        ("SUD", {"levels": frozenset({"LP"}), "service": "psychotherapy"}, None, "CODE-061"),
        ("BA", {"levels": frozenset({"LP"}), "service": None}, None, "CODE-061"),
        ("BA", {"levels": frozenset({"BA"})}, {"LP"}, "CODE-062"),
        ("BA", {"levels": frozenset({"LP"})}, {"BA"}, None),
        ("BA", {"levels": frozenset({"LP"})}, set(), None),
        ("MD", {"levels": frozenset({"BA"}), "who": "non-physician", "physician": True}, None, "CODE-060"),
        ("MD", {"levels": frozenset({"MD"}), "physician": True}, None, None),
        ("MD", {"levels": frozenset({"MD"}), "who": "named-profession", "physician": True}, None, None),
        (None, {"levels": frozenset({"BA"})}, None, "CODE-063"),
    ],
)
def test_whether_a_clinician_may_bill_a_code(
    level: str | None,
    code: dict[str, Any],
    stated: set[str] | None,
    rule: str | None,
    book: Codebook,
    whole_unit: Policy,
) -> None:
    """By the code's levels or the payer's; a higher level may where the code is open to helpers."""
    meaning = {"service": "a service", **code}
    physician = meaning.pop("physician", False)
    own = CodePolicy(levels=frozenset(stated) if stated is not None else None)
    policy = whole_unit.model_copy(update={"codes": {"H2014": own}})
    clinician = Clinician(id="me", level=level, physician=physician)
    expected = (said_of(rule, code="H2014"),) if rule else ()
    for rendering, before in ((clinician, ()), (None, ()), (PSYCHIATRIST, (said_of("CODE-065"),))):
        visit = skills(rendering=rendering)
        assert code_validity.eligible(a_code(book, **meaning), clinician, visit, policy) == (*before, *expected)


def test_without_a_clinician_nobody_may_bill(book: Codebook, whole_unit: Policy) -> None:
    """The record must say who it was."""
    assert code_validity.eligible(a_code(book), None, skills(), whole_unit) == (said_of("CODE-064"),)


WORKS = {
    "one": Work(documented_as=frozenset({"one", "uno"}), named_beside=frozenset({"beside"})),
    "claimer": Work(documented_as=frozenset({"claimer"}), named_beside=frozenset({"one"})),
    "part": Work(documented_as=frozenset({"part"}), within=True),
}


def other(*starts: int) -> list[Finding]:
    return [said_of("CODE-070", *starts, code="H2014")]


def unnamed(*starts: int) -> list[Finding]:
    return [said_of("CODE-071", *starts, code="H2014")]


def several(*starts: int) -> list[Finding]:
    return [said_of("CODE-073", *starts)]


@pytest.mark.parametrize(
    ("service", "notes", "expected"),
    [
        (None, [{}], []),
        ("part", [{}], []),
        ("one", [{}], unnamed()),
        ("one", [{"mentioned_services": {"one": 3}}], []),
        ("one", [{"mentioned_services": {"uno": 3}}], []),
        ("one", [{"mentioned_services": {"two": 3}}], unnamed(3)),
        ("one", [{"mentioned_services": {"two": 3, "three": 5}}], unnamed(3)),
        ("one", [{"mentioned_services": {"one": 3, "two": 5}}], several(5)),
        ("one", [{"mentioned_services": {"one": 3, "two": 5, "three": 7}}], several(7, 5)),
        ("one", [{"mentioned_services": {"one": 3}}, {"mentioned_services": {"two": 5}}], several(5)),
        ("one", [{"mentioned_services": {"two": 3}}, {"mentioned_services": {"two": 5, "one": 6}}], several(3)),
        ("one", [{"mentioned_services": {"one": 3, "beside": 5}}], []),
        ("one", [{"mentioned_services": {"one": 3, "part": 5}}], []),
        ("one", [{"mentioned_services": {"one": 3, "uno": 5}}], []),
        ("one", [{"declared_services": {"one": 3}}], []),
        ("one", [{"declared_services": {"uno": 3}}], []),
        ("one", [{"declared_services": {"one": 3, "two": 5}}], []),
        ("one", [{"declared_services": {"two": 3}}], other(3)),
        ("one", [{"declared_services": {"two": 3, "three": 5}}], other(5)),
        ("one", [{"declared_services": {"part": 3}}], other()),
        ("one", [{"declared_services": {"two": 3, "part": 5}}], other(3)),
        ("one", [{"declared_services": {"two": 3}, "mentioned_services": {"one": 5}}], other(3)),
        ("one", [{"declared_services": {"two": 3}, "named_services": {"one": 5}}], several(3)),
        ("one", [{"declared_services": {"two": 3}, "named_services": {"three": 5}}], other(3)),
        ("one", [{"declared_services": {"two": 3}}, {"named_services": {"uno": 5}}], several(3)),
        ("one", [{"declared_services": {"one": 3, "claimer": 5}}], other(5)),
        ("one", [{"declared_services": {"claimer": 5}, "named_services": {"one": 7}}], other(5)),
        ("one", [{"declared_services": {"one": 3}, "mentioned_services": {"two": 5}}], []),
        ("one", [{"group": 3, "declared_services": {"one": 5}}], []),
        ("assessment", [{"group": 3, "declared_services": {"assessment": 5}}], several(3)),
        ("assessment", [{"group": 3}, {"group": 4, "declared_services": {"assessment": 5}}], several(3)),
        ("assessment", [{"group": 3, "individual": 9, "declared_services": {"assessment": 5}}], []),
        ("assessment", [{"group": 3, "declared_services": {"two": 5}}], other(5)),
        (
            "assessment",
            [{"group": 3, "declared_services": {"two": 5}, "named_services": {"assessment": 6}}],
            several(3),
        ),
        ("case_management", [{"transport": 3, "declared_services": {"case_management": 5}}], other(3)),
        (
            "case_management",
            [{"transport": 3}, {"transport": 4, "declared_services": {"case_management": 5}}],
            other(3),
        ),
        (
            "targeted_case_management",
            [{"transport": 3, "declared_services": {"targeted_case_management": 5}}],
            other(3),
        ),
        (
            "case_management",
            [{"transport": 3, "declared_services": {"case_management": 5}}, {"elements": {"M01": 4}}],
            [],
        ),
        ("one", [{"transport": 3, "declared_services": {"one": 5}}], []),
        ("plan_development", [{"mentioned_services": {"plan_development": 3}}], []),
        ("plan_development", [{"mentioned_services": {"plan_development": 3, "two": 5}}], other(5)),
        ("plan_development", [{"mentioned_services": {"plan_development": 3, "two": 5, "three": 7}}], other(5)),
        *(
            (
                "plan_development",
                [{"mentioned_services": {"plan_development": 3, "two": 5}, "elements": {e: 7}}],
                several(5),
            )
            for e in ("P02", "P03", "P04")
        ),
        (
            "plan_development",
            [{"mentioned_services": {"plan_development": 3, "two": 5}, "elements": {"P01": 7}}],
            other(5),
        ),
    ],
)
def test_which_service_a_note_documents(
    service: str | None, notes: list[dict[str, Any]], expected: list[Finding], book: Codebook
) -> None:
    """A title decides, else what is given; another in its place, beside it or in its stead, each with its place."""
    works = {**WORKS, "plan_development": Work(documented_as=frozenset({"plan_development"}))}
    for name in ("assessment", "case_management", "targeted_case_management"):
        works[name] = Work(documented_as=frozenset({name}))
    code, mine = a_code(book, service=service), replace(book, works=works)
    found = code_validity.documented_service(code, [a_reading(**note) for note in notes], mine)
    assert list(found) == expected


@pytest.mark.cpt
@pytest.mark.parametrize(
    ("code", "stated", "expected"),
    [
        ("99214", ["moderate"], ((), None)),
        ("99214", ["high"], ((), None)),
        ("99214", ["low"], ((said_of("CODE-078", 0, code="99214"),), Fix(code="99213", units=1))),
        ("99215", ["straightforward"], ((said_of("CODE-078", 0, code="99215"),), Fix(code="99212", units=1))),
        ("99204", ["low"], ((said_of("CODE-078", 0, code="99204"),), Fix(code="99203", units=1))),
        ("99214", [], ((said_of("CODE-077"),), None)),
        ("99214", ["low", "moderate"], ((said_of("CODE-077", 0, 1),), None)),
        ("99214", ["moderate", "moderate"], ((), None)),
        ("H2014", [], ((), None)),
    ],
)
def test_the_level_of_an_office_visit(code: str, stated: list[str], expected: object, book: Codebook) -> None:
    """One level stated, and no lower than the code's; the lower one is the fix."""
    readings = [a_reading(decision_making=(word, (n, n + 1))) for n, word in enumerate(stated)]
    assert code_validity.visit_level(a_code(book, code), [a_reading(), *readings], book, DAY) == expected


@pytest.mark.cpt
def test_a_visit_elsewhere_has_rules_that_are_not_loaded(book: Codebook) -> None:
    """A person decides; so where the ladder has no rung for the level that is stated, or none in force."""
    elsewhere = a_code(book, "99214", ladder=None)
    assert code_validity.visit_level(elsewhere, [], book, DAY) == ((said_of("CODE-080", code="99214"),), None)
    strange = a_code(book, "99214", ladder="no ladder")
    low = [a_reading(decision_making=("low", (3, 4)))]
    expected = ((said_of("CODE-078", 3, code="99214"),), None)
    assert code_validity.visit_level(strange, low, book, DAY) == expected
    not_yet = replace(a_code(book, "99213"), in_force_from=DAY + timedelta(days=1))
    mine = replace(book, codes={**book.codes, "99213": (not_yet,)})
    expected = ((said_of("CODE-078", 3, code="99214"),), None)
    assert code_validity.visit_level(a_code(book, "99214"), low, mine, DAY) == expected
    unnumbered = a_code(book, "99214", rung=None)
    assert code_validity.visit_level(unnumbered, low, book, DAY) == ((), None)


@pytest.mark.parametrize(
    ("service", "marks", "texts", "expected"),
    [
        (None, "HQ", ["Group size: 1"], [said_of("CODE-074", 0, code="H2014")]),
        (None, "HN", ["Group size: 1"], []),
        ("group_psychotherapy", "", ["Group size: 1"], [said_of("CODE-074", 0, code="H2014")]),
        ("substance_use_group", "", ["Group size: 1"], [said_of("CODE-074", 0, code="H2014")]),
        ("skills_training", "", ["Group size: 1"], []),
        (None, "HQ", ["Group size: 12"], []),
        (None, "HQ", ["Group size: 13"], [said_of("CODE-075", 0, limit=12)]),
        (None, "HQ", ["Group size: 113"], []),
        (None, "HQ", ["Group size: 1 of 13"], []),
        (None, "HQ", ["Group size: 2", "Group size: 13"], [said_of("CODE-075", 0, limit=12)]),
        (None, "HQ", ["Group size: some"], []),
        (None, "HQ", [], []),
    ],
)
def test_the_size_of_a_group(
    service: str | None, marks: str, texts: list[str], expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Two clients or more, and no more than the payer takes; two numbers say nothing."""
    notes = [a_note(text, note_id=f"note-{n}") for n, text in enumerate(texts, 1)]
    readings = [a_reading(note.id, elements={"G01": (0, len(note.text))}) for note in notes]
    code = a_code(book, service=service)
    found = code_validity.group_size(code, marks.split(), [a_reading(), *readings], a_visit(*notes), whole_unit)
    assert [(f.rule_id, f.effect, f.message) for f in found] == [(f.rule_id, f.effect, f.message) for f in expected]
    assert all(f.where in [(r.at((0, len(n.text))),) for r, n in zip(readings, notes, strict=True)] for f in found)


@pytest.mark.parametrize(
    ("service", "family", "notes", "expected"),
    [
        ("skills_training", False, [{"client_absent": 3}], [said_of("CODE-072", 3, code="H2014")]),
        (
            "skills_training",
            False,
            [{"client_absent": 3}, {"client_absent": 5}],
            [said_of("CODE-072", 3, 5, code="H2014")],
        ),
        ("skills_training", False, [{}], []),
        ("case_management", False, [{"client_absent": 3}], []),
        (None, False, [{"client_absent": 3}], []),
        ("skills_training", True, [{"client_absent": 3}, {"elements": {"S09": 5}}], []),
        ("skills_training", True, [{"client_absent": 3}], [said_of("CODE-072", 3, code="H2014")]),
        (
            "skills_training",
            False,
            [{"client_absent": 3, "elements": {"S09": 5}}],
            [said_of("CODE-072", 3, code="H2014")],
        ),
    ],
)
def test_a_service_that_needs_the_client(
    service: str | None,
    family: bool,
    notes: list[dict[str, Any]],
    expected: list[Finding],
    book: Codebook,
    whole_unit: Policy,
) -> None:
    """Absent, it is refused, unless the payer takes the family in his place and the note shows it taught."""
    policy = whole_unit.model_copy(update={"codes": {"H2014": CodePolicy(family_without_client=family)}})
    readings = [a_reading(**note) for note in notes]
    found = code_validity.client_present(a_code(book, service=service), book, readings, policy)
    assert list(found) == expected
