"""What may fool somebody although no rule is broken: looked for in bars, signals, sources and files."""
