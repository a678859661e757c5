"""What tells whether two requests ask for the same."""

import hashlib
import json
from typing import Any

from webapp.intake.options import JobRequest


def fingerprint(asked: Any) -> str:
    """The same for the same, whatever the order of its names."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def wishes(wanted: JobRequest) -> list[Any]:
    """What is wanted of a recording; the stages follow from it."""
    asked = [wanted.options, wanted.priority, wanted.metadata, wanted.webhook_url]
    return [*asked, wanted.attachments] if wanted.attachments else asked
