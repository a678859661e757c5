"""The application as gunicorn starts it: ``gunicorn -c config/gunicorn.py webapp.main:app``."""

from config import logging as longhand_logging
from config.settings import Settings
from webapp import create_app

settings = Settings()
longhand_logging.configure(settings)
app = create_app(settings)
