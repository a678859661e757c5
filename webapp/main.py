"""The application as gunicorn starts it: ``gunicorn -c config/gunicorn.py webapp.main:app``."""

from config import logging as longhand_logging
from config import tracing
from config.loading import load
from webapp import create_app

settings = load()
longhand_logging.configure(settings)
tracing.enable(settings)
app = create_app(settings)
