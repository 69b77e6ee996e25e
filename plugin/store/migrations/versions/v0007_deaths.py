"""How often in a row the work on a visit took its process with it, apart from how often it failed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("arrival", sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"))
