"""``import_personal_contacts FILE``: lists of guides' personal contacts, into the migration that runs."""

from campaigns.friend_migration import listing
from scrm.management.importing import ImportCommand


class Command(ImportCommand):
    help = "Import guides' lists of personal contacts (CSV, TSV, XLSX, .gz) into the migration of customers that runs."
    kind = listing.KIND
