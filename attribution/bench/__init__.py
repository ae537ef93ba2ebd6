"""What the whole product has to reach on a million members and a million order lines."""

from __future__ import annotations

from scrm import bench


def register() -> None:
    """Called from ``AppConfig.ready``; the work is imported when it is asked for."""
    from attribution.bench import attribute, filling

    bench.register_fill(filling.fill)
    bench.register("attribute", attribute.attribute)
