"""Two sessions that open the same month at the same moment: the second one must see what the first has committed."""

from django.db import migrations

# As in 0002, but what exists is read from pg_class. After waiting for the lock, to_regclass would answer from this
# session's cache, which does not know the table yet, and CREATE TABLE would fail.
ENSURE_PARTITIONS = """
CREATE OR REPLACE FUNCTION scrm_ensure_partitions(parent regclass, first_day date, last_day date) RETURNS integer
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
                EXECUTE format('REVOKE ALL ON public.%I FROM %I', part, session_user);
                created := created + 1;
            END IF;
        END IF;
        month := month + interval '1 month';
    END LOOP;
    RETURN created;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("scrm", "0004_device_tokens")]

    operations = [migrations.RunSQL(ENSURE_PARTITIONS, migrations.RunSQL.noop)]
