"""Our models behind the field's own harnesses: inspect_ai (extra 'eval') and lm-eval (extra 'lm-eval').

  inspect_provider.py  r1jax/PATH as a model of inspect_ai, a vote as its reducer, our grader as its scorer
  lm_eval.py           R1JaxLM, and the command that lm-eval's own becomes with it
  asking.py            what both ask: prompts of any kind, together in slots
  likelihood.py        log-probabilities of given tokens, and whether greedy decoding would have said them
  messages.py          a talk as a prompt, by a model's template
  local_data.py        data sets of the hub from files of one's own

Neither harness is imported before it is asked for. docs/harnesses.md has the commands.
"""
