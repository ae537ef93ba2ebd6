from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AttributionConfig(AppConfig):
    name = "attribution"
    verbose_name = _("Attribution and commission")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models import Exists, OuterRef, Q

        from attribution import bench, fairness, intake, rulebook, simulation, waiting
        from attribution.channels import bills, pos_day
        from attribution.models import Decision
        from attribution.sample import loading
        from attribution.settlement import batches, making, posting
        from guides import bindings
        from members import purchase_import
        from members.models import OrderLine
        from scrm import imports, jobs, org

        def credited_here(store_ids: frozenset[int]) -> Q:
            """An online line has no store of its own: it is seen where its beneficiary stood."""
            own = Decision.objects.filter(
                line_id=OuterRef("pk"), booked_on=OuterRef("booked_on"), store_id__in=store_ids
            )
            return Q(Exists(own.exclude(state=Decision.State.SUPERSEDED)), store=None)

        org.also_visible(OrderLine, credited_here)
        imports.register(purchase_import.ORDERS, purchase_import.ORDER_COLUMNS, intake.import_orders)
        imports.register(purchase_import.REFUNDS, purchase_import.REFUND_COLUMNS, intake.import_refunds)
        jobs.register(loading.KIND, loading.work)
        jobs.register(batches.MAKE, making.work)
        jobs.register(batches.POST, posting.work)
        jobs.register(simulation.KIND, simulation.work)
        jobs.register(bills.KIND, bills.read)
        jobs.register(pos_day.KIND, pos_day.read)
        bindings.take_policy_from(rulebook.binding_policy)
        bindings.on_answered(fairness.mark_request)
        waiting.register()
        bench.register()
