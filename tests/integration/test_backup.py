"""Backup and restore as docs/operations.md says, on both databases, while the store is in use."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx

from plugin import pipeline, site
from plugin.settings import Settings
from plugin.store.records import DeliveryState
from plugin.store.store import Store
from plugin.store.vault import KEY_FILE
from sandbox import fixtures
from tests.databases import postgresql, program

VISIT = "h2014-45-minutes"


def settings(base: str, folder: Path, name: str, database: str | None = None) -> Settings:
    """A site with a billing provider of its own; the server is shared."""
    ehr = fixtures.ehr("backup", base_url=base, billing_provider=f"Organization/{name}")
    return Settings(ehr=ehr, data_dir=folder, payers_file=fixtures.PAYERS, database_url=database)


def code(made: Settings) -> tuple[str, bool]:
    """Code the visit; its draft and whether anything was written to the EHR."""
    with site.ehr_site(made) as (live, _):
        result = pipeline.code_visit(live, VISIT)
        assert result.draft is not None
        return result.draft.id, result.wrote


def is_whole(made: Settings, draft_id: str) -> None:
    """The store opens, its draft and its history are there, and its sealed text can be read."""
    store = Store.open(made)
    try:
        draft = store.draft(draft_id)
        assert draft is not None
        assert store.unseal(draft.snapshot_key, "reply")
        assert store.audit.verify().broken is None
        assert store.audit.verify().count > 0
        job = store.last_delivery(draft_id)
        assert job is not None
        assert job.state is DeliveryState.DONE
    finally:
        store.close()


def test_a_copy_of_sqlite_made_while_it_runs_is_a_whole_store(sandbox_base: str, tmp_path: Path) -> None:
    """With the vault key it opens elsewhere; working on from it writes nothing anew to the EHR."""
    first, second = tmp_path / "first", tmp_path / "second"
    draft_id, wrote = code(settings(sandbox_base, first, "sqlite-backup"))
    assert wrote
    second.mkdir()
    running = Store.open(settings(sandbox_base, first, "sqlite-backup"))
    with (
        closing(sqlite3.connect(first / "claimwright.db")) as live,
        closing(sqlite3.connect(second / "claimwright.db")) as copy,
    ):
        live.backup(copy)
    running.close()
    shutil.copy(first / KEY_FILE, second / KEY_FILE)
    restored = settings(sandbox_base, second, "sqlite-backup")
    is_whole(restored, draft_id)
    assert code(restored) == (draft_id, False)


def test_a_dump_of_postgresql_restores_to_a_whole_store(sandbox_base: str, tmp_path: Path) -> None:
    """pg_dump while it runs, pg_restore into an empty database: the same store, and nothing is written anew."""
    before, after = postgresql(), postgresql()
    made = settings(sandbox_base, tmp_path, "pg-backup", before)
    draft_id, wrote = code(made)
    assert wrote
    dump = tmp_path / "store.dump"
    running = Store.open(made)
    subprocess.run([program("pg_dump"), "--format=custom", f"--file={dump}", before], check=True)
    running.close()
    subprocess.run([program("pg_restore"), "--no-owner", f"--dbname={after}", str(dump)], check=True)
    restored = settings(sandbox_base, tmp_path, "pg-backup", after)
    is_whole(restored, draft_id)
    assert code(restored) == (draft_id, False)


def test_a_claim_written_after_the_backup_is_found_again(sandbox_base: str, tmp_path: Path) -> None:
    """An older store does not double what the EHR has already: the Claim is known by its identifier."""
    old, new = tmp_path / "old", tmp_path / "new"
    Store.open(settings(sandbox_base, old, "lost-days")).close()
    shutil.copytree(old, new)
    draft_id, wrote = code(settings(sandbox_base, new, "lost-days"))
    assert wrote
    again, _ = code(settings(sandbox_base, old, "lost-days"))
    assert again == draft_id
    found = httpx.get(f"{sandbox_base}/Claim", params={"encounter": f"Encounter/{VISIT}"}).json()["entry"]
    named = [e for e in found if e["resource"]["identifier"][0]["value"] == draft_id]
    assert len(named) == 1
