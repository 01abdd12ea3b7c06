"""The groups of the command `prodtest`, a file each."""
