"""Speed and memory, measured: our engine and its peers on the same data, the same orders and the same fills."""
