"""Delivery to a partner that misbehaves, for minutes: `make soak`. Short forms are among the tests."""
