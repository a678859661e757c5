"""The tables of running totals: they outlive the jobs they come from and never go down (``store.totals``)."""

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from store.columns import Record


class Total(Record):
    """A running total of what happened here."""

    __tablename__ = "totals"

    figure: Mapped[str] = mapped_column(String(32), primary_key=True)
    """What is counted, see ``store.totals``."""
    label: Mapped[str] = mapped_column(String(200), primary_key=True)
    detail: Mapped[str] = mapped_column(String(64), primary_key=True)
    """What it is counted by."""
    count: Mapped[int] = mapped_column(BigInteger)
    """How often."""
    amount: Mapped[float]
    """How many seconds in all, or what else the figure is in."""


class AccountTotal(Record):
    """The same of one account."""

    __tablename__ = "account_totals"

    figure: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    label: Mapped[str] = mapped_column(String(200), primary_key=True)
    detail: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[float]
