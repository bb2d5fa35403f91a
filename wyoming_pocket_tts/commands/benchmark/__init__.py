"""What the command ``benchmark`` does: measures which models this machine carries, and writes the choice down."""
