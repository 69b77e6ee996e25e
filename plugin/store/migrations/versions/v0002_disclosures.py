"""What left for a model, visit by visit."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "disclosure",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("ehr_id", sa.String(32), nullable=False),
        sa.Column("encounter_id", sa.String(64), nullable=False, index=True),
        sa.Column("snapshot_key", sa.String(64), sa.ForeignKey("snapshot.key"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
    )
