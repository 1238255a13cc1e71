"""MLflow: a tracking server, or its database."""
