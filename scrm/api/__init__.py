"""The kernel of the API: who calls, what an error looks like, how lists page, how a write is safe to repeat."""
