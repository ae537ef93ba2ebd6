"""``import_guides FILE``: guides, their users and their employments from a company's list."""

from guides import staff_import
from scrm.management.importing import ImportCommand


class Command(ImportCommand):
    help = "Import the list of guides (CSV, TSV, XLSX, .gz). The last day (left_on) still counts as employed."
    kind = staff_import.KIND
