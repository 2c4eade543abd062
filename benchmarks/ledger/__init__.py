"""The ledger: who should have heard what, kept outside the gateway, while everything around it fails."""
