"""From written text to spoken segments."""
