"""Leave to listen to one recording for a while without the key: what a browser's player can bring along.

A player sends no ``Authorization``, and a key in an address would stand in histories and logs.
"""

import hashlib
import hmac
import secrets
from typing import cast

from store import impatient
from store.events import PREFIX

TICKET_SECONDS = 12 * 3600
_RANDOM_BYTES = 32


class Tickets:
    """Tickets in Redis; should they be lost there, players ask for others.

    Redis knows what a ticket is worth, but not the ticket: who reads Redis cannot listen.

    Args:
        url: Address of Redis. Nothing is connected before the first ticket.
        secret: The operator's key. When it changes, no ticket is good any more.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._client = impatient.client(url, decode_responses=True)
        self._secret = secret.encode()

    def issue(self, job_id: str, key_id: str) -> str:
        """A ticket for a job's recording.

        Args:
            job_id: The job.
            key_id: Whose key it stands for.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        ticket = secrets.token_urlsafe(_RANDOM_BYTES)
        self._client.set(self._name(ticket, job_id), key_id, ex=TICKET_SECONDS)
        return ticket

    def key_of(self, ticket: str, job_id: str) -> str | None:
        """Id of the key that a ticket stands for; None: it is not good for this job, or not any more.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        return cast("str | None", self._client.get(self._name(ticket, job_id)))

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _name(self, ticket: str, job_id: str) -> str:
        digest = hmac.new(self._secret, f"{job_id}/{ticket}".encode(errors="replace"), hashlib.sha256)
        return f"{PREFIX}ticket:{digest.hexdigest()}"
