"""The domain: recordings to transcripts and subtitles. No Celery, Flask, SQL, Redis, fsspec; values and paths only."""

import os

# Libraries that tell their makers what they are used for, unless told not to before they are imported. Nothing that
# happens to a recording is anybody else's business.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
