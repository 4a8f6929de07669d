"""The driver: records go to roles, roles' duties are performed, time and retries live here."""
