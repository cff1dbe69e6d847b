"""Book-keeping: summed clipped gradients of single examples for the price of about one ordinary backward pass."""
