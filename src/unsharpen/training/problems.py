"""Which problems a run trains on and which it is judged by; the two never overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unsharpen.errors import DataError, InputError
from unsharpen.tasks import CountDown, CountDownProblem, Decontamination, MathTask, Task, decontaminate, get_task
from unsharpen.tasks.base import Prompt
from unsharpen.tasks.countdown import require_disjoint, split_problems
from unsharpen.tasks.countdown.standard import OPTIONS, POOL, TINY_OPTIONS, standard_pool
from unsharpen.training.config import RunConfig

_VALIDATION_SEED = 2002


@dataclass(frozen=True)
class Problems:
    """The task, its two disjoint lists of problems, and what was taken away so that they are disjoint."""

    task: Task[Any]
    train: list[Any]
    evaluation: list[Any]
    chat: bool
    decontamination: Decontamination[Any] | None = None

    def prompt(self, problem: Any) -> Prompt:
        """The prompt, as a conversation for a chat model."""
        return self.task.prompt(problem, chat=self.chat)

    def num_solutions(self, problems: list[Any]) -> list[int] | None:
        """How many distinct solutions each problem has; None where the task can't say.

        Counting takes 0.2 ms for a CountDown problem of 3 numbers, 2 ms for one of 4 and 60 ms for one of 5, less where
        the generator has just enumerated them.
        """
        return [len(self.task.solutions(p)) for p in problems] if isinstance(self.task, CountDown) else None

    def training_rows(self, *, num_solutions: bool = False) -> list[dict[str, Any]]:
        """Rows of the data set that the trainer reads; with ``num_solutions``, how many solutions a problem has.

        Raises:
            InputError: the number of solutions is asked for, and the task can't say.
        """
        rows = [{"prompt": self.prompt(p), **self.task.to_row(p)} for p in self.train]
        if num_solutions:
            counts = self.num_solutions(self.train)
            if counts is None:
                raise no_solution_counts(self.task.name)
            for row, count in zip(rows, counts, strict=True):
                row["num_solutions"] = count
        return rows


def no_solution_counts(task: str) -> InputError:
    """The error of a method that needs what only CountDown can say."""
    return InputError(
        f"the method needs the number of solutions of each problem; the task {task} can't say",
        hint="another method, or --task countdown",
    )


def load_problems(config: RunConfig, *, chat: bool) -> Problems:
    """Read or generate the problems of a run.

    Raises:
        DataError: a file lacks a column or has a bad row, or training and evaluation share a problem.
        InputError: there are fewer problems than asked for.
    """
    return _countdown(config, chat=chat) if config.is_countdown else _maths(config, chat=chat)


def _countdown(config: RunConfig, *, chat: bool) -> Problems:
    answer_format: Any = config.answer_format or ("bare" if config.is_tiny else "tags")
    task = CountDown(answer_format=answer_format)
    chat = chat and answer_format != "bare"
    if config.eval_data is not None:
        evaluation = task.load(config.eval_data, limit=config.num_eval)
        if config.data is None:
            train = _generated_train(task, config, {p.key for p in evaluation})
        else:
            train = task.load(config.data, limit=config.num_train)
        require_disjoint(train, evaluation)
    elif config.data is not None:
        train, evaluation = _split(task.load(config.data, limit=config.num_train), config)
    else:
        evaluation = _generated_eval(task, config)
        train = _generated_train(task, config, set())
    return Problems(task, train, evaluation, chat)


def _maths(config: RunConfig, *, chat: bool) -> Problems:
    """Training problems that the evaluation holds too are taken away; ``Problems`` tells which."""
    columns = {"problem_column": config.problem_column, "answer_column": config.answer_column}
    task = get_task(config.task, answer_format=config.answer_format or "boxed", **columns)
    assert isinstance(task, MathTask)
    chat = chat and task.answer_format != "bare"
    assert config.data is not None
    train = task.load(config.data, limit=config.num_train)
    source = config.eval_data or task.source
    if source is None:
        return Problems(task, *_split(train, config), chat)
    evaluation = task.load(source, limit=config.num_eval, fallback=True)
    clean = decontaminate(train, evaluation)
    if not clean.kept:
        raise DataError(f"nothing is left to train on: {clean}", hint="train and evaluate on different problems")
    return Problems(task, clean.kept, evaluation, chat, clean)


def _generated_train(task: CountDown, config: RunConfig, exclude: set[str]) -> list[CountDownProblem]:
    num_train = config.num_train or 4096
    return task.generate(num_train, seed=config.seed, split="train", exclude=exclude, **_options(config))


def _generated_eval(task: CountDown, config: RunConfig) -> list[CountDownProblem]:
    """The test problems are the same in every run; the validation problems are others."""
    if config.num_eval > POOL:
        raise InputError(f"num_eval must be at most {POOL} for generated problems, found {config.num_eval}")
    options = _options(config)
    test = standard_pool(**options)
    if config.eval_set == "test":
        return test[: config.num_eval]
    taken = {p.key for p in test}
    return task.generate(config.num_eval, seed=_VALIDATION_SEED, split="eval", exclude=taken, **options)


def _options(config: RunConfig) -> dict[str, Any]:
    options = {**(TINY_OPTIONS if config.is_tiny else OPTIONS), **config.problems}
    unknown = set(options) - {"sizes", "numbers", "targets", "multiplicity"}
    if unknown:
        raise InputError(f"problems have sizes, numbers, targets and multiplicity; found {sorted(unknown)}")
    for name, value in options.items():
        upper_open = name == "multiplicity" and isinstance(value, list | tuple) and value[1:] in ([None], (None,))
        numbers = value[:1] if upper_open else value
        whole = isinstance(numbers, list | tuple) and all(type(n) is int for n in numbers)
        if not whole or (name != "sizes" and len(value) != 2):
            wanted = "a list of whole numbers, e.g. [3,4]" if name == "sizes" else "[least, most] in whole numbers"
            raise InputError(f"of problems, {name} must be {wanted}, found {value!r}")
    return options


def _split(problems: list[Any], config: RunConfig) -> tuple[list[Any], list[Any]]:
    distinct = len({p.key for p in problems})
    if distinct <= config.num_eval:
        raise DataError(
            f"{config.data} holds {distinct} distinct problems; {config.num_eval} are set apart for evaluation, "
            "and some must remain for training",
            hint="lower --num-eval, or give --eval-data",
        )
    return split_problems(problems, num_eval=config.num_eval, seed=0)
