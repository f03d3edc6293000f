"""What a pipeline around the stages needs, whoever runs it: what is kept, checked, shown and due."""
