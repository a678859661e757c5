"""The table with the installation's own name."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from store.columns import Record

ONLY = "this"


class Installation(Record):
    """What tells the files of this record from those of another (``store.ownership``); one row."""

    __tablename__ = "installation"

    which: Mapped[str] = mapped_column(String(8), primary_key=True)
    """Always ``ONLY``, so that there are no two."""
    id: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime]
