"""Addresses that channels call."""

from django.urls import path

from attribution.api import (
    channel_events,
    channel_pushes,
    community_sales,
    coupons,
    disputes,
    messages,
    openings,
    referrals,
    wechat_pay,
)

urlpatterns = [
    path("channels/<str:channel>/events", channel_events.receive, name="channel-events"),
    path("channels/<str:channel>/referrals", referrals.join, name="channel-referrals"),
    path("channels/<str:channel>/referral-links", referrals.invite, name="channel-referral-links"),
    path("channels/<str:channel>/openings", openings.receive, name="channel-openings"),
    path("channels/<str:channel>/messages", messages.receive, name="channel-messages"),
    path("channels/<str:channel>/coupons/<slug:act>", coupons.receive, name="channel-coupons"),
    path("channels/<str:channel>/sales/<slug:act>", community_sales.receive, name="channel-sales"),
    path("channels/<str:channel>/<str:shop_no>/push", channel_pushes.receive, name="channel-push"),
    path("pay/wechat/<str:mchid>", wechat_pay.receive, name="wechat-pay"),
    path("guide/disputes", disputes.DisputesView.as_view(), name="guide-disputes"),
    path("guide/commission/<id:line_id>/dispute", disputes.OpenView.as_view(), name="guide-dispute-open"),
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
