"""`/metrics`: what the latest sample tells, as Prometheus and OpenMetrics write it. A scrape reads no server.

What each metric is stands in `domain.metrics`, what its value is in `domain.metric_values`; here both become text.
While the platform's database is away the answer is there all the same, with `engagement_up 0`.
"""

import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from engagement_platform import __version__
from engagement_platform.console.serve.dagster import present
from engagement_platform.console.serve.sampler import Sample, StreamSample
from engagement_platform.domain import metric_values, metrics
from engagement_platform.domain.dagster_facts import DagsterFacts
from engagement_platform.domain.latency import Latencies, counts_up_to
from engagement_platform.domain.metric_values import Reading, StreamReading
from engagement_platform.health.read import Status

if TYPE_CHECKING:
    from engagement_platform.console.serve.site import Site


def routes(site: "Site") -> Sequence[BaseRoute]:
    """Return the route of the metrics."""

    def answer(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(OfReading(reading_of(site.sampler.latest))), media_type=content_type)

    return [Route("/metrics", answer)]


class OfReading(Collector):
    """Tells an encoder of prometheus-client what one reading has."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Family]:
        """Yield the metrics."""
        return families(metric_values.samples(self._reading))


def reading_of(sample: Sample) -> Reading:
    """Return what a sample has for metrics."""
    dagster = present(sample.dagster, time.time())
    return Reading(
        at=sample.at,
        version=__version__,
        python=platform.python_version(),
        streams={name: _stream(stream) for name, stream in sample.streams.items()},
        conditions=sample.conditions,
        dagster=dagster if isinstance(dagster, DagsterFacts) else None,
        is_dagster_asked=dagster is not None,
    )


def _stream(stream: StreamSample) -> StreamReading | None:
    status = stream.status
    if not isinstance(status, Status):
        return None
    expected = status.terms.expected
    return StreamReading(
        name=stream.name,
        destinations={loop.name: loop.destination for loop in expected},
        promises={loop.destination: loop.promise for loop in expected},
        is_kept_alive=status.terms.is_kept_alive,
        snapshot=status.snapshot,
        loops=status.loops,
        pauses=status.pauses,
        totals=status.totals,
        letters=None if isinstance(status.letters, str) else status.letters.by_reason,
        kept=stream.kept,
        shards=status.shards if status.is_divided else (),
    )


def families(samples: Iterable[metric_values.Sample]) -> Iterator[Family]:
    """Yield each metric that has samples, with all of them, in the order in which metrics are declared."""
    by_metric: dict[str, list[metric_values.Sample]] = {}
    for sample in samples:
        by_metric.setdefault(sample.metric.name, []).append(sample)
    for metric in metrics.METRICS:
        if metric.name in by_metric:
            yield _family(metric, by_metric[metric.name])


def _family(metric: metrics.Metric, samples: Sequence[metric_values.Sample]) -> Family:
    match metric.kind:
        case metrics.Kind.COUNTER:
            counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels, unit=metric.unit)
            for sample in samples:
                counter.add_metric(sample.labels, _number(sample))
            return counter
        case metrics.Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels, unit=metric.unit)
            for sample in samples:
                assert isinstance(sample.value, Latencies), "a histogram has latencies"  # noqa: S101
                histogram.add_metric(sample.labels, _buckets(sample.value), sample.value.sum)
            return histogram
        case metrics.Kind.STATE_SET:
            states = StateSetMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample in samples:
                states.add_metric(sample.labels, {state: state == sample.value for state in metric.states})
            return states
        case metrics.Kind.INFO:
            info = InfoMetricFamily(metric.name, metric.help)
            for sample in samples:
                info.add_metric((), dict(zip(metric.labels, sample.labels, strict=True)))
            return info
    gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels, unit=metric.unit)
    for sample in samples:
        gauge.add_metric(sample.labels, _number(sample))
    return gauge


def _number(sample: metric_values.Sample) -> float:
    assert isinstance(sample.value, int | float), "counters and gauges are numbers"  # noqa: S101
    return sample.value


def _buckets(latencies: Latencies) -> list[tuple[str, float]]:
    counts = counts_up_to(latencies, metrics.BOUNDS)
    return [
        *((str(bound), float(count)) for bound, count in zip(metrics.BOUNDS, counts, strict=True)),
        ("+Inf", float(latencies.count)),
    ]
