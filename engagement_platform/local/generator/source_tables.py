"""The tables of the source, as the media company has them: the generator stands for their owner."""

from importlib import resources

import psycopg
from psycopg import sql


def create_source_tables(owner_url: str) -> None:
    """Create the two source tables in a database, readable by the platform's role, where they are not there yet."""
    text = resources.files(__package__).joinpath("source_tables.sql").read_text(encoding="utf-8")
    with psycopg.connect(owner_url) as connection:
        connection.execute(sql.SQL(text))  # the package's own file
