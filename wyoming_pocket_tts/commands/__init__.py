"""What the commands do. Knows nothing about how options are written; ``cli.py`` hands their values in."""
