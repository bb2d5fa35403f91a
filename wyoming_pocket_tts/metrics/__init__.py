"""What an operator sees of the service: counters, histograms, health. Knows how to ask, not how anything works."""
