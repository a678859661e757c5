"""HTTP in, JSON and pages out. Knows no ffmpeg, no model, no canvas.

Everything a client may rely on is in ``/openapi.json``, which is made from what stands beside each route.
"""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from config.settings import Settings
from store import open_store
from tasks.flow import open_flow
from webapp import errors, headers, journal, latency, queries
from webapp.access import auth, cors, limits
from webapp.batches import routes as batch_routes
from webapp.deliveries import routes as delivery_routes
from webapp.docs import routes as docs_routes
from webapp.events import routes as event_routes
from webapp.gateway import routes as gateway_routes
from webapp.health import routes as health_routes
from webapp.jobs import routes as job_routes
from webapp.keys import routes as key_routes
from webapp.metrics import routes as metrics_routes
from webapp.openai import routes as openai_routes
from webapp.pages import routes as page_routes
from webapp.results import routes as result_routes
from webapp.resumable import routes as tus
from webapp.services import install, make_services
from webapp.speakers import routes as speaker_routes
from webapp.usage import routes as usage_routes

MAX_OTHER_BODY = 64 * 1024
"""Bytes of a request that is not an upload."""

_ROUTES = (
    job_routes,
    batch_routes,
    delivery_routes,
    event_routes,
    result_routes,
    speaker_routes,
    gateway_routes,
    openai_routes,
    key_routes,
    usage_routes,
    health_routes,
    metrics_routes,
    docs_routes,
    page_routes,
)


def create_app(settings: Settings) -> Flask:
    """The application over the store these settings name; brings its tables up to date.

    Raises:
        ValueError: The settings would serve the network without a key.
    """
    settings.check_bind()
    store = open_store(settings)
    store.database.upgrade()
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_OTHER_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    if hops := settings.trusted_proxies:
        # Not the host: a proxy may hand on what the client says of it, and links have PUBLIC_URL.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    made = make_services(settings, store, open_flow(settings, store))
    install(made, app.extensions)
    # In this order: every request has an id before it can be refused, and what is refused is noted as it goes out.
    latency.install(app, made.requests)
    journal.install(app)
    headers.install(app)
    cors.install(app, settings)
    auth.install(app)
    limits.install(app, settings)
    queries.install(app)
    errors.install(app)
    for blueprint in _ROUTES:
        app.register_blueprint(blueprint)
    tus.install(app)
    return app
