"""TRL: :class:`DiverseGRPOTrainer` is ``trl.GRPOTrainer`` with any method of the catalogue as its advantage.

Supported: trl 1.16 (its private methods change between releases; the tests hold this file against that one).
Multi-GPU and multi-node come with TRL: accelerate, DeepSpeed, FSDP, vLLM.

What the subclass does, and all that it does: it keeps the gathered rewards that TRL computes, records the
log-probabilities of the tokens as they are sampled (no second forward pass), builds one GroupBatch for the whole
global batch, runs the method, and hands each process its slice. Generation, loss and optimiser stay TRL's.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import torch
from accelerate.utils import gather

from unsharpen.advantages import TokenBatch
from unsharpen.batch import GroupBatch
from unsharpen.engines._arguments import require_arguments
from unsharpen.engines._base_share import MergingTrainer
from unsharpen.engines._fields import PER_PROMPT, Embed
from unsharpen.engines._release import require_release
from unsharpen.engines._rewards import Choice, Correctness, require_numbers, resolve_correctness
from unsharpen.engines._sampler import ReplayingRepeatSampler
from unsharpen.engines._sampling import SamplingLogprobs, recording
from unsharpen.engines._settings import FIELDS, with_config, with_settings
from unsharpen.engines._training_metrics import group_metrics, shaping_metrics
from unsharpen.engines._warnings import FailureWatch
from unsharpen.errors import EngineError
from unsharpen.methods import Method, get_method

__all__ = ["FIELDS", "SUPPORTED", "DiverseGRPOTrainer", "with_settings"]

SUPPORTED = "1.16"
"""Releases of TRL whose version begins so."""


class DiverseGRPOTrainer(MergingTrainer):
    """``trl.GRPOTrainer`` that shapes its advantages with a method of the catalogue.

    Args:
        *args: whatever ``trl.GRPOTrainer`` takes.
        method: a catalogue name, or a method with its own coefficients from :func:`unsharpen.get_method`.
        correctness: which reward decides whether a completion is *correct*: the name of a reward function; a list of
            names, of which all that don't return None for a completion decide; or a callable with the signature of a
            reward function that returns one number or bool per completion. Not needed with one reward function.
        correct_threshold: a completion is correct when that reward is at least this.
        solution_column: reward functions may tell solutions apart by ``log_extra(solution_column, [...])``, one
            hashable or None per completion; "distinct correct" and "effective solutions" are then logged.
        answer_column: methods that compare answers read them from ``log_extra(answer_column, [...])`` of a reward
            function, right and wrong ones alike: one hashable per completion, None where there is no readable answer.
            All None count as one and the same answer.
        embed: for methods that compare completions by embeddings: n texts -> array [n, D].
        **kwargs: whatever ``trl.GRPOTrainer`` takes.

    Read from the data set where a method asks for it: ``num_solutions`` (how many correct answers exist),
    ``reference_solution`` (the text of a correct completion) and ``prompt_id`` (else the prompt itself tells prompts
    apart). The memory of a method is saved with every checkpoint, in ``unsharpen_memory.json``, and restored on resume.

    Logged beside TRL's own metrics: ``pass@1``, ``pass@G``, ``distinct_correct``, ``effective_solutions``,
    ``uniform_groups``, ``sampling_logprob``, ``shaping_ratio`` (mean |A - A_GRPO| / mean |A_GRPO|),
    ``negative_correct`` (share of correct completions with a negative advantage), and what a method adds to the loss:
    ``loss_term``, ``pool_loss``.

    Warns:
        UnsharpenWarning: at construction or after the first batches, of settings that are known to go wrong.

    Raises:
        EngineError: at construction, if the configuration can't supply what the method needs, an argument has a wrong
            type, or TRL is another release than the supported one.
    """

    def __init__(
        self,
        *args: Any,
        method: str | Method = "ds-grpo",
        correctness: Choice = None,
        correct_threshold: float = 0.5,
        solution_column: str = "solution",
        answer_column: str = "answer",
        embed: Embed | None = None,
        **kwargs: Any,
    ) -> None:
        require_release("trl", importlib.metadata.version("trl"), SUPPORTED)
        if not isinstance(method, str | Method):
            raise EngineError(
                f"`method` must be a catalogue name or a Method; found {method!r}",
                hint="for example method='ds-grpo', or method=get_method('ds-grpo', gamma_p=0.1)",
            )
        self.method = get_method(method) if isinstance(method, str) else method
        self.solution_column = solution_column
        self.answer_column = answer_column
        self.embed = embed
        args, kwargs = with_config(args, kwargs, self.method)
        super().__init__(*args, **kwargs)
        self._correctness: Correctness = resolve_correctness(correctness, self, threshold=correct_threshold)
        self.reward_funcs: list[Any] = [require_numbers(f) for f in self.reward_funcs]
        self._check_configuration()
        self._watch = FailureWatch(self.method, kl_coef=self.beta, speaks=self.accelerator.is_main_process)

    def _check_configuration(self) -> None:
        require_arguments(self.method, self, embed=self.embed is not None)
        self._check_columns()
        self._check_loss()
        self._check_guidance()
        self._keep_base()

    # --- rollouts --------------------------------------------------------------------------------------------------

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if self.use_vllm or self.use_transformers_continuous_batching:
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)  # type: ignore[no-any-return]
        recorder = SamplingLogprobs(
            self.temperature, entropies="entropies" in self.method.requires, means=self._needs_means
        )
        with recording(self.accelerator.unwrap_model(self.model_wrapped), recorder):
            completion_ids, logprobs = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        self._entropies = recorder.mean_entropies(completion_ids)
        self._means = recorder.mean_logprobs()
        if logprobs is None:
            logprobs = recorder.collect(completion_ids)
        if self._guided_share and self.model.training:
            return self._guide(prompt_ids, completion_ids, logprobs)
        return completion_ids, logprobs

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Any:
        table = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._rewards_table = table
        self._correct = self._correctness(table, inputs, prompts, completions, completion_ids_list)
        self._solutions = self._solution_ids(len(prompts))
        self._extra_fields = self._collect_fields(inputs, prompts, completions)
        self._lengths = torch.tensor([len(ids) for ids in completion_ids_list], device=table.device)
        return table

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self._rows = inputs
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        token_logprobs = self._token_logprobs(output)
        self._attach(output, self._correct)
        mode = "train" if self.model.training else "eval"
        group_size = self.num_generations if mode == "train" else self.num_generations_eval
        scored = ~self._rewards_table.isnan().all(dim=1).reshape(-1, group_size)
        rated = scored.any(dim=1)  # TRL gives a group in which no reward function applied advantage 0
        if not bool(rated.any()):
            return output
        batch = self._group_batch(output, token_logprobs, scored, rated)
        metrics = group_metrics(batch, self._solutions_of(rated, group_size))
        if mode == "train":  # an evaluation has no update to shape
            plain = torch.tensor(list(self._logs["advantages"])[-scored.numel() :], dtype=batch.rewards.dtype)
            shaped = plain.to(scored.device).reshape(scored.shape).clone()
            advantages = self.method.advantages(batch)
            metrics |= shaping_metrics(batch, advantages, shaped[rated])
            self._watch(batch, advantages, shaped[rated])
            shaped[rated] = advantages
            self._hand_over(output, shaped.reshape(-1), token_logprobs)
            if self.method.recipe.settings.get("drop_uniform_groups"):
                self._drop_uniform_groups(output, group_size)
        for key, value in metrics.items():
            self._metrics[mode][key].append(value)
        return output

    def _solutions_of(self, rated_P: Any, group_size: int) -> list[Any] | None:
        """The solution ids of the prompts in ``rated_P``, flat; None when the reward functions tell none."""
        if self._solutions is None:
            return None
        groups = [p * group_size for p in range(len(rated_P)) if bool(rated_P[p])]
        return [self._solutions[i] for start in groups for i in range(start, start + group_size)]

    def _token_logprobs(self, output: dict[str, Any]) -> Any:
        """[n, T] log-probs of the tokens that the model sampled, 0 elsewhere; None where any process lacks some."""
        sampled, old = output.get("sampling_per_token_logps"), output.get("old_per_token_logps")
        if not self.use_vllm and self.rollout_func is None:
            output.pop("sampling_per_token_logps", None)  # plain TRL has no such key here: keep its loss as it is
        lacking = sampled is None
        if sampled is not None:
            own = self._sampled_tokens(output, sampled.shape[1])
            filled = sampled if old is None else torch.where(sampled.isfinite(), sampled, old)
            sampled = torch.where(own, filled, 0.0)
            lacking = not bool(sampled.isfinite().all())
        if not bool(gather(torch.tensor([lacking], device=self.accelerator.device)).any()):
            return sampled
        if "logprobs" in self.method.requires:
            raise EngineError(
                f"method `{self.method.name}` needs sampling log-probs; this rollout came without, or with some that "
                "are not finite and that the trainer has no others for",
                hint="let rollout_func return `logprobs`, one list of finite numbers per completion",
            )
        return None

    def _group_batch(self, output: dict[str, Any], token_logprobs: Any, scored_PG: Any, rated_P: Any) -> GroupBatch:
        """The rated prompts of the global batch: TRL keeps a prompt's completions together across processes."""
        weights = self.reward_weights.to(self._rewards_table.device)
        fields = {
            "rewards": (self._rewards_table * weights).nansum(dim=1),
            "correct": self._correct,
            "lengths": gather(self._sampled_tokens(output, output["completion_ids"].shape[1]).sum(dim=1)),
            **self._extra_fields,
        }
        if token_logprobs is not None:
            fields["logprobs"] = gather(token_logprobs.float().sum(dim=1))
        if "ref_per_token_logps" in output:
            logprobs = output["ref_per_token_logps"] * self._own_tokens(output)
            fields["reference_logprobs"] = gather(logprobs.float().sum(dim=1))
        shape = tuple(scored_PG.shape)
        grouped = {name: values.reshape(*shape, *values.shape[1:])[rated_P] for name, values in fields.items()}
        grouped |= {name: grouped[name][:, 0] for name in PER_PROMPT if name in grouped}
        return GroupBatch(**grouped, mask=scored_PG[rated_P])

    def _sampled_tokens(self, output: dict[str, Any], width: int) -> Any:
        """[n, T] True for the tokens that the model sampled; for all of a completion where TRL masks it as a whole."""
        inside = torch.arange(width, device=self._lengths.device) < self._lengths[:, None]
        own = inside & output["tool_mask"].bool() if "tool_mask" in output else inside
        return torch.where(own.any(dim=1, keepdim=True), own, inside)

    @staticmethod
    def _own_tokens(output: dict[str, Any]) -> Any:
        """[n, T] 1 for the tokens that the model sampled, 0 for padding and for what tools returned."""
        return output["completion_mask"] * output.get("tool_mask", 1)

    def _hand_over(self, output: dict[str, Any], shaped_N: Any, token_logprobs: Any) -> None:
        """Put this process's slice into the batch that the loss reads, and the whole into the log."""
        logged = self._logs["advantages"]
        for _ in range(min(len(logged), len(shaped_N))):
            logged.pop()
        logged.extend(shaped_N.tolist())
        local = output["advantages"]
        start = self.accelerator.process_index * len(local)
        mine = slice(start, start + len(local))
        output["advantages"] = shaped_N[mine].to(local.dtype)
        token_transform = self.method.recipe.token_transform
        if token_transform is not None and token_transform.stage == "sampling":
            mask = self._own_tokens(output).bool()
            tokens = TokenBatch(logprobs=token_logprobs, mask=mask, correct=self._correct[mine])
            per_token = output["advantages"][:, None].expand(mask.shape).contiguous()
            output["advantages"] = token_transform(per_token, tokens).to(local.dtype)

    def _drop_uniform_groups(self, output: dict[str, Any], group_size: int) -> None:
        """Take the tokens of groups that are all correct or all wrong out of the loss and its means."""
        groups = self._correct.reshape(-1, group_size)
        mixed = (groups.any(dim=1) & ~groups.all(dim=1)).repeat_interleave(group_size)
        start = self.accelerator.process_index * len(output["completion_mask"])
        kept = mixed[start : start + len(output["completion_mask"]), None]
        output["completion_mask"] = output["completion_mask"] * kept
        output["num_items_in_batch"] = gather(self._own_tokens(output).sum()).sum()

    # --- data order ------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return ReplayingRepeatSampler.wrap(super()._get_train_sampler(dataset))
