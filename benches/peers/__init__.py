"""The peers that listenkit is measured beside: their environment, their drivers, the report."""
