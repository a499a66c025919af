"""Every method by name: builders by family, and the table."""
