"""The order in which the replacements of one day of one table take effect.

BigQuery compares nothing when a job begins: a process that was frozen before it sent its job may wake up and send it
after a later replacement. What BigQuery does keep apart is job ids. So the replacements of a day take turns: the job of
turn 0 has one id, that of turn 1 the next, and the number of the replacement stands in the job's labels. Whoever wants
to replace the day looks at the last turn that was taken, waits until its job has ended, and may take the next turn
only if no higher number stands there. If another process takes it first, the id is refused (409), and the look begins
again. Hence

* the jobs of a day run one after the other, in the order of their turns, and their numbers never fall;
* a replacement that was looked at before it froze finds its turn taken by whoever overtook it;
* a job that was sent is found again under its id, so a replacement whose answer was lost is not sent twice;
* to retire a replacement is to take the next turn under its number with a query that does nothing.

Turns are taken without a gap, so the last one is found by doubling and halving: a few look-ups, one for a day that an
instance has seen before. BigQuery forgets jobs after 180 days; a process that was frozen for longer is not kept out.
"""

from collections.abc import Callable, Mapping

from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery.jobs import Job, Jobs, failure_of
from engagement_platform.adapters.warehouse.port import Overtaken, Replacement

_NUMBER = "engagement_number"
_ATTEMPT = "engagement_attempt"
_RETIRED = "engagement_retired"

Send = Callable[[str, Mapping[str, str]], Job]
"""Sends the job of a replacement under an id and with labels."""


class Turns:
    """The turns of one day. `name` is part of the jobs' ids: letters, digits, `_` and `-`."""

    def __init__(self, jobs: Jobs, name: str) -> None:
        self._jobs = jobs
        self._name = name
        self._taken = -1
        """The highest turn that is known to be taken."""

    def done(self, replacement: Replacement) -> Job | None:
        """Return the job by which a replacement has taken effect, or None when it may be written.

        Raises Overtaken, and LoadFailed when its attempt is used up.
        """
        job = self._last()
        if job is None or _number(job) < replacement.number:
            return None
        if _number(job) > replacement.number or _is_retired(job):
            raise Overtaken(f"{replacement.table.name} of {replacement.day}: number {replacement.number}")
        failure = failure_of(job)
        if failure is None:
            return job
        if _attempt(job) >= replacement.attempt:
            raise failure
        return None

    def write(self, replacement: Replacement, send: Send, doing: str) -> Job:
        """Replace the day, once, and return the job. Raises Overtaken and LoadFailed, as `done` does."""
        labels = {_NUMBER: str(replacement.number), _ATTEMPT: str(replacement.attempt)}
        while (job := self.done(replacement)) is None:
            self._take(lambda job_id: send(job_id, labels), doing)
        return job

    def retire(self, replacement: Replacement) -> bool:
        """Keep a replacement, under whatever attempt, from taking effect from now on; say whether it has.

        Of one that a later number has replaced nothing is left, so that counts as no effect.
        """
        labels = {_NUMBER: str(replacement.number), _ATTEMPT: str(replacement.attempt), _RETIRED: "yes"}
        config = bigquery.QueryJobConfig(labels=labels, use_query_cache=False)
        while True:
            job = self._last()
            if job is not None and _number(job) >= replacement.number:
                if self._in_effect(job, replacement):
                    return True
                if _number(job) > replacement.number or _is_retired(job):
                    return False
            self._take(lambda job_id: self._jobs.query("SELECT 1", job_id, config), "retiring a replacement")

    def _in_effect(self, job: Job, replacement: Replacement) -> bool:
        """Say whether the day's rows are those of a replacement, by the turns from the last one backwards."""
        turn = self._taken
        while job is not None and (failure_of(job) is not None or _is_retired(job)):
            turn -= 1
            earlier = self._jobs.find(self._id(turn)) if turn >= 0 else None
            if earlier is None or _number(earlier) < replacement.number:
                return False
            job = earlier
        return _number(job) == replacement.number

    def _last(self) -> Job | None:
        """Return the job of the last turn, ended; None when no turn was taken."""
        newest: Job | None = None
        low, step = self._taken, 1
        while (job := self._jobs.find(self._id(low + step))) is not None:
            newest, low, step = job, low + step, step * 2
        free = low + step
        while free - low > 1:
            middle = (low + free) // 2
            job = self._jobs.find(self._id(middle))
            if job is None:
                free = middle
            else:
                newest, low = job, middle
        self._taken = low
        if newest is None and low >= 0:
            newest = self._jobs.find(self._id(low))
        return None if newest is None else self._jobs.ended(newest)

    def _take(self, send: Callable[[str], Job], doing: str) -> None:
        """Take the turn behind the last one, or leave it to a faster one; whose it is, shows at the next look."""
        job_id = self._id(self._taken + 1)
        self._jobs.sent(job_id, lambda: send(job_id), doing)

    def _id(self, turn: int) -> str:
        return f"{self._name}_{turn}"


def _number(job: Job) -> int:
    return int(job.labels[_NUMBER])


def _attempt(job: Job) -> int:
    return int(job.labels[_ATTEMPT])


def _is_retired(job: Job) -> bool:
    return _RETIRED in job.labels
