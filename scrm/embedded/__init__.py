"""PostgreSQL and Valkey from their wheels, for a machine that has neither. Production names its own servers by URL."""
