"""Networks trained on the tasks of the literature, by each of the remedies against vanishing gradients."""
