"""The API document and the page to browse it, without any other host."""

from functools import lru_cache
from importlib import resources
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from config.version import program_version
from webapp import schemas
from webapp.document import Installation, document
from webapp.errors import Problem
from webapp.openapi import Answer, Header, Operation, documented
from webapp.services import services

routes = Blueprint("docs", __name__)

_SWAGGER = "flask_openapi3_swagger"  # the wheel carries Swagger UI; none of its code is imported
_ASSETS = {
    "swagger-ui.css": ("css", "text/css"),
    "swagger-ui-bundle.js": ("js", "text/javascript"),
    "swagger.svg": ("images", "image/svg+xml"),
}
_OWN_ASSETS = {"docs.js": "text/javascript", "docs.css": "text/css"}
_HTML = {"text/html": {"type": "string"}}
_MADE = "longhand-document"
"""Where the document is kept, which takes a while to make and does not change."""
# Swagger UI sets styles on elements by script as it draws, which is no style in markup and needs no leave.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@routes.get("/docs")
@documented(
    Operation(
        summary="This document to browse and try",
        answers={200: Answer("Swagger UI.", media=_HTML)},
        public=True,
        tag="pages",
    )
)
def browse() -> AnyResponse:
    """Swagger UI over the document."""
    answer = Response(_bytes("webapp", "static/docs.html"), content_type="text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = _POLICY
    answer.headers["Cache-Control"] = "no-cache"
    return answer


@routes.get("/docs/")
@documented(
    Operation(
        summary="The same with a slash too many",
        answers={308: Answer("See /docs.", headers={"Location": Header("Address of /docs.")})},
        public=True,
        tag="pages",
    )
)
def browse_with_slash() -> AnyResponse:
    """Sent on, because the page names its files relative to the address without the slash."""
    return redirect("../docs", 308)


@routes.get("/docs/<name>")
@documented(
    Operation(
        summary="A style sheet, script or picture of the page",
        answers={
            200: Answer(
                "The file.",
                media={kind: {"type": "string"} for kind in ("text/css", "text/javascript", "image/svg+xml")},
            ),
            304: Answer("The copy at hand is still right."),
        },
        problems=(404,),
        public=True,
        tag="pages",
    )
)
def asset(name: str) -> AnyResponse:
    """A file the page needs."""
    if name in _OWN_ASSETS:
        kind, body = _OWN_ASSETS[name], _bytes("webapp", f"static/{name}")
    elif name in _ASSETS:
        folder, kind = _ASSETS[name]
        body = _bytes(_SWAGGER, f"templates/swagger/{folder}/{name}")
    else:
        raise Problem(404, "The page has no such file; see /docs.")
    answer = Response(body, content_type=f"{kind}; charset=utf-8")
    answer.headers["Cache-Control"] = "public, max-age=3600"
    answer.add_etag()
    return answer.make_conditional(request)


@routes.get("/openapi.json")
@documented(
    Operation(
        summary="This document",
        answers={200: Answer("OpenAPI 3.1.", dict[str, Any])},
        public=True,
        tag="pages",
    )
)
def openapi() -> AnyResponse:
    """The document, true for this installation: with the stages and models it has."""
    s = services()
    made = current_app.extensions.get(_MADE)
    if made is None:  # two that make it at once make the same
        signs = s.settings.webhook_secret is not None
        here = Installation(s.options.model, s.settings.max_upload_bytes, signs=signs)
        made = current_app.extensions[_MADE] = document(current_app, here, version=program_version())
    return jsonify({**made, "servers": [{"url": schemas.address(s, "/").rstrip("/")}]})


@lru_cache(maxsize=16)
def _bytes(package: str, path: str) -> bytes:
    return resources.files(package).joinpath(*path.split("/")).read_bytes()
