#!/bin/sh
# Starts the service with the options of the app's page; the package translates them into settings.
exec python -m wyoming_pocket_tts.home_assistant.app
