"""A customer's short links, and what guides send."""

from django.urls import path

from campaigns.api import actions, calendar, content, friend_migration, knowledge, links, posters, referrals, scripts

urlpatterns = [
    path("s/<slug:code>", links.open_link, name="short-link"),
    path("r/<slug:token>", referrals.open_invitation, name="referral-link"),
    path("api/guide/friend-migration", friend_migration.MigrationView.as_view(), name="guide-friend-migration"),
    path(
        "api/guide/friend-migration/list",
        friend_migration.MigrationListView.as_view(),
        name="guide-friend-migration-list",
    ),
    path(
        "api/guide/friend-migration/invited",
        friend_migration.MigrationInvitedView.as_view(),
        name="guide-friend-migration-invited",
    ),
    path("api/guide/referrals", referrals.ReferralsView.as_view(), name="guide-referrals"),
    path("api/guide/members/<id:member_id>/referral-link", referrals.InviteView.as_view(), name="guide-referral-link"),
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
