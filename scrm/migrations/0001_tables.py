"""Organisation, people, rights, jobs, what goes to WeCom and comes from it. One migration for all that stood before the first release."""

import django.contrib.auth.models
import django.contrib.auth.validators
import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import pgtrigger.compiler
import pgtrigger.migrations
import scrm.db
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    replaces = [
        ("scrm", "0001_initial"),
        ("scrm", "0004_device_tokens"),
        ("scrm", "0006_wecom_client"),
        ("scrm", "0007_wecom_inbox"),
        ("scrm", "0008_wecom_tickets"),
        ("scrm", "0009_wecom_outbox"),
        ("scrm", "0010_inbox_event_age"),
        ("scrm", "0011_wecom_check"),
        ("scrm", "0012_group_ways"),
        ("scrm", "0013_lost_group_ways"),
    ]

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('pghistory', '0007_auto_20250421_0444'),
    ]

    operations = [
        scrm.db.Together(
            operations=[
                migrations.CreateModel(
                    name='User',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('password', models.CharField(max_length=128, verbose_name='password')),
                        ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                        ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                        ('username', models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.', max_length=150, unique=True, validators=[django.contrib.auth.validators.UnicodeUsernameValidator()], verbose_name='username')),
                        ('first_name', models.CharField(blank=True, max_length=150, verbose_name='first name')),
                        ('last_name', models.CharField(blank=True, max_length=150, verbose_name='last name')),
                        ('email', models.EmailField(blank=True, max_length=254, verbose_name='email address')),
                        ('is_staff', models.BooleanField(default=False, help_text='Designates whether the user can log into this admin site.', verbose_name='staff status')),
                        ('is_active', models.BooleanField(default=True, help_text='Designates whether this user should be treated as active. Unselect this instead of deleting accounts.', verbose_name='active')),
                        ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='date joined')),
                        ('name', models.CharField(blank=True, max_length=64, verbose_name='name')),
                        ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                        ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
                    ],
                    options={
                        'verbose_name': 'user',
                        'verbose_name_plural': 'users',
                        'abstract': False,
                    },
                    managers=[
                        ('objects', django.contrib.auth.models.UserManager()),
                    ],
                ),
                migrations.CreateModel(
                    name='Act',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='at')),
                        ('verb', models.CharField(max_length=48, verbose_name='act')),
                        ('target_type', models.CharField(max_length=48, verbose_name='kind of target')),
                        ('target_id', models.CharField(max_length=64, verbose_name='target')),
                        ('reason', models.CharField(blank=True, max_length=256, verbose_name='reason')),
                        ('data', models.JSONField(default=dict, verbose_name='details')),
                        ('actor', models.ForeignKey(null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='actor')),
                    ],
                    options={
                        'verbose_name': 'act',
                        'verbose_name_plural': 'acts',
                        'abstract': False,
                        'indexes': [models.Index(fields=['target_type', 'target_id', '-id'], name='act_target')],
                    },
                ),
                migrations.CreateModel(
                    name='IdempotentAnswer',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('key', models.CharField(max_length=128)),
                        ('request_hash', models.CharField(max_length=64)),
                        ('status', models.PositiveSmallIntegerField(null=True)),
                        ('body', models.JSONField(null=True)),
                        ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                        ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ],
                    options={
                        'indexes': [models.Index(fields=['created_at'], name='idempotency_age')],
                        'constraints': [models.UniqueConstraint(fields=('user', 'key'), name='idempotency_key_once')],
                    },
                ),
                migrations.CreateModel(
                    name='Upload',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('purpose', models.CharField(max_length=32, verbose_name='purpose')),
                        ('name', models.CharField(max_length=255, verbose_name='file name')),
                        ('path', models.CharField(max_length=512)),
                        ('size', models.BigIntegerField(verbose_name='size in bytes')),
                        ('sha256', models.CharField(max_length=64)),
                        ('uploaded_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='uploaded at')),
                        ('expires_at', models.DateTimeField(verbose_name='deleted after')),
                        ('uploaded_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL, verbose_name='uploaded by')),
                    ],
                    options={
                        'verbose_name': 'upload',
                        'verbose_name_plural': 'uploads',
                    },
                ),
                migrations.CreateModel(
                    name='Job',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('kind', models.CharField(max_length=48, verbose_name='kind')),
                        ('key', models.CharField(max_length=200, null=True, unique=True)),
                        ('params', models.JSONField(default=dict, verbose_name='parameters')),
                        ('status', models.CharField(choices=[('QUEUED', 'queued'), ('RUNNING', 'running'), ('DONE', 'done'), ('FAILED', 'failed'), ('CANCELLED', 'cancelled')], default='QUEUED', max_length=12, verbose_name='status')),
                        ('stage', models.CharField(blank=True, max_length=48, verbose_name='stage')),
                        ('total_count', models.BigIntegerField(null=True, verbose_name='total')),
                        ('done_count', models.BigIntegerField(default=0, verbose_name='done so far')),
                        ('summary', models.JSONField(default=dict, verbose_name='summary')),
                        ('error', models.TextField(blank=True, verbose_name='error')),
                        ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at')),
                        ('started_at', models.DateTimeField(null=True, verbose_name='started at')),
                        ('heartbeat_at', models.DateTimeField(null=True)),
                        ('ended_at', models.DateTimeField(null=True, verbose_name='ended at')),
                        ('requested_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='requested by')),
                        ('upload', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='jobs', to='scrm.upload', verbose_name='file')),
                    ],
                    options={
                        'verbose_name': 'job',
                        'verbose_name_plural': 'jobs',
                        'indexes': [models.Index(condition=models.Q(('status__in', ['QUEUED', 'RUNNING'])), fields=['status', 'id'], name='job_open')],
                    },
                ),
                migrations.CreateModel(
                    name='JobProblem',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('line_no', models.BigIntegerField(verbose_name='line')),
                        ('column', models.CharField(blank=True, max_length=64, verbose_name='column')),
                        ('code', models.CharField(max_length=48, verbose_name='code')),
                        ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='problems', to='scrm.job')),
                    ],
                    options={
                        'verbose_name': 'broken row',
                        'verbose_name_plural': 'broken rows',
                        'constraints': [models.UniqueConstraint(fields=('job', 'line_no'), name='one_problem_per_row')],
                    },
                ),
                migrations.CreateModel(
                    name='Brand',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('code', models.CharField(max_length=32, unique=True, verbose_name='code')),
                        ('name', models.CharField(max_length=64, verbose_name='name')),
                    ],
                    options={
                        'verbose_name': 'brand',
                        'verbose_name_plural': 'brands',
                    },
                ),
                migrations.CreateModel(
                    name='LegalEntity',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('code', models.CharField(max_length=32, unique=True, verbose_name='code')),
                        ('name', models.CharField(max_length=128, verbose_name='name')),
                        ('kind', models.CharField(choices=[('HQ', 'HQ company'), ('DIRECT', 'direct company'), ('FRANCHISEE', 'franchisee')], max_length=16, verbose_name='kind')),
                        ('is_active', models.BooleanField(default=True, verbose_name='active')),
                    ],
                    options={
                        'verbose_name': 'legal entity',
                        'verbose_name_plural': 'legal entities',
                    },
                ),
                migrations.CreateModel(
                    name='LegalEntityEvent',
                    fields=[
                        ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                        ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                        ('pgh_label', models.TextField(help_text='The event label.')),
                        ('id', models.BigIntegerField()),
                        ('code', models.CharField(max_length=32, verbose_name='code')),
                        ('name', models.CharField(max_length=128, verbose_name='name')),
                        ('kind', models.CharField(choices=[('HQ', 'HQ company'), ('DIRECT', 'direct company'), ('FRANCHISEE', 'franchisee')], max_length=16, verbose_name='kind')),
                        ('is_active', models.BooleanField(default=True, verbose_name='active')),
                        ('pgh_context', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context')),
                        ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='scrm.legalentity')),
                    ],
                    options={
                        'abstract': False,
                    },
                ),
                migrations.CreateModel(
                    name='Region',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('code', models.CharField(max_length=32, unique=True, verbose_name='code')),
                        ('name', models.CharField(max_length=64, verbose_name='name')),
                        ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='children', to='scrm.region', verbose_name='parent')),
                    ],
                    options={
                        'verbose_name': 'region',
                        'verbose_name_plural': 'regions',
                    },
                ),
                migrations.CreateModel(
                    name='RegionEvent',
                    fields=[
                        ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                        ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                        ('pgh_label', models.TextField(help_text='The event label.')),
                        ('id', models.BigIntegerField()),
                        ('code', models.CharField(max_length=32, verbose_name='code')),
                        ('name', models.CharField(max_length=64, verbose_name='name')),
                        ('parent', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='scrm.region', verbose_name='parent')),
                        ('pgh_context', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context')),
                        ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='scrm.region')),
                    ],
                    options={
                        'abstract': False,
                    },
                ),
                migrations.CreateModel(
                    name='Store',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('code', models.CharField(max_length=32, unique=True, verbose_name='code')),
                        ('name', models.CharField(max_length=64, verbose_name='name')),
                        ('ownership', models.CharField(choices=[('DIRECT', 'direct store'), ('FRANCHISEE', 'franchised store')], max_length=16, verbose_name='ownership')),
                        ('city', models.CharField(blank=True, max_length=32, verbose_name='city')),
                        ('address', models.CharField(blank=True, max_length=256, verbose_name='address')),
                        ('longitude', models.DecimalField(blank=True, decimal_places=7, max_digits=10, null=True, verbose_name='longitude')),
                        ('latitude', models.DecimalField(blank=True, decimal_places=7, max_digits=10, null=True, verbose_name='latitude')),
                        ('opened_on', models.DateField(blank=True, null=True, verbose_name='opened on')),
                        ('closed_on', models.DateField(blank=True, null=True, verbose_name='closed on')),
                        ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='stores', to='scrm.legalentity', verbose_name='legal entity')),
                        ('region', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='stores', to='scrm.region', verbose_name='region')),
                    ],
                    options={
                        'verbose_name': 'store',
                        'verbose_name_plural': 'stores',
                        'constraints': [models.CheckConstraint(condition=models.Q(('closed_on__isnull', True), ('opened_on__isnull', True), ('closed_on__gte', models.F('opened_on')), _connector='OR'), name='store_closes_after_opening')],
                    },
                ),
                migrations.CreateModel(
                    name='StoreEvent',
                    fields=[
                        ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                        ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                        ('pgh_label', models.TextField(help_text='The event label.')),
                        ('id', models.BigIntegerField()),
                        ('code', models.CharField(max_length=32, verbose_name='code')),
                        ('name', models.CharField(max_length=64, verbose_name='name')),
                        ('ownership', models.CharField(choices=[('DIRECT', 'direct store'), ('FRANCHISEE', 'franchised store')], max_length=16, verbose_name='ownership')),
                        ('city', models.CharField(blank=True, max_length=32, verbose_name='city')),
                        ('address', models.CharField(blank=True, max_length=256, verbose_name='address')),
                        ('longitude', models.DecimalField(blank=True, decimal_places=7, max_digits=10, null=True, verbose_name='longitude')),
                        ('latitude', models.DecimalField(blank=True, decimal_places=7, max_digits=10, null=True, verbose_name='latitude')),
                        ('opened_on', models.DateField(blank=True, null=True, verbose_name='opened on')),
                        ('closed_on', models.DateField(blank=True, null=True, verbose_name='closed on')),
                        ('entity', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='scrm.legalentity', verbose_name='legal entity')),
                        ('pgh_context', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context')),
                        ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='scrm.store')),
                        ('region', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='scrm.region', verbose_name='region')),
                    ],
                    options={
                        'abstract': False,
                    },
                ),
                migrations.CreateModel(
                    name='Grant',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('role', models.CharField(choices=[('HQ_ADMIN', 'HQ administrator'), ('HQ_OPERATOR', 'HQ operator'), ('REGION_MANAGER', 'region manager'), ('FRANCHISEE_OWNER', 'franchisee owner'), ('STORE_MANAGER', 'store manager'), ('AUDITOR', 'auditor')], max_length=24, verbose_name='role')),
                        ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='grants', to=settings.AUTH_USER_MODEL, verbose_name='user')),
                        ('entity', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='scrm.legalentity', verbose_name='legal entity')),
                        ('region', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='scrm.region', verbose_name='region')),
                        ('store', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='scrm.store', verbose_name='store')),
                    ],
                    options={
                        'verbose_name': 'grant',
                        'verbose_name_plural': 'grants',
                        'constraints': [models.UniqueConstraint(fields=('user', 'role', 'region', 'entity', 'store'), name='grant_once', nulls_distinct=False), models.CheckConstraint(condition=models.Q(models.Q(('entity', None), ('region', None), ('role__in', ['HQ_ADMIN', 'HQ_OPERATOR']), ('store', None)), models.Q(('role', 'AUDITOR'), ('store', None)), models.Q(('region__isnull', False), ('role', 'REGION_MANAGER'), ('store', None)), models.Q(('entity__isnull', False), ('role', 'FRANCHISEE_OWNER'), ('store', None)), models.Q(('entity', None), ('region', None), ('role', 'STORE_MANAGER'), ('store__isnull', False)), _connector='OR'), name='grant_names_its_part')],
                    },
                ),
                migrations.CreateModel(
                    name='GrantEvent',
                    fields=[
                        ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                        ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                        ('pgh_label', models.TextField(help_text='The event label.')),
                        ('id', models.BigIntegerField()),
                        ('role', models.CharField(choices=[('HQ_ADMIN', 'HQ administrator'), ('HQ_OPERATOR', 'HQ operator'), ('REGION_MANAGER', 'region manager'), ('FRANCHISEE_OWNER', 'franchisee owner'), ('STORE_MANAGER', 'store manager'), ('AUDITOR', 'auditor')], max_length=24, verbose_name='role')),
                        ('pgh_context', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context')),
                        ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='scrm.grant')),
                        ('user', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
                        ('entity', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='scrm.legalentity', verbose_name='legal entity')),
                        ('region', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='scrm.region', verbose_name='region')),
                        ('store', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='scrm.store', verbose_name='store')),
                    ],
                    options={
                        'abstract': False,
                    },
                ),
                migrations.CreateModel(
                    name='DeviceToken',
                    fields=[
                        ('digest', models.CharField(max_length=128, primary_key=True, serialize=False)),
                        ('token_key', models.CharField(db_index=True, max_length=25)),
                        ('created', models.DateTimeField(auto_now_add=True)),
                        ('expiry', models.DateTimeField(blank=True, null=True)),
                        ('device', models.CharField(max_length=64, verbose_name='device')),
                        ('user', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
                    ],
                    options={
                        'verbose_name': 'login token',
                        'verbose_name_plural': 'login tokens',
                        'constraints': [models.UniqueConstraint(fields=('user', 'device'), name='one_token_per_device')],
                    },
                ),
                migrations.CreateModel(
                    name='Corp',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('corp_id', models.CharField(max_length=64, unique=True, verbose_name='corp id')),
                        ('name', models.CharField(max_length=128, verbose_name='name')),
                    ],
                    options={
                        'verbose_name': 'WeCom corp',
                        'verbose_name_plural': 'WeCom corps',
                    },
                ),
                migrations.CreateModel(
                    name='WecomApp',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('kind', models.CharField(choices=[('SELF_BUILT', 'self-built app'), ('CONTACT_SYNC', 'contact sync'), ('MINI_PROGRAM', 'mini-program')], max_length=16, verbose_name='kind')),
                        ('name', models.CharField(max_length=64, verbose_name='name')),
                        ('agent_id', models.BigIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)], verbose_name='agent id')),
                        ('secret_sealed', models.BinaryField()),
                        ('corp', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='apps', to='scrm.corp', verbose_name='WeCom corp')),
                    ],
                    options={
                        'verbose_name': 'WeCom app',
                        'verbose_name_plural': 'WeCom apps',
                        'constraints': [models.UniqueConstraint(fields=('corp', 'agent_id'), name='wecom_agent_once'), models.UniqueConstraint(condition=models.Q(('kind', 'CONTACT_SYNC')), fields=('corp',), name='one_contact_sync_per_corp'), models.CheckConstraint(condition=models.Q(models.Q(('agent_id__isnull', True), ('kind', 'CONTACT_SYNC')), models.Q(models.Q(('kind', 'CONTACT_SYNC'), _negated=True), ('agent_id__isnull', False)), _connector='OR'), name='wecom_app_names_its_agent')],
                    },
                ),
                migrations.CreateModel(
                    name='WecomToken',
                    fields=[
                        ('app', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='token', serialize=False, to='scrm.wecomapp')),
                        ('token_sealed', models.BinaryField(null=True)),
                        ('fetched_at', models.DateTimeField(null=True)),
                        ('expires_at', models.DateTimeField(null=True)),
                        ('refused_code', models.IntegerField(null=True)),
                        ('paused_until', models.DateTimeField(null=True)),
                    ],
                    options={
                        'verbose_name': 'WeCom token',
                        'verbose_name_plural': 'WeCom tokens',
                    },
                ),
                migrations.CreateModel(
                    name='WecomTicket',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('kind', models.CharField(choices=[('CORP', 'ticket of the corp'), ('APP', 'ticket of the app')], max_length=4, verbose_name='kind')),
                        ('ticket_sealed', models.BinaryField(null=True)),
                        ('expires_at', models.DateTimeField(null=True)),
                        ('refused_code', models.IntegerField(null=True)),
                        ('paused_until', models.DateTimeField(null=True)),
                        ('app', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tickets', to='scrm.wecomapp', verbose_name='WeCom app')),
                    ],
                    options={
                        'verbose_name': 'WeCom ticket',
                        'verbose_name_plural': 'WeCom tickets',
                        'constraints': [models.UniqueConstraint(fields=('app', 'kind'), name='one_ticket_per_app_and_kind')],
                    },
                ),
                migrations.CreateModel(
                    name='WecomPace',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('path', models.CharField(max_length=96, verbose_name='endpoint')),
                        ('allowance', models.FloatField()),
                        ('counted_at', models.DateTimeField()),
                        ('parallel_limit', models.PositiveSmallIntegerField(verbose_name='calls at a time')),
                        ('parallel_set_at', models.DateTimeField()),
                        ('blocked_until', models.DateTimeField(null=True, verbose_name='blocked until')),
                        ('block_count', models.PositiveSmallIntegerField(default=0)),
                        ('day', models.DateField(null=True)),
                        ('day_calls', models.IntegerField(db_default=0, verbose_name='calls of the day')),
                        ('corp', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='paces', to='scrm.corp', verbose_name='WeCom corp')),
                    ],
                    options={
                        'verbose_name': 'WeCom pace',
                        'verbose_name_plural': 'WeCom paces',
                        'constraints': [models.UniqueConstraint(fields=('corp', 'path'), name='one_pace_per_endpoint')],
                    },
                ),
                migrations.CreateModel(
                    name='WecomCheck',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('ended_at', models.DateTimeField(verbose_name='checked at')),
                        ('seconds', models.FloatField(verbose_name='duration')),
                        ('error_count', models.PositiveSmallIntegerField(verbose_name='errors')),
                        ('warning_count', models.PositiveSmallIntegerField(verbose_name='warnings')),
                        ('findings', models.JSONField(default=list)),
                        ('is_news', models.BooleanField(default=False)),
                        ('corp', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='checks', to='scrm.corp', verbose_name='WeCom corp')),
                    ],
                    options={
                        'verbose_name': 'self-check of WeCom',
                        'verbose_name_plural': 'self-checks of WeCom',
                        'indexes': [models.Index(fields=['corp', '-id'], name='wecom_check_newest')],
                    },
                ),
                migrations.CreateModel(
                    name='GroupWay',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('config_id', models.CharField(max_length=64, null=True, unique=True, verbose_name="WeCom's id")),
                        ('state', models.CharField(blank=True, max_length=30, verbose_name='state of the code')),
                        ('remark', models.CharField(blank=True, max_length=30, verbose_name='remark')),
                        ('status', models.CharField(choices=[('MAKING', 'being made'), ('LIVE', 'in use'), ('LOST', 'answer lost'), ('GONE', 'no longer at WeCom'), ('UNMADE', 'not made')], default='MAKING', max_length=8, verbose_name='state')),
                        ('asked_at', models.DateTimeField(auto_now_add=True, verbose_name='asked for at')),
                        ('compared_at', models.DateTimeField(null=True, verbose_name='compared at')),
                        ('error_code', models.CharField(blank=True, max_length=64, verbose_name='error code')),
                        ('wish', models.JSONField(null=True)),
                        ('attempt', models.PositiveSmallIntegerField(db_default=1, default=1, verbose_name='times asked for')),
                        ('claimed_id', models.CharField(blank=True, db_default='', max_length=64, verbose_name='id named by a person')),
                        ('look_count', models.PositiveIntegerField(db_default=0, default=0)),
                        ('looked_at', models.DateTimeField(null=True, verbose_name='looked for at')),
                        ('report', models.JSONField(null=True)),
                        ('corp', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='scrm.corp', verbose_name='WeCom corp')),
                    ],
                    options={
                        'verbose_name': 'group code',
                        'verbose_name_plural': 'group codes',
                        'indexes': [models.Index(condition=models.Q(('status', 'GONE'), _negated=True), fields=['corp', 'status'], name='group_way_counted')],
                        'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('status', 'LIVE'), _negated=True), ('config_id__isnull', False), _connector='OR'), name='group_way_live_has_its_id')],
                    },
                ),
                migrations.CreateModel(
                    name='CallbackEndpoint',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('name', models.SlugField(db_index=False, max_length=40, unique=True, verbose_name='name in the address')),
                        ('corp_id', models.CharField(max_length=64, verbose_name='corp id')),
                        ('token_sealed', models.BinaryField()),
                        ('aes_key_sealed', models.BinaryField()),
                        ('is_active', models.BooleanField(default=True, verbose_name='active')),
                    ],
                    options={
                        'verbose_name': 'callback endpoint',
                        'verbose_name_plural': 'callback endpoints',
                    },
                ),
                migrations.CreateModel(
                    name='InboxEvent',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('body_hash', models.CharField(max_length=64)),
                        ('body_sealed', models.BinaryField()),
                        ('event', models.CharField(max_length=64, verbose_name='event')),
                        ('change_type', models.CharField(blank=True, max_length=64, verbose_name='kind of change')),
                        ('aggregate', models.CharField(max_length=255, verbose_name='what it is about')),
                        ('event_at', models.DateTimeField(verbose_name='happened at')),
                        ('lane', models.CharField(choices=[('WELCOME', 'welcome'), ('NORMAL', 'normal')], default='NORMAL', max_length=12, verbose_name='lane')),
                        ('status', models.CharField(choices=[('RECEIVED', 'received'), ('PROCESSED', 'processed'), ('STALE', 'overtaken by a newer one'), ('UNKNOWN', 'nobody understands it yet'), ('PARKED', 'parked')], default='RECEIVED', max_length=12, verbose_name='status')),
                        ('attempts', models.PositiveSmallIntegerField(default=0, verbose_name='attempts')),
                        ('error_code', models.CharField(blank=True, max_length=64, verbose_name='problem')),
                        ('error_place', models.CharField(blank=True, max_length=200, verbose_name='place')),
                        ('received_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='received at')),
                        ('processed_at', models.DateTimeField(null=True, verbose_name='processed at')),
                        ('endpoint', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='scrm.callbackendpoint', verbose_name='callback endpoint')),
                    ],
                    options={
                        'verbose_name': 'WeCom event',
                        'verbose_name_plural': 'WeCom events',
                        'indexes': [models.Index(condition=models.Q(('status', 'RECEIVED')), fields=['-lane', 'id'], name='inbox_event_open'), models.Index(condition=models.Q(('status__in', ['UNKNOWN', 'PARKED'])), fields=['status', 'id'], name='inbox_event_left'), models.Index(fields=['aggregate', 'endpoint', 'event_at'], name='inbox_event_about'), django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['received_at'], name='inbox_event_age')],
                        'constraints': [models.UniqueConstraint(fields=('endpoint', 'body_hash'), name='inbox_event_once')],
                    },
                ),
                migrations.CreateModel(
                    name='OutboxMessage',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('topic', models.CharField(max_length=48, verbose_name='kind')),
                        ('key', models.CharField(max_length=200, verbose_name='key')),
                        ('payload_sealed', models.BinaryField()),
                        ('payload_hash', models.CharField(max_length=64)),
                        ('record', models.CharField(blank=True, max_length=200, verbose_name='what it is about')),
                        ('lane', models.CharField(choices=[('WELCOME', 'welcome'), ('NORMAL', 'normal')], default='NORMAL', max_length=12, verbose_name='lane')),
                        ('status', models.CharField(choices=[('WAITING', 'waiting to be sent'), ('SENDING', 'being sent'), ('DONE', 'done'), ('REFUSED', 'refused'), ('UNKNOWN', 'unknown whether done'), ('CANCELLED', 'cancelled'), ('EXPIRED', 'too late')], default='WAITING', max_length=12, verbose_name='status')),
                        ('attempts', models.PositiveSmallIntegerField(default=0, verbose_name='attempts')),
                        ('checks', models.PositiveSmallIntegerField(default=0, verbose_name='looked after')),
                        ('not_before', models.DateTimeField(null=True, verbose_name='next try')),
                        ('expires_at', models.DateTimeField(null=True, verbose_name='too late after')),
                        ('lease_until', models.DateTimeField(null=True)),
                        ('answer_sealed', models.BinaryField(null=True)),
                        ('error_code', models.CharField(blank=True, max_length=64, verbose_name='problem')),
                        ('error_detail', models.CharField(blank=True, max_length=64, verbose_name="WeCom's code")),
                        ('created_at', models.DateTimeField(verbose_name='created at')),
                        ('queued_at', models.DateTimeField()),
                        ('settled_at', models.DateTimeField(null=True, verbose_name='settled at')),
                        ('corp', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='scrm.corp', verbose_name='WeCom corp')),
                        ('requested_by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='requested by')),
                    ],
                    options={
                        'verbose_name': 'message to WeCom',
                        'verbose_name_plural': 'messages to WeCom',
                        'indexes': [models.Index(condition=models.Q(('status', 'WAITING')), fields=['topic', 'corp', 'not_before', 'id'], name='outbox_waiting'), models.Index(condition=models.Q(('status__in', ['WAITING', 'SENDING', 'UNKNOWN']), models.Q(('record', ''), _negated=True)), fields=['corp', 'record', 'id'], name='outbox_open_of_record'), models.Index(condition=models.Q(('status', 'SENDING')), fields=['lease_until'], name='outbox_sending'), models.Index(condition=models.Q(('status__in', ['REFUSED', 'UNKNOWN'])), fields=['status', 'id'], name='outbox_left'), models.Index(condition=models.Q(('status__in', ['DONE', 'CANCELLED', 'EXPIRED'])), fields=['settled_at'], name='outbox_ended')],
                        'constraints': [models.UniqueConstraint(fields=('topic', 'corp', 'key'), name='outbox_message_once')],
                    },
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='act',
                    trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='dbd5f32840113b3b762eed3294994d25050d12d6', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_6eabd', table='scrm_act', when='BEFORE')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='legalentity',
                    trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_legalentityevent" ("code", "id", "is_active", "kind", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."code", new_values."id", new_values."is_active", new_values."kind", new_values."name", _pgh_attached_context.value, NOW(), \'insert\', new_values."id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='8ae953fd1490ab45e914e3696f58ddfddd0e5fdc', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_e377c', referencing='REFERENCING NEW TABLE AS new_values ', table='scrm_legalentity', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='legalentity',
                    trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_legalentityevent" ("code", "id", "is_active", "kind", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."code", new_values."id", new_values."is_active", new_values."kind", new_values."name", _pgh_attached_context.value, NOW(), \'update\', new_values."id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='74bc7a8d41b0caad5e3e8ceb2ead390e8a6e8b6b', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_d52d5', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='scrm_legalentity', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='legalentity',
                    trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_legalentityevent" ("code", "id", "is_active", "kind", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT old_values."code", old_values."id", old_values."is_active", old_values."kind", old_values."name", _pgh_attached_context.value, NOW(), \'delete\', old_values."id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='6571acc4bee88d77a14629d9ec31ebc934fd7bfb', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_2e0bf', referencing='REFERENCING OLD TABLE AS old_values ', table='scrm_legalentity', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='region',
                    trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_regionevent" ("code", "id", "name", "parent_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."code", new_values."id", new_values."name", new_values."parent_id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='9ec192060c2da093b997e76801725f3e949a156d', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_64550', referencing='REFERENCING NEW TABLE AS new_values ', table='scrm_region', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='region',
                    trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_regionevent" ("code", "id", "name", "parent_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."code", new_values."id", new_values."name", new_values."parent_id", _pgh_attached_context.value, NOW(), \'update\', new_values."id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='2bf2b0e36938053e4373f9f2711850e371948658', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_605dd', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='scrm_region', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='region',
                    trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_regionevent" ("code", "id", "name", "parent_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT old_values."code", old_values."id", old_values."name", old_values."parent_id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='3a41a3b4eba51ae08439ceead393451274278ffb', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_c6541', referencing='REFERENCING OLD TABLE AS old_values ', table='scrm_region', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='store',
                    trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_storeevent" ("address", "city", "closed_on", "code", "entity_id", "id", "latitude", "longitude", "name", "opened_on", "ownership", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "region_id") SELECT new_values."address", new_values."city", new_values."closed_on", new_values."code", new_values."entity_id", new_values."id", new_values."latitude", new_values."longitude", new_values."name", new_values."opened_on", new_values."ownership", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."region_id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='db1a1cb7e96cef91573d8ab82a0598139ca840bc', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_81564', referencing='REFERENCING NEW TABLE AS new_values ', table='scrm_store', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='store',
                    trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_storeevent" ("address", "city", "closed_on", "code", "entity_id", "id", "latitude", "longitude", "name", "opened_on", "ownership", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "region_id") SELECT new_values."address", new_values."city", new_values."closed_on", new_values."code", new_values."entity_id", new_values."id", new_values."latitude", new_values."longitude", new_values."name", new_values."opened_on", new_values."ownership", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."region_id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='8c917e8e37efb48f0f4211801b02113fa37f13b6', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_02ccb', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='scrm_store', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='store',
                    trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_storeevent" ("address", "city", "closed_on", "code", "entity_id", "id", "latitude", "longitude", "name", "opened_on", "ownership", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "region_id") SELECT old_values."address", old_values."city", old_values."closed_on", old_values."code", old_values."entity_id", old_values."id", old_values."latitude", old_values."longitude", old_values."name", old_values."opened_on", old_values."ownership", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."region_id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='4263701d868b7460973904de355baeb4ec730496', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_0e426', referencing='REFERENCING OLD TABLE AS old_values ', table='scrm_store', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='grant',
                    trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_grantevent" ("entity_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "region_id", "role", "store_id", "user_id") SELECT new_values."entity_id", new_values."id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."region_id", new_values."role", new_values."store_id", new_values."user_id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='e044c8fa90b24ee86dcc3a511618e631a51cad42', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_dc2db', referencing='REFERENCING NEW TABLE AS new_values ', table='scrm_grant', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='grant',
                    trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_grantevent" ("entity_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "region_id", "role", "store_id", "user_id") SELECT new_values."entity_id", new_values."id", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."region_id", new_values."role", new_values."store_id", new_values."user_id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='c2297930abb87bc18fbcad4de9ca518d2e6814e2', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_a997f', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='scrm_grant', when='AFTER')),
                ),
                pgtrigger.migrations.AddTrigger(
                    model_name='grant',
                    trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "scrm_grantevent" ("entity_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "region_id", "role", "store_id", "user_id") SELECT old_values."entity_id", old_values."id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."region_id", old_values."role", old_values."store_id", old_values."user_id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='438f536eff391776d8e9b92a8c3f34727025b314', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_6b2f0', referencing='REFERENCING OLD TABLE AS old_values ', table='scrm_grant', when='AFTER')),
                ),
            ],
        ),
    ]
