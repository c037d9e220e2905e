"""Builds the wheels of all systems on one machine, and checks them; nothing here is installed."""
