"""Remote types: what is said of them."""
