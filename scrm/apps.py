from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.translation import gettext_lazy as _


class ScrmConfig(AppConfig):
    name = "scrm"
    default = True
    verbose_name = _("Organisation and system")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from scrm import exports, imports, jobs, org_import
        from scrm.wecom import bench, diagnosis, group_ways

        imports.register(org_import.KIND, org_import.COLUMNS, org_import.run)
        bench.register()
        jobs.register(diagnosis.KIND, diagnosis.work)
        group_ways.register()
        exports.register_queue()


class ConsoleConfig(AdminConfig):
    """The admin under our own site."""

    default = False
    default_site = "scrm.console.ConsoleSite"
