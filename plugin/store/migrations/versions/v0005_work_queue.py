"""The coders' work queue: visits found, queue items, queries, releases, and the audit chain."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("draft") as draft:
        draft.alter_column("state", type_=sa.String(20), existing_type=sa.String(16), existing_nullable=False)
    op.create_table(
        "arrival",
        sa.Column("ehr_id", sa.String(32), primary_key=True),
        sa.Column("encounter_id", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("found_by", sa.String(16), nullable=False),
        sa.Column("found_at", _INSTANT, nullable=False),
        sa.Column("dirty_at", _INSTANT),
        sa.Column("running_until", _INSTANT),
        sa.Column("next_try_at", _INSTANT, index=True),
        sa.Column("reason", sa.String(300)),
        sa.Column("updated_at", _INSTANT, nullable=False),
    )
    op.execute(
        "INSERT INTO arrival (ehr_id, encounter_id, state, generation, attempts, found_by, found_at, next_try_at, updated_at) "
        "SELECT ehr_id, encounter_id, 'waiting', 1, 0, 'hook', at, at, at FROM wanted"
    )
    op.create_table(
        "seen",
        sa.Column("ehr_id", sa.String(32), primary_key=True),
        sa.Column("version", sa.String(200), primary_key=True),
        sa.Column("at", _INSTANT, nullable=False),
    )
    op.create_table(
        "poll",
        sa.Column("ehr_id", sa.String(32), primary_key=True),
        sa.Column("through", _INSTANT),
        sa.Column("taken_until", _INSTANT),
        sa.Column("polled_at", _INSTANT),
        sa.Column("problem", sa.String(300)),
    )
    op.create_table(
        "queue_item",
        sa.Column("id", sa.String(160), primary_key=True),
        sa.Column("ehr_id", sa.String(32), nullable=False),
        sa.Column("encounter_id", sa.String(64), nullable=False),
        sa.Column("draft_id", sa.String(128), sa.ForeignKey("draft.id")),
        sa.Column("patient_id", sa.String(64)),
        sa.Column("clinician_id", sa.String(64)),
        sa.Column("payer", sa.String(128)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("codes", sa.String(200), nullable=False),
        sa.Column("date_of_service", sa.Date),
        sa.Column("deadline", sa.Date),
        sa.Column("clean", sa.Boolean, nullable=False),
        sa.Column("changed_since", sa.Boolean, nullable=False),
        sa.Column("since", _INSTANT, nullable=False),
        sa.Column("found_at", _INSTANT, nullable=False),
        sa.Column("accepted_at", _INSTANT),
        sa.Column("approved_at", _INSTANT),
        sa.Column("owner", sa.String(200)),
        sa.Column("owner_until", _INSTANT),
        sa.Column("reason", sa.String(300)),
        sa.Column("next_try_at", _INSTANT),
        sa.Index("ix_queue_state_deadline", "state", "deadline", "id"),
        sa.Index("ix_queue_state_service", "state", "date_of_service", "id"),
        sa.Index("ix_queue_state_since", "state", "since", "id"),
        sa.Index("ix_queue_encounter", "encounter_id"),
        sa.Index("ix_queue_patient", "patient_id"),
        sa.Index("ix_queue_payer", "payer"),
        sa.Index("ix_queue_clinician", "clinician_id"),
    )
    op.execute(
        "INSERT INTO queue_item (id, ehr_id, encounter_id, draft_id, patient_id, clinician_id, payer, state, codes, "
        "date_of_service, clean, changed_since, since, found_at, accepted_at) SELECT id, ehr_id, encounter_id, id, "
        "patient_id, clinician_id, payer, state, '', date_of_service, false, changed_since, updated_at, created_at, "
        "CASE WHEN state = 'accepted' THEN updated_at END FROM draft"
    )
    op.execute(
        "INSERT INTO queue_item (id, ehr_id, encounter_id, state, codes, clean, changed_since, since, found_at) "
        "SELECT 'visit:' || ehr_id || '/' || encounter_id, ehr_id, encounter_id, 'new', '', false, false, at, at FROM wanted"
    )
    op.drop_table("wanted")
    op.create_table(
        "queue_mark",
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("value", sa.String(16), primary_key=True),
        sa.Column(
            "item_id",
            sa.String(160),
            sa.ForeignKey("queue_item.id", ondelete="CASCADE"),
            primary_key=True,
            index=True,
        ),
    )
    _marks_of_drafts()
    op.create_table(
        "coder_query",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("draft_id", sa.String(128), sa.ForeignKey("draft.id"), nullable=False, index=True),
        sa.Column("snapshot_key", sa.String(64), sa.ForeignKey("snapshot.key"), nullable=False),
        sa.Column("rules", sa.JSON, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("question", sa.LargeBinary, nullable=False),
        sa.Column("choice", sa.String(24)),
        sa.Column("answered_by", sa.String(200)),
        sa.Column("answered_at", _INSTANT),
        sa.Column("answer", sa.LargeBinary),
    )
    op.create_table(
        "review_again",
        sa.Column("draft_id", sa.String(128), sa.ForeignKey("draft.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("first", sa.String(200), nullable=False),
        sa.Column("picked_at", _INSTANT, nullable=False),
        sa.Column("second", sa.String(200)),
        sa.Column("agreed", sa.Boolean),
        sa.Column("looked_at", _INSTANT),
    )
    op.create_table(
        "release_batch",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("form", sa.String(8), nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("file", sa.LargeBinary),
    )
    op.create_table(
        "released",
        sa.Column("draft_id", sa.String(128), sa.ForeignKey("draft.id"), primary_key=True),
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("release_batch.id"), nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False, index=True),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("ehr_id", sa.String(32)),
        sa.Column("subject", sa.String(160), index=True),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("key", sa.LargeBinary),
    )
    op.bulk_insert(head, [{"id": 1, "count": 0, "hash": "0" * 64, "key": None}])


def _marks_of_drafts() -> None:
    """What drafts that exist already are found by; from their verdicts as JSON, for the code of that day may be gone."""
    drafts = sa.table(
        "draft", sa.column("id"), sa.column("incomplete"), sa.column("changed_since"), sa.column("verdicts", sa.JSON)
    )
    items = sa.table("queue_item", sa.column("id"), sa.column("codes"), sa.column("clean", sa.Boolean))
    marks = sa.table("queue_mark", sa.column("kind"), sa.column("value"), sa.column("item_id"))
    bind, last = op.get_bind(), ""
    while page := bind.execute(sa.select(drafts).where(drafts.c.id > last).order_by(drafts.c.id).limit(500)).all():
        rows = []
        for draft_id, incomplete, changed_since, kept in page:
            said = kept.get("verdicts", [])
            findings = [f for v in [*said, kept] for f in v.get("findings", [])]
            codes = sorted({v["line"]["code"] for v in said if v.get("line")})
            rules = sorted({f["rule"] for f in findings})
            ready = bool(said) and all(v["outcome"] == "ready" for v in said)
            clean = ready and all(f["effect"] == "info" for f in findings) and not (incomplete or changed_since)
            bind.execute(items.update().where(items.c.id == draft_id).values(codes=" ".join(codes)[:200], clean=clean))
            rows += [
                {"kind": kind, "value": value[:16], "item_id": draft_id}
                for kind, values in (("code", codes), ("rule", rules))
                for value in values
            ]
        if rows:
            bind.execute(marks.insert(), rows)
        last = page[-1].id
