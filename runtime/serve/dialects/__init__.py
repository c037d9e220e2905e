"""The dialects that are spoken, a folder each."""
