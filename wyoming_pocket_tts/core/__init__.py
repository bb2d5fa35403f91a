"""Contracts, errors, logging and system helpers that every other folder may import."""
