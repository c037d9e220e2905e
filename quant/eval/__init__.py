"""What a bundle can do: HumanEval, infilling, holes in any folder; and the sandbox they need."""
