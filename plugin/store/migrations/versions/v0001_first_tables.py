"""The first tables: snapshots, sealed text with a key per visit, drafts, the outbox, and where drafts stand elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "snapshot",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("ehr_id", sa.String(32), nullable=False, index=True),
        sa.Column("encounter_id", sa.String(64), nullable=False, index=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("manifest", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "visit_key",
        sa.Column("ehr_id", sa.String(32), primary_key=True),
        sa.Column("encounter_id", sa.String(64), primary_key=True),
        sa.Column("wrapped", sa.LargeBinary),
        sa.Column("purged_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "sealed",
        sa.Column("snapshot_key", sa.String(64), sa.ForeignKey("snapshot.key"), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "draft",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("ehr_id", sa.String(32), nullable=False),
        sa.Column("encounter_id", sa.String(64), nullable=False, index=True),
        sa.Column("billing_provider", sa.String(128), nullable=False),
        sa.Column("payer", sa.String(128), nullable=False),
        sa.Column("snapshot_key", sa.String(64), sa.ForeignKey("snapshot.key"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("incomplete", sa.Boolean, nullable=False),
        sa.Column("decided", sa.Boolean, nullable=False),
        sa.Column("claim", sa.JSON),
        sa.Column("verdicts", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("ehr_id", "encounter_id", "billing_provider", "payer"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("draft_id", sa.String(128), sa.ForeignKey("draft.id"), nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("claim", sa.JSON, nullable=False),
        sa.Column("destination", sa.String(16), nullable=False),
        sa.Column("state", sa.String(20), nullable=False, index=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("problem", sa.String(300)),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("draft_id", "version", "destination"),
    )
    op.create_table(
        "remote_claim",
        sa.Column("draft_id", sa.String(128), sa.ForeignKey("draft.id"), primary_key=True),
        sa.Column("destination", sa.String(16), primary_key=True),
        sa.Column("claim_id", sa.String(128), nullable=False),
        sa.Column("etag", sa.String(200)),
        sa.Column("version", sa.Integer, nullable=False),
    )
