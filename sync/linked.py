"""Tells the apps above that contacts of ours got a record in a CRM, so that what waited for it can go on."""

from django.dispatch import Signal

contacts_linked = Signal()
"""Sent with `connection` and `contact_ids`, in the transaction that links them."""
