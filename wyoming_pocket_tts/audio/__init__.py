"""Sound in and out: effects, files, recordings."""
