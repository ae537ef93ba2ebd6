"""``import_orders FILE``: order lines from a company's export, recorded, decided and posted."""

from attribution.management.purchases import PurchaseCommand
from members import purchase_import


class Command(PurchaseCommand):
    help = "Import order lines (CSV, TSV, XLSX, .gz), then decide who earned them and post the commission."
    kind = purchase_import.ORDERS
