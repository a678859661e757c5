"""Bring the tables to this version's schema, and be done: ``python -m store.upgrade``.

The API does so too when it starts; this is for those who start many processes at once and want it over before.
"""

import sys

from sqlalchemy.exc import SQLAlchemyError

from config import logging as longhand_logging
from config.loading import load
from store import open_store
from store.schema import TooNew


def main() -> int:
    """The exit code."""
    settings = load()
    longhand_logging.configure(settings)
    try:
        open_store(settings).database.upgrade()
    except TooNew as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (SQLAlchemyError, OSError, ImportError) as error:
        sys.stderr.write(
            f"The tables cannot be brought up to date ({type(error).__name__}): "
            "check DATABASE_URL and that its server runs.\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
