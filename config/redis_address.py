"""The address of a Redis as Celery spells it."""

from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit, urlunsplit


def celery_address(url: str) -> str:
    """What ``redis://``, ``rediss://`` or ``unix://`` is to Celery."""
    if url.startswith("unix://"):
        return celery_socket(url)
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    # Of what the Redis client may be told so, Celery understands what is about certificates; the rest it cannot take.
    kept = {name: value for name, value in asked.items() if name.startswith("ssl_")}
    if parts.scheme == "rediss":
        # The Redis client looks at the server's certificate unless told not to; Celery, unless told to, does not.
        kept.setdefault("ssl_cert_reqs", "required")
    path = f"/{asked['db']}" if "db" in asked else parts.path
    return urlunsplit(parts._replace(path=path, query=urlencode(kept)))


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
