"""The two versions of Welkin's chat API behind one port, and what they share on the way to Welkin."""
