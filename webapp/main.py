"""The application as gunicorn starts it: ``gunicorn -c config/gunicorn.py webapp.main:app``."""

from config import logging as longhand_logging
from config.loading import load
from webapp import create_app

settings = load()
longhand_logging.configure(settings)
app = create_app(settings)
