#!/bin/sh
# Starts the service with the options of the app's page. What they mean, the package knows.
exec python -m wyoming_pocket_tts.home_assistant
