"""Numbers, dates, units and symbols to words, in seven languages."""
