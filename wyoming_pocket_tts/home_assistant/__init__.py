"""The Home Assistant app."""
