"""The service as a Home Assistant app: options of its page become settings, and the Supervisor learns where it is."""
