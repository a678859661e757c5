"""A key's life against real processes: made on the command line, used, billed, revoked."""

import json

import httpx
from click.testing import CliRunner, Result

from cli.main import main
from tests.stack import KEY, ROOT, Stack

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
SECONDS = json.loads((ROOT / "models" / "demo" / "sample.json").read_text())["duration"]


def longhand(stack: Stack, *arguments: str) -> Result:
    url = f"http://127.0.0.1:{stack.port}"
    return CliRunner().invoke(main, ["keys", *arguments, "--url", url, "--key", KEY])


def test_a_key_is_made_used_billed_and_revoked(stack: Stack) -> None:
    made = json.loads(longhand(stack, "create", "Ada", "--rate", "200", "--expires", "1d", "--json").stdout)
    stranger = longhand(stack, "create", "Bob").stdout.strip()
    base = f"http://127.0.0.1:{stack.port}"
    with httpx.Client(base_url=base, headers={"Authorization": f"Token {made['key']}"}, trust_env=False) as ada:
        sent = ada.post("/v1/jobs", files={"file": ("talk.flac", SAMPLE.read_bytes())})
        assert sent.status_code == 202 and sent.headers["RateLimit-Limit"] == "200"
        assert sent.headers["RateLimit-Remaining"] == "199"
        job_id = sent.json()["id"]
        assert ada.get(f"/v1/jobs/{job_id}", headers={"Authorization": f"Bearer {stranger}"}).status_code == 404
        assert stack.wait(job_id)["status"] == "done"
        total = ada.get("/v1/usage").json()["total"]
        assert total["jobs"] == 1 and abs(total["audio_seconds"] - SECONDS) < 0.1
        assert total["bytes"] == SAMPLE.stat().st_size
        listed = [json.loads(line) for line in longhand(stack, "list", "--json").stdout.splitlines()]
        assert [key["used_at"] is not None for key in listed if key["id"] == made["id"]] == [True]
        revoked = longhand(stack, "revoke", made["id"][:8])
        assert revoked.exit_code == 0, revoked.output
        assert ada.get("/v1/usage").status_code == 403
