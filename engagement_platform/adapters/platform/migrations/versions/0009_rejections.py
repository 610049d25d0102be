"""What each loop may still give up, over leases and drains."""

from engagement_platform.adapters.platform.migrate import execute

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table."""
    execute("""
        CREATE TABLE {schema}.rejection_credit (
            loop text PRIMARY KEY,
            credit integer NOT NULL CHECK (credit >= 0),
            changed_at timestamptz NOT NULL DEFAULT now()
        )""")
    execute("""
        COMMENT ON COLUMN {schema}.rejection_credit.credit IS
        'Accepted messages that were not used up for rejected ones. No row: nothing was ever rejected.'""")
