"""The endpoints by topic: every module of this package is imported, and registers its own."""
