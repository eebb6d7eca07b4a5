import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

import integrations.registry


class Migration(migrations.Migration):
    """Dead jobs of before get their cause from the sweep that runs every minute, some thousands at a time."""

    atomic = False

    dependencies = [("sync", "0011_alerts"), ("integrations", "0005_shares_and_turns")]

    operations = [
        migrations.CreateModel(
            name="Deployment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.CharField(max_length=100, unique=True, verbose_name="version")),
                (
                    "seen_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="first seen"
                    ),
                ),
            ],
            options={
                "verbose_name": "deployment",
                "verbose_name_plural": "deployments",
                "db_table": "deployments",
                "ordering": ["-seen_at"],
            },
        ),
        migrations.CreateModel(
            name="FailureAction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("batch", models.UUIDField(default=uuid.uuid4)),
                ("fingerprint", models.CharField(max_length=24)),
                (
                    "what",
                    models.CharField(
                        choices=[
                            ("try", "One was tried again"),
                            ("replay", "All were tried again"),
                            ("dismiss", "Dismissed"),
                        ],
                        max_length=10,
                        verbose_name="what",
                    ),
                ),
                ("about", models.TextField(blank=True, default="", verbose_name="about")),
                ("reason", models.TextField(blank=True, default="", verbose_name="reason")),
                ("by", models.CharField(max_length=200, verbose_name="by")),
                (
                    "asked_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="when"),
                ),
                ("after", models.BigIntegerField(default=0)),
                ("jobs", models.PositiveIntegerField(default=0, verbose_name="jobs")),
                ("events", models.PositiveIntegerField(default=0, verbose_name="events")),
                ("left", models.PositiveIntegerField(default=0, verbose_name="left as they were")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="handed over")),
            ],
            options={
                "verbose_name": "action on failures",
                "verbose_name_plural": "actions on failures",
                "db_table": "failure_actions",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="FailureCause",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("fingerprint", models.CharField(max_length=24)),
                (
                    "provider",
                    models.CharField(choices=integrations.registry.provider_choices, max_length=40, verbose_name="CRM"),
                ),
                ("kind", models.CharField(max_length=40, verbose_name="what")),
                ("cause", models.CharField(blank=True, default="", max_length=60, verbose_name="cause")),
                ("code", models.CharField(blank=True, default="", max_length=100, verbose_name="the CRM's code")),
                ("fields", models.JSONField(default=list, verbose_name="fields")),
                ("words", models.TextField(blank=True, default="", verbose_name="in the CRM's words")),
                ("first_seen", models.DateTimeField(verbose_name="first seen")),
                ("last_seen", models.DateTimeField(verbose_name="last seen")),
                ("total", models.PositiveBigIntegerField(default=0, verbose_name="failures so far")),
            ],
            options={
                "verbose_name": "cause of failures",
                "verbose_name_plural": "causes of failures",
                "db_table": "failure_causes",
                "ordering": ["-last_seen", "-id"],
            },
        ),
        migrations.CreateModel(
            name="FailureHour",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("fingerprint", models.CharField(max_length=24)),
                ("hour", models.DateTimeField(verbose_name="hour")),
                ("failures", models.PositiveIntegerField(default=0, verbose_name="failures")),
            ],
            options={
                "verbose_name": "failures of an hour",
                "verbose_name_plural": "failures by hour",
                "db_table": "failure_hours",
            },
        ),
        migrations.AddField(
            model_name="inboxevent",
            name="fingerprint",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=24),
        ),
        migrations.AddField(
            model_name="syncjob",
            name="batch",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="syncjob",
            name="fingerprint",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=24),
        ),
        migrations.AlterField(
            model_name="syncjob",
            name="state",
            field=models.CharField(
                choices=[
                    ("ready", "Waiting"),
                    ("leased", "Being worked on"),
                    ("done", "Done"),
                    ("dead", "Needs help"),
                    ("dismissed", "Dismissed"),
                ],
                default="ready",
                max_length=10,
                verbose_name="state",
            ),
        ),
        AddIndexConcurrently(
            model_name="inboxevent",
            index=models.Index(
                condition=models.Q(("state", "failed")), fields=["tenant", "fingerprint", "id"], name="event_by_cause"
            ),
        ),
        AddIndexConcurrently(
            model_name="syncjob",
            index=models.Index(
                condition=models.Q(("state", "dead")), fields=["tenant", "fingerprint", "id"], name="job_by_cause"
            ),
        ),
        AddIndexConcurrently(
            model_name="syncjob",
            index=models.Index(
                condition=models.Q(("fingerprint", ""), ("state", "dead")), fields=["id"], name="job_unsorted"
            ),
        ),
        AddIndexConcurrently(
            model_name="syncjob",
            index=models.Index(
                condition=models.Q(("batch__isnull", False)), fields=["batch", "state"], name="job_of_batch"
            ),
        ),
        migrations.AddField(
            model_name="failureaction",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="integrations.tenant"
            ),
        ),
        migrations.AddField(
            model_name="failurecause",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="integrations.tenant"
            ),
        ),
        migrations.AddField(
            model_name="failurehour",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="integrations.tenant"
            ),
        ),
        migrations.AddIndex(
            model_name="failureaction",
            index=models.Index(fields=["tenant", "fingerprint", "-id"], name="failure_action_newest"),
        ),
        migrations.AddIndex(
            model_name="failureaction",
            index=models.Index(condition=models.Q(("finished_at", None)), fields=["id"], name="failure_action_open"),
        ),
        migrations.AddConstraint(
            model_name="failureaction",
            constraint=models.UniqueConstraint(fields=("batch", "tenant"), name="failure_action_once_per_tenant"),
        ),
        migrations.AddIndex(
            model_name="failurecause",
            index=models.Index(fields=["-last_seen"], name="failure_cause_newest"),
        ),
        migrations.AddConstraint(
            model_name="failurecause",
            constraint=models.UniqueConstraint(fields=("tenant", "fingerprint"), name="failure_cause_once"),
        ),
        migrations.AddIndex(
            model_name="failurehour",
            index=models.Index(fields=["hour"], name="failure_hour_by_age"),
        ),
        migrations.AddConstraint(
            model_name="failurehour",
            constraint=models.UniqueConstraint(fields=("tenant", "fingerprint", "hour"), name="failure_hour_once"),
        ),
    ]
