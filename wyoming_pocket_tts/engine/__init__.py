"""Many requests, few threads, limited memory."""
