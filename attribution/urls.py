"""Addresses that channels call, and those of the mini-program that only attribution can answer."""

from django.urls import path

from attribution.api import channel_events, disputes

urlpatterns = [
    path("channels/<str:channel>/events", channel_events.receive, name="channel-events"),
    path("guide/disputes", disputes.DisputesView.as_view(), name="guide-disputes"),
    path("guide/disputes/<id:dispute_id>", disputes.DisputeView.as_view(), name="guide-dispute"),
    path("guide/disputes/<id:dispute_id>/evidence", disputes.EvidenceView.as_view(), name="guide-dispute-evidence"),
    path(
        "guide/disputes/<id:dispute_id>/evidence/<id:evidence_id>/picture",
        disputes.PictureView.as_view(),
        name="guide-dispute-picture",
    ),
    path("guide/disputes/<id:dispute_id>/opinion", disputes.OpinionView.as_view(), name="guide-dispute-opinion"),
    path("guide/disputes/<id:dispute_id>/withdraw", disputes.WithdrawView.as_view(), name="guide-dispute-withdraw"),
]
