"""What one Region's publisher says of a target: its form, how it is read, and where it is kept."""
