"""What later migrations and bulk work stand on: monthly partitions, the staging schema, gist over plain columns; and the one brand."""

from django.contrib.postgres.operations import BtreeGistExtension
from django.db import migrations

# SECURITY DEFINER: the application role may not create tables in the main schema, but the month of an order that
# arrives has to exist. Partitions are attached, which does not block readers and writers as CREATE … PARTITION OF
# would. The caller's own rights on the new table are taken away unless it is the owner (dumps read every partition):
# rows go through the parent and its triggers only. What exists is read from pg_class: after waiting for the lock,
# to_regclass would answer from the session's cache, which does not know yet what another session has committed.
ENSURE_PARTITIONS = """
CREATE FUNCTION scrm_ensure_partitions(parent regclass, first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    month date := date_trunc('month', first_day);
    part text;
    created integer := 0;
BEGIN
    IF first_day < date '2000-01-01' OR last_day > date '2100-01-01' THEN
        RAISE EXCEPTION 'no partition for % to %', first_day, last_day USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF (SELECT relkind FROM pg_class WHERE oid = parent) <> 'p' THEN
        RAISE EXCEPTION '% is not partitioned', parent;
    END IF;
    WHILE month <= last_day LOOP
        part := (SELECT relname FROM pg_class WHERE oid = parent) || to_char(month, '"_"YYYYMM');
        IF NOT EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN
            PERFORM pg_advisory_xact_lock(hashtextextended('partition ' || part, 0));
            IF NOT EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN
                EXECUTE format('CREATE TABLE public.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
                EXECUTE format('ALTER TABLE %s ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                               parent, part, month, month + interval '1 month');
                IF session_user <> current_user THEN
                    EXECUTE format('REVOKE ALL ON public.%I FROM %I', part, session_user);
                END IF;
                created := created + 1;
            END IF;
        END IF;
        month := month + interval '1 month';
    END LOOP;
    RETURN created;
END $$;
"""


def create_brand(apps, schema_editor):
    """Every installation starts with one; its name is editable."""
    apps.get_model("scrm", "Brand").objects.create(code="MAIN", name="本品牌")


class Migration(migrations.Migration):
    replaces = [
        ("scrm", "0002_database_functions"),
        ("scrm", "0003_default_brand"),
        ("scrm", "0005_partition_once"),
        ("scrm", "0014_own_partitions"),
    ]

    dependencies = [("scrm", "0001_tables")]

    operations = [
        BtreeGistExtension(),
        migrations.RunSQL("CREATE SCHEMA staging", "DROP SCHEMA staging CASCADE"),
        migrations.RunSQL(ENSURE_PARTITIONS, "DROP FUNCTION scrm_ensure_partitions(regclass, date, date)"),
        migrations.RunPython(create_brand, migrations.RunPython.noop),
    ]
