"""Seeded runs whose orders and figures are pinned: a change of behaviour is seen, and decided on."""
