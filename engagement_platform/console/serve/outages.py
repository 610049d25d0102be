"""Tells the webhook of alerts what Dagster's sensor cannot: that its daemon is silent, or its storage away."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from engagement_platform.console.serve.dagster import present
from engagement_platform.console.serve.sampler import Beat, Sampler
from engagement_platform.domain.dagster_facts import DagsterFacts
from engagement_platform.domain.errors import EngagementError
from engagement_platform.health.outage import LOOK_SECONDS, OutageAlerts
from engagement_platform.settings import Settings, alerting, default_of

log = logging.getLogger(__name__)


def outage_alerts(sampler: Sampler, streams: Mapping[str, Settings | EngagementError]) -> Beat | None:
    """Return what tells it, to be started; None where nobody is told, or the settings of alerts cannot be used."""
    try:
        alert = alerting()
    except EngagementError as error:
        log.warning("%s", error)
        return None
    if not alert.url.get_secret_value():
        return None
    usable = (settings.state_dir for settings in streams.values() if isinstance(settings, Settings))
    alerts = OutageAlerts(alert, next(usable, Path(default_of("state_dir"))))

    def look() -> None:
        if said := look_at(sampler, alerts):
            log.warning("%s", said)

    return Beat("page-alerts", look, lambda: LOOK_SECONDS)


def look_at(sampler: Sampler, alerts: OutageAlerts) -> str:
    """Look at the latest sample; return why something could not be told.

    Before Dagster was looked at, or where nobody has said where it is, nothing is known of it and nothing told.
    """
    sample = sampler.latest
    if not sample.number or sample.dagster is None:
        return ""
    now = time.time()
    is_known = isinstance(present(sample.dagster, now), DagsterFacts)
    return alerts.look(sample.conditions, is_dagster_known=is_known, now=now)
