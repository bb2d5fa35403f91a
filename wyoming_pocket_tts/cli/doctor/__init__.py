"""Checks of the machine, the network and the service."""
