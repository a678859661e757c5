"""The least that Flask can do: what ``benchmarks.requests`` compares with."""

from flask import Flask

app = Flask(__name__, static_folder=None, template_folder=None)


@app.get("/health/live")
def empty() -> str:
    """Nothing."""
    return ""
