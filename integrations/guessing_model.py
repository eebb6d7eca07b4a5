"""How often somebody guessed wrong."""

from django.db import models

from integrations.moments import short


class GuessCount(models.Model):
    """Failures under one key: a person at an address, a person, or an address. The key is a digest, for people type passwords
    where names belong, and nobody has to know who tried to sign in from where."""

    key = models.CharField(max_length=64, primary_key=True)
    failures = models.IntegerField()
    last_at = models.DateTimeField(db_index=True)
    wait_until = models.DateTimeField(null=True)

    class Meta:
        db_table = "guess_counts"

    def __str__(self) -> str:
        return f"{self.failures} failures, last {short(self.last_at)}"
