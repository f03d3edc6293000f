"""The runners under `peers/` belong to the peers' environments; nothing here may import them."""

collect_ignore_glob = ["peers/*"]
