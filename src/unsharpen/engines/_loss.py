"""The one hook in TRL's loss: steps on token advantages at every update, terms that are added, and the pool's loss.

TRL computes log-probabilities and entropies of all tokens in ``_compute_loss`` before it reads the advantages. The hook
takes them there, writes the advantages that TRL reads next, and adds the term to the loss that comes out, under the
same mean over tokens; TRL's importance ratio for vLLM and its off-policy mask don't act on the term. There is no second
forward pass but that of the pool. With every coefficient at 0 the weights are those of plain TRL, bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch

from unsharpen.advantages.tokens import TokenBatch
from unsharpen.engines._fields import FieldTrainer
from unsharpen.engines._pool import Pool
from unsharpen.engines._vocabulary import check_head, last_hidden_states, token_logprobs
from unsharpen.errors import EngineError
from unsharpen.losses.batch import LossBatch

VOCABULARY = frozenset({"likeliest", "mean_logprobs", "old_mean_logprobs", "top_logprobs"})
"""Fields of a LossBatch for which the hook computes the logits."""

CORRECT, OLD_MEANS = "unsharpen_correct", "unsharpen_old_mean_logprobs"
"""What travels with the completions, as TRL shuffles and splits them."""


class LossTrainer(FieldTrainer):
    """``trl.GRPOTrainer`` whose loss takes in what ``self.method.recipe`` asks for at every update."""

    beta: float
    _open: dict[str, Any] | None = None  # the inputs of the loss that is being computed
    _seen: LossBatch
    _pool: Pool | None = None
    _draws: tuple[int, int] = (-1, 0)  # (step, micro-batches of it so far)

    def _check_loss(self) -> None:
        recipe, name = self.method.recipe, self.method.name
        term = recipe.loss_term
        if term is not None and term.requires & VOCABULARY:
            sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
            check_head(self.accelerator.unwrap_model(self.model), sharded=sharded, by=name)
        if recipe.pool_term is not None:
            if not recipe.pool:
                raise EngineError(
                    f"method `{name}` needs completions that the base model sampled; found no pool",
                    hint="`unsharpen data presample` writes pool.jsonl: get_method(..., pool='pool.jsonl')",
                )
            self._pool = Pool(recipe.pool, temperature=self.temperature)

    @property
    def _hooked(self) -> bool:
        recipe = self.method.recipe
        step = recipe.token_transform
        acts = recipe.loss_term is not None or (step is not None and step.stage == "loss")
        return acts and self.model.training

    def _attach(self, output: dict[str, Any], correct: torch.Tensor) -> None:
        """Put what the hook will need into the batch of completions that TRL shuffles and splits."""
        if not self._hooked:
            return
        count, width = output["completion_ids"].shape
        output[CORRECT] = correct[self.accelerator.process_index * count :][:count]
        if self._means is not None:  # recorded at every step of the generation, also after a completion's end
            output[OLD_MEANS] = torch.nn.functional.pad(self._means, (0, width - self._means.shape[1]))

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        inside = self._hooked_loss if self._hooked else super()._compute_loss
        loss: torch.Tensor = inside(model, dict(inputs))  # a copy: TRL uses a batch again
        if self._pool is not None and self.model.training:
            loss = loss + self._pool_loss(model, len(inputs["completion_ids"]))
        return loss

    def _hooked_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        term, beta = self.method.recipe.loss_term, self.beta
        self._open = inputs
        try:
            if term is not None and term.replaces_kl:
                self.beta = 0.0
            loss: torch.Tensor = super()._compute_loss(model, inputs)
        finally:
            self._open, self.beta = None, beta
        if term is None:
            return loss
        added = self._mean_over_tokens(term(self._seen), inputs)
        self._log_term("loss_term", added)
        return loss + added

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = self._open
        if inputs is None:
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        term = self.method.recipe.loss_term
        unwrapped = self.accelerator.unwrap_model(model)
        wants_logits = term is not None and bool(term.requires & VOCABULARY)
        with last_hidden_states(unwrapped if wants_logits else None) as hidden:
            result = super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        logprobs, entropies, _ = result
        extra: dict[str, torch.Tensor] = {}
        if wants_logits:
            assert term is not None
            with torch.set_grad_enabled("top_logprobs" in term.requires):
                table = token_logprobs(unwrapped, torch.cat(hidden), logprobs.shape[1], self.temperature)
            if "top_logprobs" in term.requires:
                top = table.topk(term.num_top, dim=-1)
                extra |= {"top_logprobs": top.values, "likeliest": top.indices[..., 0] == inputs["completion_ids"]}
            if "mean_logprobs" in term.requires:
                means = table.detach().mean(dim=-1)
                # without old log-probs the policy is the one that sampled, as TRL takes it: no rounding in between
                old = means if inputs.get("old_per_token_logps") is None else inputs[OLD_MEANS]
                extra |= {"mean_logprobs": means, "old_mean_logprobs": old}
        self._seen = self._shaped(inputs, logprobs, entropies, extra)
        return result

    def _shaped(self, inputs: dict[str, Any], logprobs: Any, entropies: Any, extra: dict[str, Any]) -> LossBatch:
        """What the term will see; puts the advantages that TRL reads next into ``inputs``."""
        recipe = self.method.recipe
        mask = (inputs["completion_mask"] * inputs.get("tool_mask", 1)).bool()
        advantages = inputs["advantages"]
        per_token = advantages if advantages.dim() == 2 else advantages[:, None].expand(mask.shape)
        correct, step = inputs[CORRECT], recipe.token_transform
        if step is not None and step.stage == "loss":
            tokens = TokenBatch(
                logprobs=logprobs.detach(), mask=mask, correct=correct, entropies=entropies.detach().clamp(min=0)
            )
            inputs["advantages"] = per_token = step(per_token, tokens).to(advantages.dtype)
        if recipe.loss_term is not None and recipe.loss_term.replaces_policy_loss:
            inputs["advantages"] = torch.zeros_like(advantages)
        old = inputs.get("old_per_token_logps")
        return LossBatch(
            logprobs=logprobs,
            old_logprobs=logprobs.detach() if old is None else old,
            mask=mask,
            advantages=per_token,
            correct=correct,
            entropies=entropies,
            reference_logprobs=inputs.get("ref_per_token_logps"),
            clip_low=self.epsilon_low,
            clip_high=self.epsilon_high,
            **extra,
        )

    def _mean_over_tokens(self, values_nT: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
        """TRL's own mean for its ``loss_type``, over the accumulation too."""
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        total, steps = (values_nT * mask).sum(), self.current_gradient_accumulation_steps
        if self.loss_type in ("grpo", "sapo"):
            return ((values_nT * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean() / steps
        if self.loss_type == "luspo":
            return (values_nT * mask).sum(-1).mean() / steps
        if self.loss_type == "bnpo":
            return total / mask.sum().clamp(min=1.0) / steps
        if self.loss_type == "dr_grpo":
            return total / (len(values_nT) * self.max_completion_length) / steps
        # dapo, cispo, vespo: over the tokens of all processes, as many batches as make one update
        count = inputs["num_items_in_batch"].clamp(min=1.0) / self.accelerator.num_processes
        return total / (count * steps / self.args.steps_per_generation)

    def _pool_loss(self, model: Any, num_sampled: int) -> torch.Tensor:
        """The pool's term on its next rows, a mean over their tokens."""
        recipe, step = self.method.recipe, self.state.global_step
        assert recipe.pool_term is not None
        assert self._pool is not None
        micro = self._draws[1] if self._draws[0] == step else 0
        self._draws = (step, micro + 1)
        count = max(1, round(recipe.pool_share * num_sampled))
        turn = step * self.args.gradient_accumulation_steps + micro
        first = (turn * self.accelerator.num_processes + self.accelerator.process_index) * count
        rows = self._pool.draw(
            first, count, seed=self.args.seed, pad_id=self._tokenizer.pad_token_id, device=self.accelerator.device
        )
        width = rows.mask.shape[1]
        logprobs, *_ = super()._get_per_token_logps_and_entropies(model, rows.ids, rows.attention, width)
        batch = LossBatch(
            logprobs=logprobs,
            old_logprobs=rows.logprobs,
            mask=rows.mask,
            advantages=torch.zeros_like(rows.logprobs),
            correct=torch.ones(count, dtype=torch.bool, device=logprobs.device),
        )
        added = (recipe.pool_term(batch) * rows.mask).sum() / rows.mask.sum() / self.current_gradient_accumulation_steps
        self._log_term("pool_loss", added)
        return added

    def _log_term(self, name: str, value: torch.Tensor) -> None:
        whole = value.detach() * self.current_gradient_accumulation_steps
        self._metrics["train"][name].append(self.accelerator.gather(whole).mean().item())
