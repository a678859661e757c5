"""The installation's own name, by which it knows the files that are its."""

import sqlalchemy as sa
from alembic import op

from store.models import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Upgrade the schema."""
    # The row is made by whoever first wants it: a record that is restored brings its own.
    op.create_table(
        "installation",
        sa.Column("which", sa.String(length=8), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("which"),
    )
