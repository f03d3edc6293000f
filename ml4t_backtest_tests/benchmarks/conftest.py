"""The runners belong to the environments of the engines they run; nothing here imports them."""

collect_ignore_glob = ["runners/*"]
