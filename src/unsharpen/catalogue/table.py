"""The catalogue: one literal table, name -> builder, summary, equation, source. To add a method, add a row."""

from __future__ import annotations

from unsharpen.catalogue import baselines, smoothing
from unsharpen.catalogue.recipe import Row

_DS_PAPER = "arXiv 2511.19942"
TABLE: dict[str, Row] = {
    "grpo": Row(
        baselines.grpo,
        "Group-relative advantages, scaled by the group's standard deviation",
        "A_i = (r_i - mean r) / (std r + eps)",
        "arXiv 2402.03300",
    ),
    "dr-grpo": Row(
        baselines.dr_grpo,
        "Centre only, and divide the loss by a constant length",
        "A_i = r_i - mean r; loss summed over tokens / (completions x max length)",
        "arXiv 2503.20783",
    ),
    "rloo": Row(
        baselines.rloo,
        "Baseline: the mean of the other completions",
        "A_i = (G r_i - sum r) / (G - 1)",
        "arXiv 2402.14740",
    ),
    "maxrl": Row(
        baselines.maxrl,
        "Divide by the success rate: hard prompts weigh more",
        "A_i = (r_i - mean r) / (mean r + eps), r in {0, 1}",
        "arXiv 2602.02710",
    ),
    "grpo-low-lr": Row(
        baselines.grpo_low_lr,
        "Control: GRPO with a smaller learning rate",
        "GRPO; learning rate x learning_rate_scale",
        "control",
    ),
    "grpo-kl": Row(
        baselines.grpo_kl,
        "Control: GRPO with a KL penalty to the base model",
        "GRPO; loss + kl_coef KL(pi, pi_ref)",
        "control",
    ),
    "ds-grpo": Row(
        smoothing.ds_grpo,
        "Differential smoothing with the mean token log-prob, after scaling (the published default)",
        "A_i = GRPO_i - gamma_p m_i if correct, + gamma_n m_i if not; m_i = log pi_old(y_i) / |y_i|",
        f"{_DS_PAPER}, Eq. 6, mean form",
    ),
    "ds-grpo-sum": Row(
        smoothing.ds_grpo_sum,
        "Differential smoothing with the summed log-prob, after scaling (Eq. 6 as printed)",
        "A_i = GRPO_i - gamma_p l_i if correct, + gamma_n l_i if not; l_i = log pi_old(y_i)",
        f"{_DS_PAPER}, Eq. 6",
    ),
    "ds-grpo-token": Row(
        smoothing.ds_grpo_token,
        "Differential smoothing token by token",
        "A_it = GRPO_i - gamma_p log pi_old(y_it) if correct, + gamma_n log pi_old(y_it) if not",
        f"{_DS_PAPER}, early code",
    ),
    "ds-grpo-reward": Row(
        smoothing.ds_grpo_reward,
        "Differential smoothing of the score, then centred, without scaling",
        "s_i = r_i - gamma_p m_i if correct, + gamma_n m_i if not; A_i = s_i - mean s",
        f"{_DS_PAPER}, code, probably for CountDown",
    ),
    "ds-grpo-centered": Row(
        smoothing.ds_grpo_centered,
        "Scale-free smoothing: z-score of the log-prob within the correct class",
        "A_i = (r_i - mean r - kappa w z_i) / max(std correct, .25); z_i = clip((l_i - mean l) / batch scale)",
        "unsharpen (theory notes)",
    ),
    "ds-grpo-robust": Row(
        smoothing.ds_grpo_robust,
        "Smoothed score through a floored binary std, uniform groups skipped",
        "s_i = r_i - gamma_p l_i if correct, + gamma_n l_i if not; A_i = (s_i - mean s) / max(std correct, .25)",
        "unsharpen (theory notes)",
    ),
    "entropy-bonus-seq": Row(
        smoothing.entropy_bonus_seq,
        "Control: reward surprise in every completion, right or wrong",
        "A_i = GRPO_i - gamma l_i",
        f"control in {_DS_PAPER}",
    ),
    "entropy-penalty-seq": Row(
        smoothing.entropy_penalty_seq,
        "Control: punish surprise in every completion",
        "A_i = GRPO_i + gamma l_i",
        f"control in {_DS_PAPER}",
    ),
}
