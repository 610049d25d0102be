"""The tables as they are now, each still the one that was ensured."""

from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery import tables
from engagement_platform.adapters.warehouse.bigquery.failures import explained
from engagement_platform.adapters.warehouse.bigquery.jobs import Jobs
from engagement_platform.adapters.warehouse.port import TableUnusable
from engagement_platform.domain.table import Table


class PresentTables:
    """The tables of one dataset. A table that was made anew since it was first looked at is not used."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._dataset = str(jobs.address)
        self._identities: dict[str, str] = {}

    def ensure(self, table: Table) -> str:
        """Create dataset, table and columns where they are missing, and return the table's identity."""
        with explained(self._dataset, f"preparing {table.name}"):
            self._jobs.location = tables.ensure_dataset(self._jobs)
            present = tables.ensure_table(self._jobs, table)
        self._identities[table.name] = identity = tables.identity_of(present)
        return identity

    def has(self, table: Table) -> bool:
        """Say whether the table is there, and change nothing."""
        with explained(self._dataset, f"looking at {table.name}"):
            return tables.find_table(self._jobs, table) is not None

    def identity(self, table: Table) -> str:
        """Return what tells the table from another one of its name. Raises TableUnusable."""
        if table.name not in self._identities:
            self.now(table)
        return self._identities[table.name]

    def now(self, table: Table) -> bigquery.Table:
        """Return the table as it is. Raises TableUnusable when it is missing, or another one than the ensured one."""
        reference = tables.reference(self._jobs.address, table)
        with explained(self._dataset, f"reading {table.name}"):
            present = tables.get_table(self._jobs, reference)
            identity = tables.identity_of(present)
        if identity != self._identities.setdefault(table.name, identity):
            raise TableUnusable(
                f"The table {reference} was made anew while it was in use.",
                "Its days have to be rebuilt: start the process again.",
            )
        return present

    def writable(self, table: Table) -> bigquery.Table:
        """Return the table as it is, with all columns: another form may have come since `ensure`."""
        present = self.now(table)
        with explained(self._dataset, f"adding a column to {table.name}"):
            return tables.with_columns(self._jobs, present, table)
