"""What a user's function finds under the names that it looks up while it is traced."""
