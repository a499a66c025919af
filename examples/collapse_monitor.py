"""Plain TRL with one line more: a warning when the run collapses.

python examples/collapse_monitor.py            # a minute or two on a CPU

It warns once, when most of its 200 steps are done. Plain TRL logs reward and entropy, which is weak evidence, and the
warning says so. `DiverseGRPOTrainer` in its place (see trl_script.py) logs what counts.
"""

import sys
from importlib.resources import files

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from unsharpen.engines.monitor import CollapseMonitor
from unsharpen.tasks import CountDown

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200
task = CountDown(answer_format="bare")
problems = task.generate(500, seed=0, split="train", sizes=(4,), numbers=(1, 10))
dataset = Dataset.from_list([{"prompt": task.prompt(p), "nums": list(p.nums), "target": p.target} for p in problems])


def solved(completions, nums, target, **kwargs):
    """1 for a correct completion."""
    rows = zip(nums, target, completions, strict=True)
    return [float(task.verify(task.problem(n, t), c).correct) for n, t, c in rows]


trainer = GRPOTrainer(
    model=str(files("unsharpen") / "assets" / "countdown-tiny"),
    reward_funcs=solved,
    train_dataset=dataset,
    args=GRPOConfig(
        output_dir="collapse-monitor",
        max_steps=steps,
        learning_rate=1e-3,  # so large that there is something to see
        per_device_train_batch_size=128,
        num_generations=16,
        max_completion_length=24,
        gradient_checkpointing=False,
        bf16=False,
        logging_steps=1,  # the monitor sees what is logged
        save_strategy="no",
        report_to="none",
    ),
)
monitor = CollapseMonitor()
trainer.add_callback(monitor)
trainer.train()
print(f"{len(monitor.alarms)} warnings")
