from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class GuidesConfig(AppConfig):
    name = "guides"
    verbose_name = _("Guides and relations")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models import Exists, OuterRef, Q

        from guides import bindings, contacts, directory, directory_sweep, staff_import
        from guides.bench import import_members
        from guides.models import Binding
        from members.models import Member
        from scrm import bench, imports, jobs, org
        from scrm.wecom import inbox

        def bound_here(store_ids: frozenset[int]) -> Q:
            # asked row by row through the index of the open binding: a list of every bound member would be built first
            active = Binding.objects.filter(member=OuterRef("pk"), store_id__in=store_ids, ended_at=None)
            return Q(Exists(active))

        org.also_visible(Member, bound_here)
        imports.register(staff_import.KIND, staff_import.COLUMNS, staff_import.run)
        bindings.register_import_column()
        bench.register("import_members", import_members)
        contacts.register()
        for what in ("user", "party"):
            for change in ("create", "update", "delete"):
                inbox.register("change_contact", f"{change}_{what}", directory.take_event)
        jobs.register(directory_sweep.KIND, directory_sweep.run)
