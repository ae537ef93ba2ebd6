from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MembersConfig(AppConfig):
    name = "members"
    verbose_name = _("Members and purchases")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from members import audiences, coupons, facts, legacy_import, tag_import, tags
        from members.audiences import own_fields
        from members.bench import coupons as coupon_bench
        from members.bench.audience import ROWS, audience
        from scrm import bench, jobs

        legacy_import.register()
        tag_import.register()
        own_fields.register()
        bench.register("audience", audience, rows=ROWS)
        jobs.register(facts.KIND, facts.run_rebuild)
        jobs.register(facts.NIGHT_KIND, facts.run_nightly)
        jobs.register(tags.KIND, tags.run)
        jobs.register(audiences.KIND, audiences.run)
        coupons.register()
        bench.register("coupons", coupon_bench.hot_coupons, rows=coupon_bench.ROWS)
