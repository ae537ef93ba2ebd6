"""``import_refunds FILE``: refunds from a company's export, applied to their lines, reversed and posted."""

from attribution.management.purchases import PurchaseCommand
from members import purchase_import


class Command(PurchaseCommand):
    help = "Import refunds (CSV, TSV, XLSX, .gz), then take back the commission on them."
    kind = purchase_import.REFUNDS
