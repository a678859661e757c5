"""What became of each try of a webhook."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Upgrade the schema."""
    op.add_column("deliveries", sa.Column("tries", sa.JSON(), nullable=False, server_default="[]"))
