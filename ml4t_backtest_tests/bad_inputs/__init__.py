"""Bad inputs, declared: what is spoiled, where, and what each must get; see README.md."""
