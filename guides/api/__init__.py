"""The guide's mini-program: one view per screen or act."""
