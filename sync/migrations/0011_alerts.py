import django.contrib.postgres.functions
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import integrations.fields
import uuid
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sync", "0010_links_by_table"), ("integrations", "0005_shares_and_turns")]

    operations = [
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('error_rate', 'Many errors'), ('latency', 'Events wait too long'), ('breaker', 'The CRM keeps failing'), ('queue', 'The queue is long'), ('reconnect', 'Needs reconnecting'), ('stale', 'Nothing was read'), ('workers', 'No worker is alive')], max_length=20, verbose_name='what')),
                ('severity', models.CharField(choices=[('bad', 'Urgent'), ('warning', 'Warning')], max_length=10, verbose_name='severity')),
                ('facts', models.JSONField(default=dict, verbose_name='facts')),
                ('seen_since', models.DateTimeField(verbose_name='first seen')),
                ('last_seen_at', models.DateTimeField(verbose_name='last seen')),
                ('opened_at', models.DateTimeField(null=True, verbose_name='open since')),
                ('resolved_at', models.DateTimeField(null=True, verbose_name='over since')),
                ('quiet_until', models.DateTimeField(null=True)),
                ('reopened', models.PositiveIntegerField(db_default=0, default=0, verbose_name='came back')),
                ('episode', models.PositiveIntegerField(db_default=0, default=0)),
                ('told', models.CharField(blank=True, choices=[('', 'nobody was told'), ('opened', 'told that it is open'), ('resolved', 'told that it is over')], db_default='', default='', max_length=10)),
                ('acknowledged_at', models.DateTimeField(null=True, verbose_name='taken on')),
                ('acknowledged_by', models.CharField(blank=True, db_default='', default='', max_length=200, verbose_name='taken on by')),
            ],
            options={
                'verbose_name': 'alert',
                'verbose_name_plural': 'alerts',
                'db_table': 'alerts',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='AlertDelivery',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('episode', models.PositiveIntegerField(default=1)),
                ('event', models.CharField(choices=[('opened', 'It is open'), ('resolved', 'It is over')], max_length=10, verbose_name='what')),
                ('channel', models.CharField(choices=[('mail', 'E-mail'), ('webhook', 'Webhook')], max_length=10, verbose_name='by')),
                ('target', models.CharField(max_length=2000, verbose_name='to')),
                ('state', models.CharField(choices=[('ready', 'Waiting'), ('sent', 'Taken'), ('dead', 'Given up')], default='ready', max_length=10, verbose_name='state')),
                ('attempts', models.PositiveIntegerField(default=0, verbose_name='attempts')),
                ('not_before', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='not before')),
                ('status', models.PositiveSmallIntegerField(null=True, verbose_name='answer')),
                ('error', models.TextField(blank=True, default='', verbose_name='problem')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created')),
                ('finished_at', models.DateTimeField(null=True, verbose_name='finished')),
            ],
            options={
                'verbose_name': 'notice of an alert',
                'verbose_name_plural': 'notices of alerts',
                'db_table': 'alert_deliveries',
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='AlertSettings',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(auto_now_add=True, db_default=django.db.models.functions.datetime.Now(), verbose_name='created')),
                ('updated_at', models.DateTimeField(auto_now=True, db_default=django.db.models.functions.datetime.Now(), verbose_name='changed')),
                ('error_rate_percent', models.FloatField(db_default=5.0, default=5.0, validators=[django.core.validators.MinValueValidator(0.1), django.core.validators.MaxValueValidator(100)], verbose_name='errors, in percent of the work of an hour')),
                ('error_rate_least', models.PositiveIntegerField(db_default=3, default=3, help_text='So that one failure in a quiet night, which is all of its hour, wakes nobody.', validators=[django.core.validators.MinValueValidator(1)], verbose_name='and at least so many failures')),
                ('latency_minutes', models.PositiveIntegerField(db_default=5, default=5, validators=[django.core.validators.MinValueValidator(1)], verbose_name='minutes that a call, an edit or an event may wait')),
                ('queue_depth', models.PositiveIntegerField(db_default=1000, default=1000, help_text='Calls, edits and events; loads and comparisons are not counted, since they may be long.', validators=[django.core.validators.MinValueValidator(1)], verbose_name='pieces of work that may wait')),
                ('stale_minutes', models.PositiveIntegerField(db_default=30, default=30, validators=[django.core.validators.MinValueValidator(10)], verbose_name='minutes without anything read')),
                ('quiet_kinds', models.JSONField(blank=True, db_default=[], default=list, help_text='They still stand on the first page.', verbose_name='tell nobody of')),
                ('mail_admins', models.BooleanField(db_default=True, default=True, verbose_name='e-mail to all admins of the tenant')),
                ('mail_to', models.JSONField(blank=True, db_default=[], default=list, verbose_name='e-mail also to')),
                ('webhook_url', models.URLField(blank=True, db_default='', default='', max_length=2000, verbose_name='webhook')),
                ('webhook_secret', integrations.fields.EncryptedText(blank=True, null=True, verbose_name='secret')),
            ],
            options={
                'verbose_name': 'alert settings',
                'verbose_name_plural': 'alert settings',
                'db_table': 'alert_settings',
            },
        ),
        migrations.CreateModel(
            name='ConnectionHour',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('hour', models.DateTimeField(verbose_name='hour')),
                ('synced', models.PositiveIntegerField(db_default=0, default=0, verbose_name='records synced')),
                ('done', models.PositiveIntegerField(db_default=0, default=0, verbose_name='jobs done')),
                ('dead', models.PositiveIntegerField(db_default=0, default=0, verbose_name='jobs failed')),
                ('latency_ms', models.PositiveBigIntegerField(db_default=0, default=0, verbose_name='latency of all, added up')),
                ('latency_count', models.PositiveIntegerField(db_default=0, default=0, verbose_name='jobs with a latency')),
                ('latency_max_ms', models.PositiveBigIntegerField(db_default=0, default=0, verbose_name='longest latency')),
                ('queue', models.PositiveIntegerField(db_default=0, default=0, verbose_name='waiting at the last look')),
                ('queue_max', models.PositiveIntegerField(db_default=0, default=0, verbose_name='most that waited')),
                ('requests', models.PositiveIntegerField(db_default=0, default=0, verbose_name='requests')),
                ('failures', models.PositiveIntegerField(db_default=0, default=0, verbose_name='failed requests')),
                ('throttled', models.PositiveIntegerField(db_default=0, default=0, verbose_name='refused for their number')),
                ('quota_percent', models.PositiveSmallIntegerField(null=True, verbose_name='most of a quota used')),
                ('sampled_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='last look')),
            ],
            options={
                'verbose_name': 'hour of a connection',
                'verbose_name_plural': 'hours of connections',
                'db_table': 'connection_hours',
                'ordering': ['connection_id', 'hour'],
            },
        ),
        migrations.AddField(
            model_name='syncjob',
            name='replayed_at',
            field=models.DateTimeField(null=True, verbose_name='put back to work'),
        ),
        migrations.AddField(
            model_name='alert',
            name='connection',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='alerts', to='integrations.crmconnection'),
        ),
        migrations.AddField(
            model_name='alert',
            name='tenant',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.tenant'),
        ),
        migrations.AddField(
            model_name='alertdelivery',
            name='alert',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='sync.alert'),
        ),
        migrations.AddField(
            model_name='alertdelivery',
            name='tenant',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.tenant'),
        ),
        migrations.AddField(
            model_name='alertsettings',
            name='tenant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.tenant'),
        ),
        migrations.AddField(
            model_name='connectionhour',
            name='connection',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='hours', to='integrations.crmconnection'),
        ),
        migrations.AddField(
            model_name='connectionhour',
            name='tenant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.tenant'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(fields=['tenant', '-id'], name='alert_newest'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(fields=['resolved_at'], name='alert_by_end'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.UniqueConstraint(condition=models.Q(('connection__isnull', False), ('resolved_at', None)), fields=('connection', 'kind'), name='one_open_alert_per_kind'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.UniqueConstraint(condition=models.Q(('connection', None), ('resolved_at', None)), fields=('kind',), name='one_open_alert_of_the_site'),
        ),
        migrations.AddIndex(
            model_name='alertdelivery',
            index=models.Index(condition=models.Q(('state', 'ready')), fields=['not_before'], name='alert_notice_due'),
        ),
        migrations.AddConstraint(
            model_name='alertdelivery',
            constraint=models.UniqueConstraint(fields=('alert', 'episode', 'event', 'channel', 'target'), name='one_notice_per_address'),
        ),
        migrations.AddConstraint(
            model_name='alertsettings',
            constraint=models.UniqueConstraint(fields=('tenant',), name='one_alert_settings_per_tenant'),
        ),
        migrations.AddIndex(
            model_name='connectionhour',
            index=models.Index(fields=['hour'], name='hours_by_age'),
        ),
        migrations.AddConstraint(
            model_name='connectionhour',
            constraint=models.UniqueConstraint(fields=('connection', 'hour'), name='one_row_per_hour'),
        ),
        AddIndexConcurrently(
            model_name='syncjob',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['finished_at'], name='job_finished'),
        ),
        AddIndexConcurrently(
            model_name='syncjob',
            index=models.Index(condition=models.Q(('state', 'dead')), fields=['connection', 'kind'], name='job_dead_of_connection'),
        ),
        AddIndexConcurrently(
            model_name='syncrecord',
            index=models.Index(fields=['last_synced_at'], include=('connection',), name='link_by_sync'),
        ),
    ]
