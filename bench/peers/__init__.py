"""Speed and memory beside other engines, on the same weights and the same work, in turns."""
