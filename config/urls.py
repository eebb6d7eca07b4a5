from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from activities.recording_views import PlayView, missing
from config import probes
from config.api import not_found
from sync import webhooks

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("connect/", include("integrations.urls")),
    path("webhooks/<slug:slug>/", webhooks.of_app, name="webhook_of_app"),
    path("webhooks/<slug:slug>/<uuid:token>/", webhooks.of_connection, name="webhook_of_connection"),
    path("api/v1/", include("sync.urls")),
    path("api/v1/", include("activities.urls")),
    path("api/recordings/<uuid:call_id>/play", PlayView.as_view(), name="play_recording"),
    path("api/recordings/<str:call_id>/play", missing),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    re_path(r"^api/", not_found),
    path("healthz", probes.alive, name="alive"),
    path("readyz", probes.ready, name="ready"),
]
