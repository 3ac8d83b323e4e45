"""Where questions and documents come from, and how text becomes token ids."""
