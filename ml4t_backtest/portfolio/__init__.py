"""Cash and positions, corporate actions on them, and the states recorded of them."""
