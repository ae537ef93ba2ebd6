"""What the whole product has to reach on a million members and a million order lines."""

from __future__ import annotations

from scrm import bench


def register() -> None:
    """Called from ``AppConfig.ready``."""
    from django.urls import path

    from attribution.bench import admin, api, attribute, filling, floors, per_order, settlement, simulate, webhook

    bench.register_fill(filling.fill)
    bench.register("attribute", attribute.attribute)
    bench.register("per_order", per_order.scenario)
    bench.register("simulate", simulate.simulate)
    bench.register("settlement", settlement.settle)
    bench.register("prove_books", settlement.prove_books)
    bench.register("admin", admin.admin)
    bench.register("api", api.api)
    bench.register("webhook", webhook.webhook)
    bench.register_url(path("store", floors.store_only))
