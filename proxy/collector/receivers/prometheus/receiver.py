"""Receiver `prometheus`: scrapes targets and passes on what they say.

Owns the clock of each scrape and the list of targets; text and points are proxy.otlp's. A scrape
is taken as a whole or not at all, as Prometheus does; its work is done in portions, so that one
large target does not make others wait.
"""

from __future__ import annotations

import asyncio

from proxy import tasks
from proxy.collector.batch import Batch
from proxy.collector.context import Context
from proxy.collector.receivers.prometheus.fetch import Fetcher, ScrapeError, lines
from proxy.collector.receivers.prometheus.relabel import relabelling
from proxy.collector.receivers.prometheus.settings import Group, Scrape, Settings
from proxy.collector.receivers.prometheus.targets import Place, TargetFiles, places
from proxy.errors import ConfigError, Problem
from proxy.formats.prometheus.target import Identity, LimitError, Limits, ScrapedTarget
from proxy.formats.prometheus.text import TextError, parse
from proxy.otlp.metric_bytes import Request

PORTION = 250  # samples read, or points written, between two chances for others: 0.5 to 5 ms
BATCH = 10_000  # points of a batch


class Job:
    """The targets of one scrape_config, each with a task of its own."""

    def __init__(self, settings: Settings, job: Scrape, context: Context) -> None:
        self._settings = job
        self._context = context
        self._interval = settings.interval(job)
        self._timeout = settings.timeout(job)
        self._fetcher = Fetcher(job, self._timeout)
        self._relabel = relabelling(job.metric_relabel_configs)
        self._limits = Limits(
            job.sample_limit,
            job.label_limit,
            job.label_name_length_limit,
            job.label_value_length_limit,
        )
        self._files = [TargetFiles(f.files, self._warn_file) for f in job.file_sd_configs]
        self._running: dict[Place, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        count = context.counters.counter
        name = "spangate.prometheus.scrapes"
        self._good = count(name, "Scrapes that succeeded.", job=job.job_name)
        self._duplicates = count(
            "spangate.prometheus.samples.dropped",
            "Samples that were there twice, incomplete, or cannot be; and such exemplars.",
            job=job.job_name,
        )

    @property
    def targets(self) -> list[Place]:
        return list(self._running)

    async def start(self) -> None:
        try:
            self._fetcher.start()
        except (OSError, ValueError) as error:
            text = f"{self._context.id}: job {self._settings.job_name}: {error}"
            raise ConfigError([Problem("", text)]) from error
        for files in self._files:
            files.read()
        self._update()
        if self._files:
            every = min(float(f.refresh_interval) for f in self._settings.file_sd_configs)
            self._watch = tasks.spawn(self._watching(max(every, 0.01)), "prometheus targets")

    async def stop(self) -> None:
        await tasks.cancel(self._watch, *self._running.values())
        self._running.clear()
        await self._fetcher.close()

    # -- which targets ----------------------------------------------------------------------------

    async def _watching(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            changed = [await asyncio.to_thread(files.read) for files in self._files]
            if any(changed):
                self._update()

    def _update(self) -> None:
        groups: list[Group] = [*self._settings.static_configs]
        for files in self._files:
            groups += files.groups()
        wanted = places(self._settings, groups)
        for place in self._running.keys() - wanted.keys():
            self._running.pop(place).cancel()
        for place in wanted:
            if place not in self._running:
                name = f"scrape {place.url}"
                self._running[place] = tasks.spawn(self._follow(place), name)

    def _warn_file(self, text: str) -> None:
        self._count_failure("target_file")
        self._context.condition.warn(text)

    # -- one target -------------------------------------------------------------------------------

    async def _follow(self, place: Place) -> None:
        """Scrapes of one target, at its beat, until it is gone."""
        job = self._settings
        identity = Identity(
            dict(place.labels), place.attributes(), job.honor_labels, job.honor_timestamps
        )
        target = ScrapedTarget(identity, self._relabel, self._limits)
        loop = asyncio.get_running_loop()
        # Not all at once: each has its own place in the interval.
        due = loop.time() + self._context.random() * self._interval
        try:
            while True:
                await asyncio.sleep(due - loop.time())
                await self._scrape(place.url, target)
                missed = (loop.time() - due) // self._interval
                due += self._interval * (1 + max(0, missed))
        except asyncio.CancelledError:
            if place not in self._running:  # the target has gone, not we
                self._bury(target)
            raise

    async def _scrape(self, url: str, target: ScrapedTarget) -> None:
        loop = asyncio.get_running_loop()
        target.begin(self._context.now_ns())
        begun = loop.time()
        reason = await self._read(url, target)
        seconds = loop.time() - begun
        request = Request()
        if reason:
            self._count_failure(reason)
            target.fail(request)
        else:
            self._good.add()
            while target.write(request, PORTION):
                if request.items >= BATCH:
                    self._push(request)
                    request = Request()
                await asyncio.sleep(0)
            target.finish(request)
            self._count_lost(url, target)
        target.report(request, not reason, seconds)
        self._push(request)

    async def _read(self, url: str, target: ScrapedTarget) -> str:
        """Why it failed, "" if it did not."""
        try:
            async with asyncio.timeout(self._timeout):
                body, openmetrics = await self._fetcher.fetch(url)
                samples = parse(lines(body), openmetrics, target.families)
                while target.take(samples, PORTION):
                    await asyncio.sleep(0)
            return ""
        except TimeoutError:
            reason, text = "timeout", f"not complete within {self._timeout:g} s"
        except ScrapeError as error:
            reason, text = error.reason, str(error)
        except LimitError as error:
            reason, text = "limit", str(error)
        except (TextError, UnicodeDecodeError) as error:
            reason, text = "malformed", str(error)
        self._context.condition.warn(f"{_shown(url)}: {text}")
        return reason

    def _count_lost(self, url: str, target: ScrapedTarget) -> None:
        """What the page said and cannot be; the rest was taken."""
        lost = target.dropped + target.families.left_out
        self._duplicates.add(target.duplicates + lost)
        if lost:
            why = f", such as {target.trouble}" if target.trouble else ""
            text = f"{lost} samples or exemplars left out{why}"
            self._context.condition.warn(f"{_shown(url)}: {text}")
        else:
            self._context.condition.over()

    def _bury(self, target: ScrapedTarget) -> None:
        request = Request()
        target.begin(self._context.now_ns())
        target.fail(request)
        target.report(request, None)
        self._push(request)

    def _push(self, request: Request) -> None:
        if request.items:
            self._context.outlet.push(Batch("metrics", request.serialise(), request.items))

    def _count_failure(self, reason: str) -> None:
        self._context.counters.counter(
            "spangate.prometheus.scrape.failures",
            "Scrapes that failed, and files of targets that cannot be used.",
            job=self._settings.job_name,
            reason=reason,
        ).add()


class PrometheusReceiver:
    """A Source."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self.jobs = [Job(settings, job, context) for job in settings.scrape_configs]

    async def start(self) -> None:
        for job in self.jobs:
            await job.start()

    async def stop(self, deadline: float) -> None:
        await asyncio.gather(*(job.stop() for job in self.jobs))


def _shown(url: str) -> str:
    return url.partition("?")[0]  # a parameter may be a secret


def make(settings: Settings, context: Context) -> PrometheusReceiver:
    return PrometheusReceiver(settings, context)
