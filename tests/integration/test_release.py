"""How approved drafts go out: each once, as it was approved, with what stays and why; and its file again as it was."""

from __future__ import annotations

import csv
import io
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from plugin.cli import main
from plugin.ehr.errors import Unauthorized, Unreachable
from plugin.ehr.visits import VisitReader
from plugin.release import batches, x12
from plugin.release.batches import Form
from plugin.review import coder
from plugin.review.states import State
from plugin.settings import SettingsError, Usage
from plugin.store.audit import Event
from plugin.store.records import Overtaken
from plugin.workbench import Site
from tests.approved import OFFICE, SUPERVISOR, VISITS, Office, as_environment, changed, office, patient_of
from tests.databases import EVERY_DATABASE


@pytest.fixture
def here(sandbox_base: str, tmp_path: Path) -> Iterator[Office]:
    """A site with nothing in it."""
    with office(sandbox_base, tmp_path / "office") as opened:
        yield opened


@pytest.fixture
def run(here: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """The command line of that site."""
    for name, value in as_environment(here.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **more: CliRunner().invoke(main, [str(a) for a in arguments], **more)


def let_go(here: Office, form: Form = Form.X12) -> batches.Released:
    return batches.release(here.settings, here.store, here.ehrs.unattended_site, form, SUPERVISOR.id)


def looked(here: Office, form: Form = Form.X12) -> batches.Preview:
    return batches.preview(here.settings, here.store, here.ehrs.unattended_site, form)


def file_of(here: Office, number: int) -> bytes:
    kept = here.store.releases.file(number)
    assert kept is not None
    return kept[1]


def test_what_is_approved_goes_out_once(here: Office) -> None:
    """Two drafts in one valid 837P file under the batch's number; asked again there is nothing to let go."""
    drafts = [here.approved(name) for name in VISITS[:2]]
    seen = looked(here)
    assert {each.draft.id for each in seen.goes} == {d.id for d in drafts}
    done = let_go(here)
    assert done.batch is not None
    file = file_of(here, done.batch.id)
    assert x12.check(file) == []
    assert file.count(b"~CLM*") == 2
    assert b"*000000001*0*P*" in file
    assert set(done.batch.report["released"]) == {d.id for d in drafts}
    assert done.batch.report["file"] == "claimwright-000001.837"
    assert {here.store.draft(d.id).state for d in drafts} == {State.RELEASED}  # type: ignore[union-attr]
    again = let_go(here)
    assert again.batch is None
    assert (again.seen.goes, again.seen.stays) == ((), ())


def test_a_test_file_bills_nobody(here: Office) -> None:
    """What was in it stays approved and goes out once, for real; the batch and the history say that it was a test."""
    draft = here.approved(VISITS[0])
    assert here.settings.release is not None
    trying = here.settings.release.model_copy(update={"usage": Usage.TEST})
    done = let_go(replace(here, settings=here.settings.model_copy(update={"release": trying})))
    assert done.batch is not None
    assert b"*000000001*0*T*" in file_of(here, 1)
    assert (done.batch.draft_ids, done.batch.report["released"]) == ((), [draft.id])
    assert done.batch.report["file"] == "claimwright-000001-test.837"
    assert here.store.draft(draft.id).state is State.APPROVED  # type: ignore[union-attr]
    assert here.store.releases.batch_of(draft.id) is None
    real = let_go(here).batch
    assert real is not None
    assert (real.id, real.draft_ids) == (2, (draft.id,))
    told = [e.detail["test"] for e in here.store.audit.entries() if e.kind == Event.RELEASED]
    assert told == [True, False]


def test_a_released_file_is_kept_as_long_as_the_site_says(here: Office) -> None:
    """Destroyed, it cannot be issued again; what went out and its digest stay, and the history says so."""
    here.approved(VISITS[0])
    batch = let_go(here).batch
    assert batch is not None
    assert here.store.releases.destroy_files(batch.at) == 0
    assert here.store.releases.destroy_files(batch.at + timedelta(seconds=1)) == 1
    assert here.store.releases.again(batch.id, "somebody") is None
    (left,) = here.store.releases.batches()
    assert (left.kept, left.digest, left.draft_ids) == (False, batch.digest, batch.draft_ids)
    assert [e.subject for e in here.store.audit.entries() if e.kind == Event.PURGED] == [f"batch/{batch.id}"]
    assert here.store.audit.verify().broken is None


@EVERY_DATABASE
def test_two_who_release_at_once_release_once(database: str | None, sandbox_base: str, tmp_path: Path) -> None:
    """Both read the same approved drafts; one batch holds each of them, the other has nothing left to let go."""
    with office(sandbox_base, tmp_path / "office", database) as here:
        drafts = [here.approved(name) for name in VISITS]
        together = threading.Barrier(2)
        done: list[batches.Released] = []

        @contextmanager
        def at_the_same_time(ehr_id: str) -> Iterator[tuple[Site, VisitReader]]:
            with here.ehrs.unattended_site(ehr_id) as site:
                yield site
            together.wait(60)

        one_share = pytest.MonkeyPatch()
        one_share.setattr(batches, "_READERS", 1)

        def let_both_go() -> None:
            done.append(batches.release(here.settings, here.store, at_the_same_time, Form.X12, "somebody"))

        threads = [threading.Thread(target=let_both_go) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        one_share.undo()
        made = here.store.releases.batches()
        assert len(done) == 2
        assert [len(b.draft_ids) for b in made] == [3]
        assert sorted(made[0].draft_ids) == sorted(d.id for d in drafts)
        (late,) = [d for d in done if d.batch is None]
        assert {r for s in late.seen.stays for r in s.reasons} == {
            "somebody else released it, or decided on it, at the same time"
        }


def test_an_approval_taken_back_meanwhile_stays_and_the_others_go(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken back after it was read: tried again without it, under the same number."""
    first, second = (here.approved(name) for name in VISITS[:2])
    keep = here.store.releases.release
    tried: list[int] = []

    def taken_back_first(*arguments: Any, **more: Any) -> Any:
        if not tried:
            coder.take_back(here.store, second, SUPERVISOR)
        tried.append(arguments[0])
        return keep(*arguments, **more)

    monkeypatch.setattr(here.store.releases, "release", taken_back_first)
    done = let_go(here)
    assert done.batch is not None
    assert done.batch.draft_ids == (first.id,)
    assert tried == [1, 1]
    assert b"~CLM*" in file_of(here, 1)
    assert here.store.draft(second.id).state is State.IN_REVIEW  # type: ignore[union-attr]


def test_overtaken_twice_nothing_goes_out(here: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so instead of trying for ever; the drafts are still approved."""
    draft = here.approved()

    def never(*_: Any, **__: Any) -> None:
        raise Overtaken("release")

    monkeypatch.setattr(here.store.releases, "release", never)
    with pytest.raises(Overtaken):
        let_go(here)
    assert here.store.draft(draft.id) == draft


def test_what_dies_before_the_commit_has_released_nothing(here: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is made and the process dies: nothing is handed out, the draft is due again and goes out once."""
    draft = here.approved()

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(here.store.releases, "release", dies)
        with pytest.raises(KeyboardInterrupt):
            let_go(here)
    assert here.store.releases.batches() == []
    done = let_go(here)
    assert done.batch is not None
    assert done.batch.draft_ids == (draft.id,)


def test_a_changed_record_stays_and_is_flagged(here: Office) -> None:
    """A preview says it and flags nothing; the release flags it for a coder; what did not change goes out."""
    draft, other = here.approved(), here.approved(VISITS[1])
    note = f"{draft.encounter_id}-note"
    changed(here.base, "DocumentReference", note, docStatus="amended")
    assert [(s.draft_id, s.reasons) for s in looked(here).stays] == [
        (draft.id, ("the record changed after it was approved; a coder looks at it again",))
    ]
    assert here.store.draft(draft.id) == draft
    done = let_go(here)
    assert done.batch is not None
    assert done.batch.draft_ids == (other.id,)
    assert here.store.draft(draft.id).changed_since  # type: ignore[union-attr]
    assert looked(here).stays == ()


def test_what_lacks_an_address_stays_and_says_what_it_lacks(here: Office) -> None:
    """Each thing that is missing is named with its resource and without a value; the other visit goes out."""
    draft, other = here.approved(), here.approved(VISITS[1])
    patient = patient_of(here.base, draft.encounter_id)
    changed(here.base, "Patient", patient, address=None)
    done = let_go(here)
    assert done.batch is not None
    assert done.batch.draft_ids == (other.id,)
    ((stays),) = done.batch.report["stayed"]
    assert stays["draft"] == draft.id
    assert stays["reasons"] == [
        f"Patient/{patient}: address: a street, a city, a state of two letters and a ZIP code are needed for the 837P; "
        "complete it in the EHR"
    ]
    assert not here.store.draft(draft.id).changed_since  # type: ignore[union-attr]


def test_a_visit_that_cannot_be_read_lets_the_others_go(here: Office) -> None:
    """Silence at one visit, a defect at another: both stay with their reason, the third goes out."""
    dead, broken, fine = (here.approved(name) for name in VISITS)

    @contextmanager
    def troubled(ehr_id: str) -> Iterator[tuple[Site, VisitReader]]:
        with here.ehrs.unattended_site(ehr_id) as (site, reader):

            def read(encounter_id: str) -> Any:
                if encounter_id == dead.encounter_id:
                    raise Unreachable(f"GET Encounter/{encounter_id}: no answer")
                if encounter_id == broken.encounter_id:
                    raise ZeroDivisionError("whatever it says")
                return site.read(encounter_id)

            yield Site(**(vars(site) | {"read": read})), reader

    done = batches.release(here.settings, here.store, troubled, Form.X12, "somebody")
    assert done.batch is not None
    assert done.batch.draft_ids == (fine.id,)
    reasons = {s.draft_id: s.reasons[0] for s in done.seen.stays}
    assert "no answer" in reasons[dead.id]
    assert reasons[broken.id] == "a defect of Claimwright (ZeroDivisionError); tell your administrator"


def test_an_ehr_that_is_down_is_asked_a_few_times_and_not_for_every_visit(here: Office) -> None:
    """After some silence in a row the rest is not tried; everything stays with its reason, nothing is released."""
    for n in range(6):
        here.approved(VISITS[0], mark=str(n))
    asked: list[str] = []

    @contextmanager
    def down(ehr_id: str) -> Iterator[tuple[Site, VisitReader]]:
        with here.ehrs.unattended_site(ehr_id) as (site, reader):

            def read(encounter_id: str) -> Any:
                asked.append(encounter_id)
                raise Unreachable("no answer")

            yield Site(**(vars(site) | {"read": read})), reader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_READERS", 1)
        done = batches.release(here.settings, here.store, down, Form.CSV, "somebody")
    assert done.batch is None
    assert len(done.seen.stays) == 6
    assert len(asked) == 3


def test_no_way_into_an_ehr_leaves_its_visits_where_they_are(here: Office) -> None:
    """An EHR that lets us work only for people who are signed in: each visit says so."""
    draft = here.approved()

    def closed(_: str) -> AbstractContextManager[tuple[Site, VisitReader]]:
        raise Unauthorized("only with Backend Services")

    done = batches.release(here.settings, here.store, closed, Form.X12, "somebody")
    assert [(s.draft_id, s.reasons) for s in done.seen.stays] == [(draft.id, ("only with Backend Services",))]


def test_a_file_that_is_not_valid_does_not_go_out(here: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyx12 complains: no batch is made, the drafts stay approved, and it is said."""
    here.approved()
    write = x12.write
    monkeypatch.setattr(x12, "write", lambda *a: write(*a).replace(b"*EI*", b"*QQ*"))
    done = let_go(here)
    assert done.batch is None
    assert done.seen.complaints
    assert all(c.startswith("the file would not be valid: ") for c in done.seen.complaints)
    assert here.store.releases.batches() == []


def test_the_table_holds_the_same_lines(here: Office) -> None:
    """One row a line; without a fee schedule the charge is blank and the report says so."""
    here.approved()
    done = let_go(here, Form.CSV)
    assert done.batch is not None
    (row,) = csv.DictReader(io.StringIO(file_of(here, done.batch.id).decode()))
    assert (row["code"], row["units"], row["charge"]) == ("H2014", "3", "")
    assert done.batch.report["fee_schedule"] is False
    assert done.batch.report["prices"].startswith("No fee schedule is set: the column `charge` is blank.")


def test_prices_come_from_the_fee_schedule_and_what_has_none_is_named(sandbox_base: str, tmp_path: Path) -> None:
    """Three units at 20.50 are 61.50; a claim with a line that has no price stays, for at 0 nobody would pay it."""
    fees = tmp_path / "fees.csv"
    fees.write_text("code,modifiers,dollars,from,through\nH2014,,20.50,2026-01-01,\n")
    priced = OFFICE.model_copy(update={"fees_file": fees})
    with office(sandbox_base, tmp_path / "office", release=priced) as here:
        here.approved()
        other = here.approved(VISITS[1])
        done = let_go(here)
        assert done.batch is not None
        assert b"*61.5*UN*3*" in file_of(here, done.batch.id)
        assert done.batch.report["prices"] == "Every line has its price from the fee schedule."
        (stays,) = done.seen.stays
        assert (stays.draft_id, stays.reasons) == (
            other.id,
            (f"draft of Encounter/{other.encounter_id}: item 1: no price; add H0004 to the fee schedule",),
        )
        table = let_go(here, Form.CSV).batch
        assert table is not None
        assert table.report["prices"] == "1 of 1 lines have no price in the fee schedule."


def test_without_release_settings_it_is_said_what_to_set(sandbox_base: str, tmp_path: Path) -> None:
    """Who sends to whom has to be set for an 837P file, and is named; what payers are called is lacking for the table too."""
    with office(sandbox_base, tmp_path / "office", release=None) as here:
        draft = here.approved()
        with pytest.raises(SettingsError, match="release: set who sends"):
            looked(here)
        (stays,) = looked(here, Form.CSV).stays
        assert stays.draft_id == draft.id
        assert any("release.filing_indicator" in reason for reason in stays.reasons)


def test_what_rests_is_not_due(sandbox_base: str, tmp_path: Path) -> None:
    """An approval that can still be taken back does not go out."""
    with office(sandbox_base, tmp_path / "office") as here:
        here.approved()
        patient = here.settings.review.model_copy(update={"rest_seconds": 3600.0})
        here.settings = here.settings.model_copy(update={"review": patient})
        assert let_go(here).batch is None


# --- the command line ---


def test_the_command_writes_the_file_for_its_owner_alone(
    here: Office, run: Callable[..., Result], tmp_path: Path
) -> None:
    """After the dry run nothing is released; then the file stands there with mode 0600, and nobody's name is printed."""
    draft = here.approved()
    dry = run("release", "--form", "837p", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "nothing was released" in dry.output
    assert here.store.releases.batches() == []
    result = run("release", "--form", "837p")
    assert result.exit_code == 0, result.output
    path = tmp_path / "claimwright-000001.837"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == file_of(here, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["claimwright-000001.837", "office"]
    listed = run("releases")
    assert "claimwright-000001.837" in listed.output
    report = run("releases", "--json")
    assert draft.id in report.output
    family = x12_family(path.read_bytes())
    assert family not in dry.output + result.output + listed.output + report.output
    (entry,) = [e for e in here.store.audit.entries() if e.kind == Event.RELEASED]
    assert entry.actor.startswith("command line")


def x12_family(file: bytes) -> str:
    """The subscriber's family name in a file."""
    return next(s.split(b"*")[3] for s in file.split(b"~") if s.startswith(b"NM1*IL")).decode()


def test_a_file_handed_out_again_is_the_same_and_on_the_history(
    here: Office, run: Callable[..., Result], tmp_path: Path
) -> None:
    """Byte for byte, never over another file, and each time is written down."""
    here.approved()
    let_go(here)
    (tmp_path / "out").mkdir()
    result = run("release-again", 1, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    path = tmp_path / "out" / "claimwright-000001.837"
    assert path.read_bytes() == file_of(here, 1)
    over = run("release-again", 1, "--out", tmp_path / "out")
    assert over.exit_code == 2
    assert "is not overwritten" in over.stderr
    assert len([e for e in here.store.audit.entries("batch/1") if e.kind == Event.ISSUED_AGAIN]) == 1
    assert run("release-again", 7).exit_code == 2


def test_a_batch_whose_file_cannot_be_written_is_not_lost(
    here: Office, run: Callable[..., Result], tmp_path: Path
) -> None:
    """A file of that name stands there: the batch is kept, and it is said how to get it."""
    here.approved()
    (tmp_path / "claimwright-000001.837").write_text("another")
    result = run("release", "--form", "837p")
    assert result.exit_code == 2
    assert "batch 1 is released and kept" in result.stderr
    assert "release-again 1" in result.stderr
    assert (tmp_path / "claimwright-000001.837").read_text() == "another"


def test_a_file_that_would_not_be_valid_exits_1(
    here: Office, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says that nothing goes out."""
    here.approved()
    monkeypatch.setattr(x12, "check", lambda _: ["segment 12: N403 is missing"])
    result = run("release", "--form", "837p")
    assert result.exit_code == 1
    assert "the file would not be valid: segment 12: N403 is missing" in result.stderr
    assert "nothing goes out" in result.stderr


def test_a_fee_schedule_is_checked_before_it_counts(run: Callable[..., Result], tmp_path: Path) -> None:
    """What it holds is said; a wrong one is refused with its row and column."""
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("code,modifiers,cents,from,through,payer\nH2014,HN,2050,2026-01-01,,\nZ9999,,100,,,P1\n")
    bad.write_text("code,modifiers,cents,from,through\nH2014,,-5,,\n")
    result = run("fees", good)
    assert result.exit_code == 0, result.output
    assert "2 prices for 2 codes: H2014, Z9999" in result.output
    assert "not in the loaded code tables: Z9999" in result.output
    refused = run("fees", bad)
    assert refused.exit_code == 2
    assert "bad.csv: row 2: cents" in refused.stderr
