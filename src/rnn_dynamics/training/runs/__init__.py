"""Training itself: many runs at once, stopped and resumed, counted and compared."""
