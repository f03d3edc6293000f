"""What other libraries make of our exports, in an environment of their own."""
