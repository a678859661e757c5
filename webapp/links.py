"""What one answer gives for the next request, for the API document."""

from collections.abc import Mapping
from typing import Any

_OF_A_JOB = {
    "jobs_show": "Look at it, or wait for its end.",
    "events_events": "Follow it.",
    "results_transcript": "Its transcript, once it is done.",
    "results_transcript_file": "Its transcript by extension.",
    "results_audio": "The recording.",
    "results_result": "The result in short.",
    "speakers_rename": "Name its speakers.",
    "deliveries_page": "Its webhooks.",
    "deliveries_newest": "Send its newest webhook again.",
    "pages_ticket": "Let a player listen.",
    "jobs_cancel": "Stop it.",
    "jobs_retry": "Try it again.",
    "jobs_delete": "Delete it.",
}
_OF_A_BATCH = {"batches_show": "The batch, if it is one.", "batches_cancel": "Stop the batch."}
_OF_AN_UPLOAD = {"uploads_append": "Go on with it.", "uploads_delete": "Give it up."}
_LINKS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "jobs.create": {
        "202": {
            **{name: ({"job_id": "$response.body#/id"}, about) for name, about in _OF_A_JOB.items()},
            **{name: ({"batch_id": "$response.body#/batch"}, about) for name, about in _OF_A_BATCH.items()},
        }
    },
    "batches.page": {
        "200": {name: ({"batch_id": "$response.body#/batches/0/batch"}, about) for name, about in _OF_A_BATCH.items()}
    },
    "deliveries.page": {
        "200": {
            "deliveries_redeliver": (
                {"job_id": "$request.path.job_id", "delivery_id": "$response.body#/deliveries/0/id"},
                "Send the newest again.",
            )
        }
    },
    "uploads.show": {
        "200": {name: ({"upload_id": "$response.body#/id"}, about) for name, about in _OF_AN_UPLOAD.items()}
    },
    "keys.create": {"201": {"keys_revoke": ({"key_id": "$response.body#/id"}, "Revoke it.")}},
    "openai.models": {"200": {"openai_model": ({"model": "$response.body#/data/0/id"}, "The first of them.")}},
}


def links_of(endpoint: str) -> dict[str, dict[str, Any]]:
    """The links of an operation's answers: status -> name -> link."""
    return {
        status: {
            name: {"operationId": name, "parameters": dict(parameters), "description": about}
            for name, (parameters, about) in links.items()
        }
        for status, links in _LINKS.get(endpoint, {}).items()
    }
