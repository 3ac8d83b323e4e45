"""One file a stage that a pipeline names, and what several of them do: the only files that loop, log and touch disk."""
