"""The HTTP doors."""

from flask import Flask

from pipemon.api import (
    actions,
    analytics,
    arguments,
    asyncapi,
    audit,
    auth,
    bodies,
    builds,
    delivery,
    deployments,
    docs,
    errors,
    events,
    failures,
    jobs,
    live,
    logs,
    notifications,
    openapi,
    pipeline,
    preview,
    sending,
    system,
    webhooks,
)
from pipemon.api.conditional import Conditional
from pipemon.api.edge import Edge
from pipemon.api.services import Services

BLUEPRINTS = (
    pipeline.bp, builds.bp, actions.bp, logs.bp, failures.bp, deployments.bp, analytics.bp, delivery.bp, jobs.bp,
    notifications.bp, preview.bp, sending.bp, audit.bp, events.bp, live.bp, webhooks.bp, system.bp,
)  # fmt: skip


def register(app: Flask, services: Services) -> None:
    """Give the application all its routes and guards, and put the cache and the outer door before it."""
    app.extensions["pipemon"] = services
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # `/builds` and `/builds/` are one; `//builds` is none. Before any rule: each takes these over when it is made.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters["id"] = arguments.IdConverter
    api = openapi.make_api(app)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    app.register_blueprint(docs.bp)
    app.config["SOCK_SERVER_OPTIONS"] = {"thread_class": live.NoThread}
    app.register_blueprint(live.socket_bp)
    errors.register(app, services.clock)
    # In this order: nobody learns anything of a route's parameters or bodies without its scope.
    auth.register(app)
    arguments.register(app)
    bodies.register(app)
    audit.register(app)
    app.extensions["pipemon.openapi"] = openapi.complete(app, api, services)
    app.extensions["pipemon.asyncapi"] = asyncapi.document(services.settings)
    app.wsgi_app = Edge(Conditional(app.wsgi_app, services), services)  # type: ignore[method-assign]
