"""Files by their content: readers of each format, and the networks among the arrays. Nothing in a file is run."""
