"""What holds for every run, and what two runs of related worlds have in common."""
