"""The publisher function: observe every Region, decide, write the document, announce the changes."""
