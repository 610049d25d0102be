"""Streams engagement events from PostgreSQL to Kafka, Redis, partner APIs and a warehouse, run by Dagster."""

__version__ = "0.1.0"
