"""A customer's short links, and what guides send."""

from django.urls import path

from campaigns.api import actions, calendar, chain_orders, chain_page, content, knowledge, links, posters, scripts

urlpatterns = [
    path("s/<slug:code>", links.open_link, name="short-link"),
    path("jl/<slug:token>", chain_page.chain, name="chain-order"),
    path("jl/<slug:token>/photos/<int:number>", chain_page.photo, name="chain-photo"),
    path("jl/<slug:token>/<slug:secret>", chain_page.person, name="chain-person"),
    path("api/guide/chain-orders", chain_orders.ChainsView.as_view(), name="guide-chains"),
    path("api/guide/chain-orders/publish", chain_orders.PublishView.as_view(), name="guide-chain-publish"),
    path("api/guide/chain-orders/redeem", chain_orders.RedeemView.as_view(), name="guide-chain-redeem"),
    path("api/guide/chain-orders/<id:chain_id>", chain_orders.ChainOneView.as_view(), name="guide-chain"),
    path("api/guide/chain-orders/<id:chain_id>/close", chain_orders.CloseView.as_view(), name="guide-chain-close"),
    path("api/guide/chain-orders/<id:chain_id>/read", chain_orders.ReadView.as_view(), name="guide-chain-read"),
    path("api/guide/chain-orders/<id:chain_id>/lines", chain_orders.LinesView.as_view(), name="guide-chain-lines"),
    path(
        "api/guide/chain-orders/<id:chain_id>/people/<id:person_id>/pay",
        chain_orders.PayView.as_view(),
        name="guide-chain-pay",
    ),
    path(
        "api/guide/chain-orders/<id:chain_id>/lines/<id:line_id>/refund",
        chain_orders.RefundView.as_view(),
        name="guide-chain-refund",
    ),
    path("api/guide/actions/<id:action_id>", actions.ActionView.as_view(), name="guide-action"),
    path("api/guide/calendar", calendar.CalendarView.as_view(), name="guide-calendar"),
    path("api/guide/calendar/<id:entry_id>/adapt", calendar.AdaptView.as_view(), name="guide-calendar-adapt"),
    path("api/guide/materials", content.MaterialsView.as_view(), name="guide-materials"),
    path("api/guide/materials/<id:content_id>/file", content.FileView.as_view(), name="guide-material-file"),
    path("api/guide/materials/<id:content_id>/use", content.UseView.as_view(), name="guide-material-use"),
    path("api/guide/posters", posters.PostersView.as_view(), name="guide-posters"),
    path("api/guide/posters/<id:poster_id>/picture", posters.PosterPictureView.as_view(), name="guide-poster-picture"),
    path("api/guide/knowledge", knowledge.KnowledgeView.as_view(), name="guide-knowledge"),
    path("api/guide/knowledge/<id:answer_id>/vote", knowledge.VoteView.as_view(), name="guide-knowledge-vote"),
    path("api/guide/members/<id:member_id>/scripts", scripts.ScriptsView.as_view(), name="guide-scripts"),
    path(
        "api/guide/members/<id:member_id>/scripts/<id:script_id>/use",
        scripts.UseView.as_view(),
        name="guide-script-use",
    ),
]
