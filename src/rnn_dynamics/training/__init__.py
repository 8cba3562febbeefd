"""Training: tasks, remedies, and what they do to the gradient."""
