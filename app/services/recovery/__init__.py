"""What is done about tasks whose worker, message or database went away."""
