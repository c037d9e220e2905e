"""The demo bundle of refact-edge, in the folder `bundle`: files to read, nothing to run."""
