from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CampaignsConfig(AppConfig):
    name = "campaigns"
    verbose_name = _("Campaigns")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from campaigns import (
            audience_fields,
            calendar,
            communities,
            experiments,
            friend_migration,
            moments,
            referrals,
            sends,
            waiting,
        )
        from campaigns import bench as benches
        from campaigns.calendar import bench as calendar_bench
        from campaigns.communities import bench as flash_bench
        from campaigns.communities import bench_groups, comparison, health, invitations, listing
        from campaigns.experiments import universal
        from campaigns.scenarios import bench as scenario_bench
        from campaigns.sends import ending
        from guides import contacts
        from scrm import bench, jobs

        jobs.register(experiments.PLAN, experiments.work_plan)
        jobs.register(experiments.FREEZE, experiments.work_freeze)
        jobs.register(experiments.LOOK, experiments.work_look)
        jobs.register(universal.KIND, universal.work)
        jobs.register(sends.PLAN, sends.work_plan)
        jobs.register(sends.HAND_OVER, sends.work_hand_over)
        jobs.register(listing.KIND, listing.run)
        jobs.register(health.KIND, health.work)
        jobs.register(invitations.KIND, invitations.work)
        jobs.register(comparison.KIND, comparison.work)
        communities.register()
        audience_fields.register()
        contacts.on_member_linked(communities.member_linked)
        jobs.register(calendar.COMPILE, calendar.work_compile)
        jobs.register(calendar.PREVIEW, calendar.work_preview)
        jobs.register(calendar.CHECK, calendar.work_check)
        referrals.register()
        friend_migration.register()
        waiting.register()
        jobs.register(sends.REMIND, sends.work_remind)
        jobs.register(sends.STOP, sends.work_stop)
        jobs.register(moments.PLAN, moments.work_plan)
        moments.register()
        sends.register()
        ending.register()
        bench.register("send", benches.send)
        bench.register("flash_sale", flash_bench.flash_sale, rows=flash_bench.ROWS)
        bench.register("today", scenario_bench.today)
        bench.register("groups", bench_groups.run, rows=bench_groups.ROWS)
        bench.register("calendar", calendar_bench.compile_week, rows=calendar_bench.STORES)
