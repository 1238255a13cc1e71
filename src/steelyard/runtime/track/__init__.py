"""Tracked runs on disk: who writes them, who reads them, who mirrors them."""
