"""What asking a model took, visit by visit: requests, tokens, seconds, cost."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_request",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("ehr_id", sa.String(32), nullable=False),
        sa.Column("encounter_id", sa.String(64), nullable=False, index=True),
        sa.Column("snapshot_key", sa.String(64), sa.ForeignKey("snapshot.key"), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("prompt", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("input_tokens", sa.Integer, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("cents", sa.Double, nullable=False),
        sa.Column("failed", sa.String(40)),
    )
