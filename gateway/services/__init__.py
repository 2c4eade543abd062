"""What the gateway does, through ports only."""
