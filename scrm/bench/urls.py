"""The addresses of the product, and the floor views beside them."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path

from scrm import bench
from scrm.urls import urlpatterns as product_urls


def constant(request: HttpRequest) -> HttpResponse:
    """What any view costs here: the middleware and an answer that is known."""
    return JsonResponse({"ok": True})


urlpatterns = [path("bench/constant", constant), path("bench/", include(bench.URLS)), *product_urls]
