from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MembersConfig(AppConfig):
    name = "members"
    verbose_name = _("Members and purchases")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from members import coupons, legacy_import

        legacy_import.register()
        coupons.register()
