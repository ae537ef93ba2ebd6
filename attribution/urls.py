"""Addresses that channels call."""

from django.urls import path

from attribution.api import channel_events, channel_pushes, openings

urlpatterns = [
    path("channels/<str:channel>/events", channel_events.receive, name="channel-events"),
    path("channels/<str:channel>/openings", openings.receive, name="channel-openings"),
    path("channels/<str:channel>/<str:shop_no>/push", channel_pushes.receive, name="channel-push"),
]
