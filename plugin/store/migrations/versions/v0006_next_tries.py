"""When a job of the outbox is tried next, as a column that a search can use; decisions by their time, the queue by its columns."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("next_try_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE delivery SET next_try_at = updated_at WHERE state = 'pending'")
    op.create_index("ix_delivery_next_try_at", "delivery", ["next_try_at"])
    op.create_index("ix_decision_at", "decision", ["at"])
    op.create_index("ix_queue_found_at", "queue_item", ["found_at"])
    op.create_index("ix_queue_state_payer", "queue_item", ["state", "payer", "id"])
    op.create_index("ix_queue_state_clinician", "queue_item", ["state", "clinician_id", "id"])
    op.create_index("ix_queue_state_codes", "queue_item", ["state", "codes", "id"])
