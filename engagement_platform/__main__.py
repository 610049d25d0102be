"""`python -m engagement_platform`: the same command."""

from engagement_platform.cli import main

main()
