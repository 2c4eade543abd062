"""The two versions of Welkin's chat API behind one port."""
