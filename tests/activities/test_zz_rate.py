import time
import pytest
from tests.activities.test_dialer_webhooks import *
from tests.activities.test_dialer_webhooks import dialer, endpoint

@pytest.mark.django_db(transaction=True)
def test_rate(endpoint, dialer):
    with tenancy.everyone():
        DialerMessage.objects.bulk_create([dialer_webhooks.made(endpoint, LOGGED, None, {"id": "x"}) for _ in range(1000)])
    t = time.monotonic()
    deliver(str(endpoint.pk))
    print("RATE", len(dialer.heard) / (time.monotonic() - t), len(dialer.heard))
