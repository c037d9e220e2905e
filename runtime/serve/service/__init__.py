"""What is served: one model, its requests and its settings."""
