"""What a user calls: from a function to a function that computes derivatives."""
