"""People: accounts, sessions, launches, sign-ins under way, decisions, cards; whose visit a draft is."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("draft", sa.Column("revision", sa.Integer, nullable=False, server_default="1"))
    op.add_column("draft", sa.Column("changed_since", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("draft", sa.Column("patient_id", sa.String(64)))
    op.add_column("draft", sa.Column("clinician_id", sa.String(64)))
    op.add_column("draft", sa.Column("date_of_service", sa.Date))
    op.create_index("ix_draft_clinician_id", "draft", ["clinician_id"])
    op.add_column("delivery", sa.Column("person", sa.String(128)))
    op.add_column("delivery", sa.Column("taken_until", _INSTANT))
    op.create_table(
        "decision",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("draft_id", sa.String(128), sa.ForeignKey("draft.id"), nullable=False, index=True),
        sa.Column("snapshot_key", sa.String(64), sa.ForeignKey("snapshot.key"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("account_id", sa.String(200), nullable=False),
        sa.Column("person", sa.String(128)),
        sa.Column("action", sa.String(24), nullable=False),
        sa.Column("lines", sa.JSON, nullable=False),
        sa.Column("proposal", sa.JSON),
        sa.Column("reason", sa.String(40)),
        sa.Column("comment", sa.LargeBinary),
        sa.Column("at", _INSTANT, nullable=False),
    )
    op.create_table(
        "account",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("person", sa.String(128)),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("roles", sa.JSON, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "session",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("account_id", sa.String(200), sa.ForeignKey("account.id"), nullable=False, index=True),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT),
        sa.Column("ended_because", sa.String(40)),
    )
    op.create_table(
        "launch",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("session_id", sa.String(64), sa.ForeignKey("session.id"), nullable=False, index=True),
        sa.Column("ehr_id", sa.String(32), nullable=False),
        sa.Column("patient_id", sa.String(64)),
        sa.Column("encounter_id", sa.String(64)),
        sa.Column("banner", sa.Boolean, nullable=False),
        sa.Column("tokens", sa.LargeBinary),
        sa.Column("tokens_of", sa.String(64), sa.ForeignKey("launch.id")),
        sa.Column("created_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "signing_in",
        sa.Column("state", sa.String(64), primary_key=True),
        sa.Column("browser", sa.String(64), nullable=False),
        sa.Column("ehr_id", sa.String(32)),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("used_at", _INSTANT),
    )
    op.create_table(
        "seen_token",
        sa.Column("issuer", sa.String(255), primary_key=True),
        sa.Column("jti", sa.String(255), primary_key=True),
        sa.Column("ends_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "card",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("ehr_id", sa.String(32), nullable=False),
        sa.Column("draft_id", sa.String(128), sa.ForeignKey("draft.id"), nullable=False),
        sa.Column("person", sa.String(128)),
        sa.Column("at", _INSTANT, nullable=False),
    )
    op.create_table(
        "wanted",
        sa.Column("ehr_id", sa.String(32), primary_key=True),
        sa.Column("encounter_id", sa.String(64), primary_key=True),
        sa.Column("at", _INSTANT, nullable=False),
    )
