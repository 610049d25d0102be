"""`python -m engagement_platform.local.generator`: the command `generate` by itself, as the demo starts it."""

import sys

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.generator.commands import generate

try:
    generate()
except EngagementError as error:
    sys.exit(str(error))
