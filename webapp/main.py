"""The application as gunicorn starts it: ``gunicorn -c config/gunicorn.py webapp.main:app``."""

import sys

from config import logging as longhand_logging
from config import tracing
from config.loading import load
from store.schema import TooNew
from webapp import create_app

_IN_VAIN = 3
"""The exit status after which gunicorn starts no other process: it would end in the same way."""

settings = load()
longhand_logging.configure(settings)
tracing.enable(settings)
try:
    app = create_app(settings)
except TooNew as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(_IN_VAIN)
