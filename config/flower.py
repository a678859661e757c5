"""Flower's configuration file: ``celery -A tasks.main flower --conf=config/flower.py``.

Flower executes it and takes every name that is one of its options; nothing here is imported by the rest of Longhand.
"""

import sys
from typing import Any

from flower.views.monitor import Metrics
from tornado.web import authenticated

from config import logging as longhand_logging
from config.loading import load

_settings = load()
# Like everybody's, without secrets: tornado adds no handler of its own where there is one.
longhand_logging.configure(_settings)
if _settings.flower_password is None:
    # Flower can start, stop and read tasks: without a password it does not start at all.
    sys.exit("Flower needs a password: set FLOWER_PASSWORD.")

address = _settings.flower_host
port = _settings.flower_port
basic_auth = [f"{_settings.flower_user}:{_settings.flower_password.get_secret_value()}"]

# Flower leaves its figures open to everybody, names of workers and tasks among them. Its /healthcheck stays open: it
# says OK and nothing else.
Metrics.get = authenticated(Metrics.get)

# Tasks are still to be seen after a restart, and memory does not grow with their number.
(_settings.data_dir / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
persistent = True
db = str(_settings.data_dir / "run" / "flower")
state_save_interval = 30_000
max_tasks = 20_000
max_workers = 500
purge_offline_workers = 3600

tasks_columns = "name,args,state,received,started,runtime,worker"
natural_time = False


def format_task(task: Any) -> Any:
    """The job and the chunk instead of a Python tuple; told for every task that is shown."""
    task.args = str(task.args or "").strip("()[], ").replace("'", "").replace('"', "").rstrip(",")
    return task
