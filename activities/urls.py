from django.urls import path

from activities.api import BulkCallsView, CallsView, CallView
from activities.recording_tokens import RecordingTokenView

urlpatterns = [
    path("calls/", CallsView.as_view(), name="calls"),
    path("calls/bulk/", BulkCallsView.as_view(), name="calls_bulk"),
    path("calls/<uuid:call_id>/recording-token/", RecordingTokenView.as_view(), name="recording_token"),
    path("calls/<uuid:call_id>/", CallView.as_view(), name="call"),
]
