"""Model families. Each is a flax.linen module with the methods of dense.Model."""
