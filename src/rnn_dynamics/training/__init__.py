"""Training recurrent and deep networks: tasks, remedies, and what each does to the gradient."""
