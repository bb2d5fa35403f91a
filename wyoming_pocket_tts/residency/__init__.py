"""Synthesizers that need not be in memory all the time: loaded when they are asked for, unloaded when room is needed,
and opened anew when they broke. Knows no model, no client and no protocol.

``policy.py`` decides who leaves, ``ledger.py`` notes who is there and who speaks with whom, ``residency.py`` loads,
unloads and watches, ``resident.py`` is what speaks.
"""
