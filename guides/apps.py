from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class GuidesConfig(AppConfig):
    name = "guides"
    verbose_name = _("Guides and relations")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models import Exists, OuterRef, Q

        from guides import audience_fields, binding_import, coupon_touches, rewards, staff_import, waiting
        from guides.bench.contacts import contact_sync
        from guides.bench.members import import_members
        from guides.bench.welcome import ROWS, welcome
        from guides.models import Binding
        from members.models import Member
        from scrm import bench, imports, org

        def bound_here(store_ids: frozenset[int]) -> Q:
            # asked row by row through the index of the open binding: a list of every bound member would be built first
            active = Binding.objects.filter(member=OuterRef("pk"), store_id__in=store_ids, ended_at=None)
            return Q(Exists(active))

        org.also_visible(Member, bound_here)
        imports.register(staff_import.KIND, staff_import.COLUMNS, staff_import.run)
        binding_import.register_import_column()
        audience_fields.register()
        bench.register("import_members", import_members)
        bench.register("contact_sync", contact_sync)
        bench.register("welcome", welcome, rows=ROWS)
        waiting.register()
        coupon_touches.register()
        rewards.register()
        self._listen_to_wecom()
        self._take_jobs()

    def _listen_to_wecom(self) -> None:
        """In this order: a listener may look at what the one before it has written."""
        from guides import contact_ways, contacts, corp_tags, directory, new_friends, rewards, wecom_checks, welcomes
        from guides.handover import results, transfers
        from scrm.wecom import inbox

        contacts.register()
        contacts.on_friend_added(results.hear_friend)
        contacts.on_friend_added(new_friends.friend_added)
        contacts.on_transfer_failed(results.hear_failure)
        contacts.on_member_linked(new_friends.member_linked)
        contacts.on_member_linked(rewards.member_linked)
        contacts.on_member_linked(corp_tags.member_linked)
        contacts.on_tags_read(corp_tags.tags_read)
        contacts.on_welcome_code(new_friends.asked)
        contacts.on_welcome_code(welcomes.greet)
        for what in ("user", "party"):
            for change in ("create", "update", "delete"):
                inbox.register("change_contact", f"{change}_{what}", directory.take_event, takes_overtaken=True)
        for topic in (transfers, contact_ways, corp_tags, welcomes, wecom_checks):
            topic.register()

    def _take_jobs(self) -> None:
        from guides import directory_sweep, integrity, rewards
        from guides.contacts import sweeps
        from guides.handover import moving, plan
        from scrm import jobs

        jobs.register(directory_sweep.KIND, directory_sweep.run)
        jobs.register(sweeps.KIND, sweeps.run)
        jobs.register(rewards.KIND, rewards.run)
        jobs.register(integrity.KIND, integrity.run)
        jobs.register(plan.KIND, plan.run)
        jobs.register(plan.RUN_KIND, moving.run)
