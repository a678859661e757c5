"""Jobs that wait for their account's turn, and chunks that are sent a few at a time."""

import sqlalchemy as sa
from alembic import op

import store.models

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEXES = {
    "jobs_queued": (["status", "owner", "priority", "created_at"], "status = 'queued'"),
    "jobs_in_line": (["owner", "lane", "priority", "created_at"], "lane IS NOT NULL AND admitted_at IS NULL"),
    "jobs_in_turn": (["owner", "lane", "priority"], "lane IS NOT NULL AND admitted_at IS NOT NULL"),
}


def upgrade() -> None:
    """Upgrade the schema."""
    # Plain ALTERs: SQLite can do these itself, and copying the table would take long and drop what refers to it.
    op.add_column("jobs", sa.Column("lane", sa.String(length=8), nullable=True))
    op.add_column("jobs", sa.Column("admitted_at", store.models.UtcDateTime(timezone=True), nullable=True))
    op.add_column("steps", sa.Column("sent_at", store.models.UtcDateTime(timezone=True), nullable=True))
    for name, (columns, condition) in _INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "jobs", columns, unique=False, sqlite_where=where, postgresql_where=where)
    # What is under way has its turn: some more at first than there will be later.
    has_begun = "id IN (SELECT job_id FROM steps WHERE stage = 'normalise' AND status IN ('running', 'done'))"
    op.execute(f"UPDATE jobs SET lane = 'work', admitted_at = submitted_at WHERE status = 'running' AND {has_begun}")
