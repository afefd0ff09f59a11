"""What the commands of the command line share: what goes in, and what comes out."""
