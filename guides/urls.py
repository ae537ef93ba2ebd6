"""The guide's mini-program, below ``/api/guide/``."""

from django.urls import path, register_converter

from guides.api import (
    actions,
    code,
    commission,
    coupons,
    handovers,
    members,
    rewards,
    service_acts,
    session,
    shares,
    statements,
    taste,
    today,
)
from scrm.api.urls import RowId

register_converter(RowId, "id")

app_name = "guide-api"
urlpatterns = [
    path("login", session.LoginView.as_view(), name="login"),
    path("logout", session.LogoutView.as_view(), name="logout"),
    path("me", session.MeView.as_view(), name="me"),
    path("today", today.TodayView.as_view(), name="today"),
    path("actions", actions.ActionsView.as_view(), name="actions"),
    path("actions/<id:action_id>/done", actions.ActionDoneView.as_view(), name="action-done"),
    path("actions/<id:action_id>/skip", actions.ActionSkipView.as_view(), name="action-skip"),
    path("members", members.MembersView.as_view(), name="members"),
    path("members/search", members.MemberSearchView.as_view(), name="member-search"),
    path("members/<id:member_id>", members.MemberView.as_view(), name="member"),
    path("members/<id:member_id>/offers", taste.OffersView.as_view(), name="member-offers"),
    path("products/<str:sku>/alike", taste.AlikeView.as_view(), name="alike-products"),
    path("members/<id:member_id>/reveal", members.RevealView.as_view(), name="member-reveal"),
    path("members/<id:member_id>/service-acts", service_acts.ServiceActView.as_view(), name="member-service-act"),
    path("members/<id:member_id>/coupons", coupons.MemberCouponsView.as_view(), name="member-coupons"),
    path("members/<id:member_id>/coupons/give", coupons.GiveCouponView.as_view(), name="member-coupon-give"),
    path("coupons/templates", coupons.CouponTemplatesView.as_view(), name="coupon-templates"),
    path("coupons/quote", coupons.QuoteView.as_view(), name="coupon-quote"),
    path("coupons/redeem", coupons.RedeemView.as_view(), name="coupon-redeem"),
    path("coupons/redemptions", coupons.RedemptionsView.as_view(), name="coupon-redemptions"),
    path(
        "coupons/redemptions/<id:redemption_id>/reverse",
        coupons.ReverseView.as_view(),
        name="coupon-redemption-reverse",
    ),
    path("service-acts", service_acts.ServiceActsView.as_view(), name="service-acts"),
    path("shares", shares.SharesView.as_view(), name="shares"),
    path("rewards", rewards.RewardsView.as_view(), name="rewards"),
    path("reviews", rewards.ReviewsView.as_view(), name="reviews"),
    path("reviews/<id:review_id>/appeal", rewards.AppealView.as_view(), name="review-appeal"),
    path("handovers", handovers.HandoversView.as_view(), name="handovers"),
    path("code", code.CodeView.as_view(), name="code"),
    path("friends", code.FriendsView.as_view(), name="friends"),
    path("statements", statements.StatementsView.as_view(), name="statements"),
    path("statements/<str:period>", statements.StatementView.as_view(), name="statement"),
    path("commission", commission.CommissionView.as_view(), name="commission"),
    path("commission/lines", commission.CommissionLinesView.as_view(), name="commission-lines"),
    path("commission/<id:line_id>/explain", commission.ExplainView.as_view(), name="commission-explain"),
]
