"""``import_stores FILE``: entities, regions and stores from a company's list."""

from scrm import org_import
from scrm.management.importing import ImportCommand


class Command(ImportCommand):
    help = "Import the store list (CSV, TSV, XLSX, .gz)."
    kind = org_import.KIND
