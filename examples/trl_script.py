"""An ordinary TRL script. Two lines differ from plain GRPO: the import, and ``method=``.

python examples/trl_script.py            # two minutes on a CPU
"""

import sys
from importlib.resources import files

from datasets import Dataset
from trl import GRPOConfig

from unsharpen.engines.trl import DiverseGRPOTrainer  # instead of trl.GRPOTrainer
from unsharpen.tasks import CountDown

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
task = CountDown(answer_format="bare")
problems = task.generate(2000, seed=0, split="train", sizes=(4,), numbers=(1, 10))
dataset = Dataset.from_list([{"prompt": task.prompt(p), "nums": list(p.nums), "target": p.target} for p in problems])


def solved(completions, nums, target, log_extra, **kwargs):
    """1 for a correct completion. `solution` lets the trainer log how many *distinct* solutions are found."""
    verdicts = [task.verify(task.problem(n, t), c) for n, t, c in zip(nums, target, completions, strict=True)]
    log_extra("solution", [v.canonical if v.correct else None for v in verdicts])
    return [float(v.correct) for v in verdicts]


trainer = DiverseGRPOTrainer(
    method="ds-grpo-robust",  # a name from `unsharpen methods`, or unsharpen.get_method(name, gamma_p=...)
    model=str(files("unsharpen") / "assets" / "countdown-tiny"),
    reward_funcs=solved,
    train_dataset=dataset,
    args=GRPOConfig(
        output_dir="trl-script",
        max_steps=steps,
        learning_rate=3e-5,
        per_device_train_batch_size=128,
        gradient_accumulation_steps=4,
        num_generations=16,
        max_completion_length=24,
        gradient_checkpointing=False,
        bf16=False,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
    ),
)
trainer.train()
