"""The smallest interfaces to the outside: log, stores, a chain at rest, time and concurrent work."""
