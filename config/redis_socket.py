"""The address of a Redis on a unix socket, as Celery spells it."""

from urllib.parse import parse_qs, quote, urlsplit


def celery_socket(url: str) -> str:
    """What ``unix://user:password@/path?db=3`` is to Celery; the Redis client reads it the way this does.

    User and password may also stand behind the path, as ``username=`` and ``password=``; in front of it they count.
    """
    parts = urlsplit(url)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    # As they are: they were quoted by whoever wrote the address.
    user = parts.username or quote(asked.get("username", ""), safe="")
    password = parts.password or quote(asked.get("password", ""), safe="")
    credentials = f"{user}:{password}@" if user or password else ""
    return f"redis+socket://{credentials}{parts.path}?virtual_host={asked.get('db', '0')}"
