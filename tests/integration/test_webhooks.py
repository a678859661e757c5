"""Webhooks from real processes to a real server."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.receiver import Receiver, receiving, status
from tests.stack import ROOT, WEBHOOK_SECRET, Stack, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def delivered(stack: Stack, job_id: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        listed = stack.client.get(f"/v1/jobs/{job_id}/deliveries").raise_for_status().json()["deliveries"]
        one: dict[str, Any] | None = next((d for d in listed if d["status"] == "delivered"), None)
        return one

    one: dict[str, Any] = until(found, 30, "the delivery to be recorded")
    return one


def test_the_end_of_a_job_arrives_signed_and_is_recorded(stack: Stack, receiver: Receiver) -> None:
    receiver.answers = [status(503)]
    stack.client.headers["X-Request-ID"] = "this-request"
    accepted = stack.post(SAMPLE, webhook_url=f"{receiver.url}/hook?id=7", metadata='{"case": 7}')
    del stack.client.headers["X-Request-ID"]
    job = stack.wait(accepted["id"])
    assert job["status"] == "done", job
    receiver.wait(2)
    first, second = (receiver.verified(WEBHOOK_SECRET, n) for n in range(2))
    assert first == second and first["type"] == "job.done"
    links = first["data"].pop("links")
    # Whose it is, only an administrator is told, and who receives it is none.
    assert first["data"] == {k: v for k, v in job.items() if k not in ("links", "account")}
    assert stack.client.get(links["txt"]).status_code == 200
    assert {one.path for one in receiver.got} == {"/hook?id=7"}
    assert {one.headers["x-request-id"] for one in receiver.got} == {"this-request"}
    one = delivered(stack, job["id"])
    assert one["id"] == receiver.got[0].headers["webhook-id"] == receiver.got[1].headers["webhook-id"]
    assert (one["attempts"], one["response_status"], one["event"]) == (2, 204, "job.done")
    assert stack.client.post(f"/v1/jobs/{job['id']}/redeliver").status_code == 202
    receiver.wait(3)
    assert receiver.verified(WEBHOOK_SECRET) == {**first, "data": {**first["data"], "links": links}}


def test_failed_and_cancelled_jobs_are_told_of(stack: Stack, receiver: Receiver) -> None:
    failed = stack.run(b"no recording at all", webhook_url=receiver.url)
    assert failed["status"] == "failed"
    receiver.wait(1)
    told = receiver.verified(WEBHOOK_SECRET)
    assert (told["type"], told["data"]["error"]) == ("job.failed", failed["error"])
    assert delivered(stack, failed["id"])["attempts"] == 1
    job_id = stack.post(SAMPLE, webhook_url=receiver.url, priority="low")["id"]
    assert stack.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    receiver.wait(2)
    assert receiver.verified(WEBHOOK_SECRET)["type"] == "job.cancelled"
    assert WEBHOOK_SECRET[6:] not in "".join(stack.log(name) for name in stack.processes)
