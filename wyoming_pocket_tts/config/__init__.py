"""Settings: schema, sources, diagnostics."""
