"""The domain: recordings to transcripts and subtitles. No Celery, Flask, SQL, Redis, fsspec; values and paths only."""
