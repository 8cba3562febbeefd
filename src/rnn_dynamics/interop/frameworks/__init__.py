"""Networks in memory, of a module or its weights by name: one file for each framework."""
