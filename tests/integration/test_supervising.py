"""The supervisor's page over HTTP: who may see it, what it says, and its tables as files."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import httpx
import pytest

from plugin.review import figures
from plugin.review.figures import Share
from plugin.review.states import State
from plugin.settings import Settings
from plugin.store.people import Role
from plugin.web import supervisor
from plugin.web.house import House
from sandbox.ehr import Ehr
from tests.databases import postgresql
from tests.integration.test_reviewing import accepted, act, state_of
from tests.unit.test_figures import LAST, NOW, lived
from tests.visitors import Visitor, hidden

VISIT, NAME = "h2014-45-minutes", "Wendell Ostrava"


def visitor_as(house: House, ehr: Ehr, person: str, *roles: Role) -> tuple[Visitor, httpx.Response]:
    """Somebody who launched the visit and then was given these roles."""
    visitor = Visitor(house)
    page = visitor.launch(ehr, VISIT, person)
    session = house.people.session(visitor.cookies["claimwright"], house.settings.web)
    assert session is not None
    house.people.set_roles(session.account.id, roles)
    return visitor, page


def file_of(answer: httpx.Response) -> list[list[str]]:
    """The rows of a CSV file."""
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    return list(csv.reader(io.StringIO(answer.text, newline="")))


@pytest.mark.parametrize("role", [Role.CODER, Role.CLINICIAN])
def test_others_do_not_see_the_figures(ehr: Ehr, house: House, role: Role) -> None:
    """Neither the page nor a file, whatever else they may; nobody without signing in; no link on their way in."""
    visitor, _ = visitor_as(house, ehr, "prac-peer", role)
    for path in ("/supervisor", "/supervisor/by-clinician.csv"):
        refused = visitor.get(path)
        assert refused.status_code == 403
        assert "H2014" not in refused.text
        assert Visitor(house).get(path).headers["location"] == "/sign-in"
    assert "/supervisor" not in visitor.get("/").text


@pytest.mark.parametrize("role", [Role.SUPERVISOR, Role.ADMIN])
def test_a_supervisor_sees_what_became_of_a_visit(ehr: Ehr, house: House, role: Role) -> None:
    """Accepted over HTTP, it is in the shares by code with its count and its interval; no word of the note, no client."""
    clinician = Visitor(house)
    launched = clinician.launch(ehr, VISIT)
    if "/accept" in launched.text:
        assert clinician.post(f"{launched.url}/accept", hidden(launched, "accept", "p0")).status_code == 303
    visitor, _ = visitor_as(house, ehr, "prac-peer", role)
    assert 'href="/supervisor"' in visitor.get("/").text
    page = visitor.get("/supervisor")
    assert page.status_code == 200
    assert re.search(r"H2014\s*</th><td>\s*100 % <span[^>]*>1 of 1; 21 to 100 %", page.text)
    assert "sandbox/prac-bachelor" in page.text
    for secret in (NAME, "budgeting", "style=", "<script>"):
        assert secret not in page.text
    head, *rows = file_of(visitor.get("/supervisor/by-code.csv"))
    assert head[:3] == ["code", "accepted as proposed", "accepted as proposed of"]
    (line,) = [row for row in rows if row[0] == "H2014"]
    assert line[1:6] == ["1", "1", "1.0000", "0.2065", "1.0000"]


def test_every_table_is_a_file(ehr: Ehr, house: House) -> None:
    """As wide as its head all the way down; another name is no table."""
    visitor, _ = visitor_as(house, ehr, "prac-peer", Role.SUPERVISOR)
    for name in supervisor.BUILDERS:
        head, *rows = file_of(visitor.get(f"/supervisor/{name}.csv"))
        assert all(len(row) == len(head) for row in rows)
    assert visitor.get("/supervisor/passwords.csv").status_code == 404


def test_the_window_is_asked_for_by_its_days(ehr: Ehr, house: House) -> None:
    """A window before anything happened is empty; what is no day is said and left out; none is longer than a year."""
    visitor, _ = visitor_as(house, ehr, "prac-peer", Role.SUPERVISOR)
    before = visitor.get("/supervisor?from=2020-01-01&to=2020-01-31")
    assert "Figures from 2020-01-01 to 2020-01-31" in before.text
    assert "H2014" not in before.text
    assert len(file_of(visitor.get("/supervisor/throughput.csv?from=2020-01-01&to=2020-01-31"))) == 32
    for query, said in (("from=soon", "is written as"), ("from=2001-01-01&to=2020-01-31", "were cut")):
        answer = visitor.get(f"/supervisor?{query}")
        assert answer.status_code == 200
        assert said in answer.text
    for query in ("from=0001-01-01&to=0001-01-01", "from=9999-12-31&to=9999-12-31", "from=9999-12-31"):
        assert visitor.get(f"/supervisor?{query}").status_code == 200


def test_a_second_look_that_disagrees_takes_the_approval_back_and_is_shown(
    ehr: Ehr, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Picked at the approval, it waits for the other coder alone; their word brings it back into review and into the figures."""
    review = house.settings.review.model_copy(update={"second_review_share": 1.0})
    monkeypatch.setattr(house, "settings", house.settings.model_copy(update={"review": review}))
    ines, bo = Visitor(house), Visitor(house)
    ines.sign_in(house, ehr, "staff-ines", Role.CODER)
    bo.sign_in(house, ehr, "staff-bo", Role.CODER)
    draft_id = accepted(ehr, house, "h2017-rehabilitation", "prac-tech")
    assert act(ines, draft_id, "approve").status_code == 303
    assert "waits for a second look" not in ines.get("/queue").text
    assert "waits for a second look" in bo.get("/queue").text
    assert draft_id in bo.get("/queue?second=yes").text
    assert act(bo, draft_id, "disagree").status_code == 303
    assert state_of(house, draft_id) is State.IN_REVIEW
    supervisor_, _ = visitor_as(house, ehr, "prac-peer", Role.SUPERVISOR)
    _, row = file_of(supervisor_.get("/supervisor/second-looks.csv"))
    assert row == ["0", "1", "0.0000", "0.0000", "0.7935", "0"]


def test_no_cell_of_a_file_is_a_formula() -> None:
    """A payer named like one gets an apostrophe; a share has its five columns also where another row has none."""
    rows = [("=1+1", Share(1, 2)), ("@payer", Share(0, 0))]
    made = supervisor.Table("by-payer", "", "", ("payer", "accepted"), rows)
    parsed = list(csv.reader(io.StringIO(supervisor.as_csv(made).decode(), newline="")))
    assert parsed[1][:4] == ["'=1+1", "1", "2", "0.5000"]
    assert parsed[2] == ["'@payer", "0", "0", "", "0.0000", "1.0000"]


def test_a_long_table_shows_the_rows_with_most_behind_them(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their names, and says how many are left to the file."""
    many = [figures.Rates(f"c{n:03}", Share(0, n), Share(0, n), Share(0, n), Share(0, 0)) for n in range(60)]
    monkeypatch.setattr(figures, "rates", lambda *_: dict.fromkeys(figures.By, many))
    shown = supervisor.Sheet(house, LAST).shown("by-clinician")
    assert [row[0] for row in shown.rows] == [f"c{n:03}" for n in range(10, 60)]
    assert shown.left_out == 10


def test_the_figures_are_the_same_on_postgresql(tmp_path: Path) -> None:
    """Two stores with the same lives, one on each database: each figure is equal."""
    lite = lived(Settings(data_dir=tmp_path / "lite"))
    other = lived(Settings(data_dir=tmp_path / "other", database_url=postgresql()))
    for figure in (figures.throughput, figures.turnaround, figures.rates, figures.findings, figures.agreement):
        assert figure(lite, LAST) == figure(other, LAST)
    assert figures.ageing(lite, NOW) == figures.ageing(other, NOW)
    assert sum(d.proved for d in figures.throughput(other, LAST)) > 0
    lite.close()
    other.close()
