"""A month opened by the owner itself (a sample, a restore, an upgrade) stays readable by the owner: dumps read every partition."""

from django.db import migrations

# As in 0005; who opens the month loses the rights on the partition itself only if it is not the owner.
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

# Months that the owner has opened since 0005.
GIVE_BACK = """
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN
        SELECT oid FROM pg_class WHERE relispartition AND relkind = 'r' AND relnamespace = 'public'::regnamespace
            AND relowner = current_user::regrole AND NOT has_table_privilege(current_user, oid, 'SELECT')
    LOOP
        EXECUTE format('GRANT ALL ON %s TO %I', part, current_user);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("scrm", "0013_lost_group_ways")]

    operations = [
        migrations.RunSQL(ENSURE_PARTITIONS, migrations.RunSQL.noop),
        migrations.RunSQL(GIVE_BACK, migrations.RunSQL.noop),
    ]
