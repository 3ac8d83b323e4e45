"""The table: one row a benchmark. Section numbers are the paper's; prompts are asked as their source has them."""

import dataclasses

RUNNERS = {'ours': 'r1jax evaluate', 'inspect': 'inspect_ai', 'lm-eval': 'lm-eval', 'endpoint': 'its own program'}


@dataclasses.dataclass(frozen=True)
class Benchmark:
  """A benchmark as section 3 asks it.

  Attributes:
    name: what --tasks and eval/NAME call it.
    title: as the paper's tables print it.
    tables: which of them it is in; () for one that the paper names without a score.
    metric: what the paper counts, as a key of scores.json.
    counted_as: what the harness calls it, where that is another word.
    questions: how many it has; 0: as many as the file.
    source: 'hf:' of the published data, or 'file' where there is none to name; by a user's file all can be given.
    file: which file its publisher has, where source is 'file'.
    licence: of the data, as its publisher says.
    checked: where id, number of questions and licence were looked up; '' where they were not.
    prompt: text with {question}; '' where the program that runs it has its own.
    prompt_from: whose prompt it is.
    shots: worked examples before the question.
    layout: of data/layouts.py, for those that we run.
    sha256: of the data file, where it is known; what was read is written to settings.json and compared by a person.
    judge: the model whose verdict counts; '' for a rule.
    runs: one of RUNNERS.
    official: the one that makes the published numbers, of those that we run by a judge of the user's.
    task: what that harness, or the official one, calls it.
    command: what runs it there.
    language: of its questions, where it is not English.
  """
  name: str
  title: str
  tables: tuple[str, ...]
  metric: str
  questions: int
  source: str
  licence: str
  prompt: str = ''
  prompt_from: str = ''
  shots: int = 0
  layout: str = ''
  sha256: str = ''
  judge: str = ''
  runs: str = 'ours'
  official: str = ''
  task: str = ''
  counted_as: str = ''
  command: str = ''
  language: str = ''
  file: str = ''
  checked: str = ''


# DeepSeek-R1's model card, usage recommendations.
BOXED = '{question}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.'
BOXED_FROM = "DeepSeek-R1's model card"
# simple-evals, common.py (MIT).
CHOICE = ("Answer the following multiple choice question. The last line of your response should be of the following "
          "format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before answering."
          '\n\n{question}')
# simple-evals, drop_eval.py (MIT); data/layouts.py puts the examples before it.
DROP = ('You will be asked to read a passage and answer a question. Some examples of passages and Q&A are provided '
        'below.\n\n# Examples{question}\n\nThink step by step, then write a line of the form "Answer: $ANSWER" at the '
        'end of your response.')
# The original is few-shot; the paper made it zero-shot and does not print how. The words are ours.
WSC = '{question}\n\n请逐步思考，最后一行写“Answer: A”或“Answer: B”。'
PROGRAM = ('{question}\n\nThink it through step by step, then give the whole program in one ```python block. Where no '
           'starter code is given it reads standard input and writes to standard output.')
SUBMISSION = ('{question}\n\nThink it through step by step, then give the whole program in one ```python block: it '
              'reads standard input and writes to standard output.')
OURS = 'ours: the paper does not print one'
ASIS = '{question}'

_ENDPOINT = 'r1jax serve --checkpoint=DIR --port=8000, then '
# Its proxy finds the articles; the script asks port 8000.
_PROXIED = ('r1jax serve --checkpoint=DIR --port=8001, then optillm --base-url http://localhost:8001/v1, then '
            'OPENAI_API_KEY=none ')
_KEY = 'OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none '
_SAMPLING = '--gen_kwargs temperature=0.6,top_p=0.95,do_sample=True,max_gen_toks=32768 '


def _lm_eval(name: str, task: str) -> str:
  # turns: tasks describe themselves in a system prompt. think_end_token: what a task looks for, and what ends its
  # answers, may stand in the reasoning too.
  return ('python -m r1jax.harness.lm_eval run --model_args "path=DIR,turns=join,think_end_token=</think>" '
          f'--apply_chat_template --num_fewshot 0 {_SAMPLING}--tasks {task} --output_path WORKDIR/eval/{name}')


def _inspect(name: str, task: str) -> str:
  return (f'inspect eval {task} --model r1jax/DIR --temperature 0.6 --top-p 0.95 --max-tokens 32768 '
          f'--max-connections 1024 --log-format json --log-dir WORKDIR/eval/{name}')


_ROWS = (
    # --- maths
    Benchmark('aime_2024', 'AIME 2024', ('table2', 'table4', 'table5', 'table6'), 'pass@1', 30,
              'hf:HuggingFaceH4/aime_2024@train', 'its card has none', BOXED, BOXED_FROM, layout='math_integers',
              checked='its hub page'),
    Benchmark('aime_2025', 'AIME 2025', (), 'pass@1', 30, 'hf:math-ai/aime25@test', 'not checked', BOXED, BOXED_FROM,
              layout='math_integers', checked='inspect_evals 0.26'),
    Benchmark('math_500', 'MATH-500', ('table2', 'table4', 'table5', 'table6'), 'pass@1', 500,
              'hf:HuggingFaceH4/MATH-500@test', 'its card has none', BOXED, BOXED_FROM, layout='math',
              checked='its hub page'),
    Benchmark('cnmo_2024', 'CNMO 2024', ('table4',), 'pass@1', 18, 'hf:opencompass/LiveMathBench/v202412_CNMO_en@test',
              'CC-BY-4.0, gated', BOXED, BOXED_FROM, layout='math', checked='its hub page'),
    # --- knowledge
    Benchmark('gpqa_diamond', 'GPQA Diamond', ('table2', 'table4', 'table5', 'table6'), 'pass@1', 198,
              'hf:Idavidrein/gpqa/gpqa_diamond@train', 'CC-BY-4.0, gated', CHOICE, 'simple-evals', layout='gpqa',
              checked='its hub page; inspect_evals 0.26'),
    # lm-eval's mmlu_generative wants a letter alone on the first line; simple-evals' prompt is the paper's.
    Benchmark('mmlu', 'MMLU', ('table4',), 'accuracy', 14042, 'hf:cais/mmlu', 'not checked',
              prompt_from='simple-evals, by inspect_evals', runs='inspect', task='inspect_evals/mmlu_0_shot',
              counted_as='accuracy', command=_inspect('mmlu', 'inspect_evals/mmlu_0_shot -T cot=true'),
              checked='id: inspect_evals 0.26, which leaves 27 duplicates out'),
    # Of edinburgh-dawg/mmlu-redux-2.0's 5,700 questions those without a known error.
    Benchmark('mmlu_redux', 'MMLU-Redux', ('table4',), 'accuracy', 5330, 'hf:fxmarty/mmlu-redux-2.0-ok',
              'not checked', prompt_from='lm-eval', runs='lm-eval', task='mmlu_redux_generative',
              counted_as='exact_match', command=_lm_eval('mmlu_redux', 'mmlu_redux_generative'),
              checked='id: lm-eval 0.4.13'),
    Benchmark('mmlu_pro', 'MMLU-Pro', ('table4',), 'accuracy', 12032, 'hf:TIGER-Lab/MMLU-Pro', 'MIT',
              prompt_from='lm-eval', runs='lm-eval', task='mmlu_pro', counted_as='exact_match',
              command=_lm_eval('mmlu_pro', 'mmlu_pro'),
              checked='its hub page; inspect_evals 0.26'),
    Benchmark('drop', 'DROP', ('table4',), 'f1', 9536, 'file', 'not checked', DROP, 'simple-evals', shots=3,
              layout='drop', file='drop_v0_dev.jsonl.gz and drop_v0_train.jsonl.gz of simple-evals',
              checked='simple-evals, commit ee3b031'),
    Benchmark('if_eval', 'IF-Eval', ('table4',), 'prompt_strict', 541, 'hf:google/IFEval', 'not checked',
              prompt_from='lm-eval', runs='lm-eval', task='ifeval', counted_as='prompt_level_strict_acc',
              command=_lm_eval('if_eval', 'ifeval'), checked='lm-eval 0.4.13; inspect_evals 0.26'),
    Benchmark('simpleqa', 'SimpleQA', ('table4',), 'correct', 4326, 'file', 'MIT', ASIS, 'simple-evals',
              layout='simpleqa', judge='a language model', official='inspect', task='inspect_evals/simpleqa',
              counted_as='correct', command=_inspect('simpleqa', 'inspect_evals/simpleqa'),
              file='simple_qa_test_set.csv of simple-evals',
              checked='simple-evals, commit ee3b031; inspect_evals 0.26'),
    Benchmark('frames', 'FRAMES', ('table4',), 'accuracy', 824, 'hf:google/frames-benchmark@test', 'Apache-2.0', ASIS,
              'its publisher, without the articles', layout='frames', judge='a language model', official='endpoint',
              task='optillm frames', command=_PROXIED + 'python scripts/eval_frames_benchmark.py --model r1jax',
              checked='copies that name their source'),
    # --- instructions, judged in pairs by GPT-4-Turbo-1106 on the final summary alone
    Benchmark('alpaca_eval', 'AlpacaEval2.0', ('table4',), 'lc_winrate', 805,
              'file', 'CC-BY-NC-4.0', ASIS, 'alpaca_eval',
              layout='alpaca_eval', judge='GPT-4-Turbo-1106', official='endpoint', task='alpaca_eval',
              command=_ENDPOINT + 'alpaca_eval evaluate_from_model --model_configs r1 '
              '--annotators_config weighted_alpaca_eval_gpt4_turbo',
              file='alpaca_eval_gpt4_baseline.json of hf:tatsu-lab/alpaca_eval', checked='alpaca_eval 0.6.6'),
    Benchmark('arena_hard', 'ArenaHard', ('table4',), 'winrate', 500, 'file', 'Apache-2.0',
              ASIS, 'arena-hard-auto', layout='arena_hard', judge='GPT-4-Turbo-1106', official='endpoint',
              task='arena-hard-auto',
              command=_ENDPOINT + 'python gen_answer.py, '
              'python gen_judgment.py --setting-file config/arena-hard-v0.1.yaml, '
              'python show_result.py --benchmark arena-hard-v0.1 --judge-names gpt-4-1106-preview '
              '--category arena-hard-v0.1',
              file='data/arena-hard-v0.1 of arena-hard-auto', checked='arena-hard-auto, commit 196f6b8'),
    # --- code
    Benchmark('livecodebench', 'LiveCodeBench', ('table2', 'table4', 'table5', 'table6'), 'pass@1', 0,
              'file', 'CC', PROGRAM, OURS, layout='livecodebench',
              file='test.jsonl to test6.jsonl of hf:livecodebench/code_generation_lite', checked='its hub page'),
    Benchmark('codeforces', 'Codeforces', ('table2', 'table4', 'table5'), 'rating', 0, 'file', 'of Codeforces',
              SUBMISSION, OURS, layout='codeforces'),
    Benchmark('humaneval', 'HumanEval', (), 'pass@1', 164, 'hf:openai/openai_humaneval@test', 'not checked',
              '{question}', OURS, layout='humaneval', checked='inspect_evals 0.26'),
    Benchmark('humaneval_mul', 'HumanEval-Mul', (), 'pass@1', 0, 'file', 'MIT', '{question}', OURS,
              layout='humaneval_mul'),
    Benchmark('swe_bench_verified', 'SWE Verified', ('table4',), 'resolved', 500,
              'hf:princeton-nlp/SWE-bench_Verified', 'its card has none', prompt_from='Agentless', runs='endpoint',
              task='agentless',
              command=_ENDPOINT + _KEY + 'python agentless/fl/localize.py --model r1jax --backend openai ..., then '
              'swebench.harness.run_evaluation', checked='its hub page; Agentless, commit 5ce5888'),
    Benchmark('aider_polyglot', 'Aider-Polyglot', ('table4',), 'accuracy', 225, 'file', 'not checked',
              prompt_from='aider', runs='endpoint', task='aider',
              command=_ENDPOINT + 'OPENAI_API_BASE=http://localhost:8000/v1 OPENAI_API_KEY=none '
              './benchmark/benchmark.py NAME --model openai/r1jax --edit-format diff '
              '--exercises-dir polyglot-benchmark',
              file='the repository Aider-AI/polyglot-benchmark', checked='aider, commit 5dc9490'),
    # --- Chinese
    Benchmark('cluewsc', 'CLUEWSC', ('table4',), 'pass@1', 304, 'hf:clue/clue/cluewsc2020@validation', 'not checked',
              WSC, OURS, layout='cluewsc', language='zh'),
    Benchmark('c_eval', 'C-Eval', ('table4',), 'accuracy', 1346, 'hf:ceval/ceval-exam', 'CC-BY-NC-SA-4.0',
              prompt_from='lm-eval', runs='lm-eval', task='ceval-valid', counted_as='acc',
              command=_lm_eval('c_eval', 'ceval-valid'), language='zh', checked='its hub page; lm-eval 0.4.13'),
    Benchmark('cmmlu', 'CMMLU', (), 'accuracy', 11582, 'hf:haonan-li/cmmlu', 'CC-BY-NC-4.0', prompt_from='lm-eval',
              runs='lm-eval', task='cmmlu', counted_as='acc', command=_lm_eval('cmmlu', 'cmmlu'), language='zh',
              checked='id and licence: its hub page; lm-eval 0.4.13'),
    Benchmark('c_simpleqa', 'C-SimpleQA', ('table4',), 'correct', 3000, 'hf:OpenStellarTeam/Chinese-SimpleQA@train',
              'CC-BY-NC-SA-4.0', ASIS, 'its repository', layout='c_simpleqa', judge='a language model',
              official='endpoint', task='ChineseSimpleQA', command=_ENDPOINT + _KEY + 'python -m simple-evals.demo',
              language='zh', checked='its hub page; ChineseSimpleQA, commit 8b1aa9e'),
)
TABLE = {row.name: row for row in _ROWS}
