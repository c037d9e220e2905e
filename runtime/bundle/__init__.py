"""The bundle: what export writes and the runtime reads, looked at before it is opened."""
