"""Values and pure rules: schemas, orders, fills, events, chunks."""
