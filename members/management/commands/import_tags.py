"""``import_tags FILE``: tags of members, a row for each."""

from members import tag_import
from scrm.management.importing import ImportCommand


class Command(ImportCommand):
    help = (
        "Import tags of members (CSV, TSV, XLSX, .gz): card or mobile number, tag, and whether it is set or taken away."
    )
    kind = tag_import.KIND
