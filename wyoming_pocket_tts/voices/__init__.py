"""Voices and satellites: catalog, matching, the user's own voices."""
