"""``unsharpen merge`` and what ``unsharpen methods`` says of methods beyond advantages."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.cli.command import unsharpen

from unsharpen import list_methods


def test_the_shipped_model_with_itself_is_itself(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    out = tmp_path / "merged"
    done = unsharpen("merge", "countdown-tiny", "countdown-tiny", "--delta", "0.25", "--output", out)
    assert done.code == 0, done.err
    assert done.out.endswith(f"tensors in {out}, 0.25 x countdown-tiny + 0.75 x countdown-tiny\n")
    model = AutoModelForCausalLM.from_pretrained(out)
    again = unsharpen("merge", "countdown-tiny", out, "--output", tmp_path / "again")
    assert again.code == 0
    other = AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


def test_bad_input_is_one_message(tmp_path: Path) -> None:
    for arguments, words in (
        (("countdown-tiny", tmp_path / "none"), "found no folder"),
        (("countdown-tiny", "countdown-tiny", "--delta", "2"), "delta must be in [0, 1], found 2.0"),
    ):
        done = unsharpen("merge", *arguments, "--output", tmp_path / "out")
        assert done.code == 2
        assert words in done.err
        assert done.err.startswith("error: ")
        assert not done.out


def test_methods_show_token_steps_loss_terms_and_settings() -> None:
    for name, words in (
        ("clip-cov", ["token step: drop_covariant_tokens, at every update", "clip_low=1.0"]),
        ("ds-grpo-token", ["token step: spread_smoothing_over_tokens, once, on what was sampled"]),
        ("entropy-advantage", ["add_entropy, at every update; reads entropies", "leaves to itself: entropy_adaptive"]),
        ("flow-rl", ["balance_flow; reads reference_logprobs; in place of the policy loss and the KL term"]),
        ("dph", ["pool term: push_to_forward_kl"]),
        ("adrpo", ["experimental: beta0 - A from summaries"]),
        ("wise-ft", ["engine settings: base_share=0.5", "unsharpen merge"]),
    ):
        done = unsharpen("methods", name)
        assert done.code == 0
        text = " ".join(done.out.split())
        assert all(word in text for word in words), text
    listed = unsharpen("methods").out
    assert all(name in listed for name in list_methods())
    assert "with a loss term" in listed
