"""What a network is trained with: initial weights, cells, optimizers, penalties and other remedies, composed."""
