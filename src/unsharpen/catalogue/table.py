"""The catalogue: one literal table, name -> builder, summary, equation, source. To add a method, add a row."""

from __future__ import annotations

from unsharpen.catalogue import baselines, exploration, pass_at_k, rarity, reweighting, smoothing
from unsharpen.catalogue.recipe import Row

_DS_PAPER = "arXiv 2511.19942"
_OUTCOMES = "arXiv 2509.06941"
_UCB_OPEN = (
    "coef and offset from a review of the paper; not read in the paper or in code: whether N counts the present batch "
    "(here not: min(1, .) is needed only if N may be 0) and how unreadable answers count (here: as one answer)"
)
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
    "unlikeliness": Row(
        rarity.unlikeliness,
        "Likely completions earn less, by their rank in the group",
        "A = GRPO(r_i (1 - beta rank_i / G)), rank 0 = lowest m",
        "arXiv 2506.02355",
    ),
    "ucpo": Row(
        rarity.ucpo,
        "Redistribute the correct completions' advantage to the unlikely ones",
        "A_i = GRPO_i ((1 - tau) + tau c v_i) if correct; v ~ 1 / q, q = softmax of m over the correct",
        "arXiv 2605.00365",
    ),
    "darling": Row(
        rarity.darling,
        "Reward times distinctness among the correct completions",
        "x_i = r_i max((c - size_i) / (c - 1), floor) if correct, r_i floor if not; A_i = x_i - mean x",
        "arXiv 2509.02534",
    ),
    "gapo": Row(
        rarity.gapo,
        "Reward the even use of all valid answers",
        "A = GRPO(1 - |f_i - 1 / L| if correct, -1 if not); f the answer's share of the correct, L = num_solutions",
        "arXiv 2511.12596",
        "the formula from two re-implementations; not read: how the rewards are normalised (here: GRPO)",
    ),
    "ips": Row(
        rarity.ips,
        "Divide the reward by the frequency of the answer",
        "A = GRPO(r_i / max(phat_i, floor)), phat = the answer's share of the group",
        "arXiv 2601.21669",
        "the formula from two re-implementations, one of which rescales the weights to mean 1; the paper was not read",
    ),
    "dra-grpo": Row(
        rarity.dra_grpo,
        "Divide the reward by the similarity to the group",
        "A = GRPO(r_i / sum_j max(cos(e_i, e_j), 0))",
        "arXiv 2505.09655",
    ),
    "evol-rl": Row(
        rarity.evol_rl,
        "Label-free: majority answer for correctness, novelty for the rest",
        "A = GRPO(.5 + .5 u_i if the majority answer, -1 + .5 u_i if another, -1 if unreadable); u = novelty",
        "arXiv 2509.15194",
    ),
    "pass-at-k": Row(
        pass_at_k.pass_at_k,
        "Credit for Pass@k of groups of k, in closed form",
        "A+ = (1 - rho) / s, A- = (1 - rho - C(n-c-1, k-1) / C(n-1, k-1)) / s; rho = Pass@k, s = its std + eps",
        "arXiv 2508.10751",
    ),
    "pkpo": Row(
        pass_at_k.pkpo,
        "What a completion adds to the best of k (sloo_minus_one)",
        "A_i = n / C(n, k) sum over k-sets I with i of (max_I r - max_{I minus i} r)",
        "arXiv 2505.15201",
    ),
    "best-of-k": Row(
        pass_at_k.best_of_k,
        "Only the group's single best completion learns",
        "A_i = (r_i - second best) / (std r + eps) for the best, 0 for all others",
        "arXiv 2503.19595; verl's grpo_passk",
    ),
    "f-grpo": Row(
        reweighting.f_grpo,
        "Turn down prompts that mostly succeed",
        "A_i = GRPO_i (1 - p)^gamma",
        "arXiv 2602.06717",
    ),
    "rs-grpo": Row(
        reweighting.rs_grpo,
        "Risk-seeking: between the mean and the best reward",
        "A_i = (e^{beta r_i} / mean e^{beta r} - 1) / beta",
        "arXiv 2509.24261",
    ),
    "w-reinforce": Row(
        reweighting.w_reinforce,
        "Wrong completions -1, correct ones a little positive, no baseline",
        "A_i = weight if correct, -1 if not",
        "arXiv 2506.01347",
    ),
    "psr": Row(
        reweighting.psr,
        "Control: learn from correct completions only",
        "A_i = 1 if correct, 0 if not",
        "arXiv 2506.01347",
    ),
    "nsr": Row(
        reweighting.nsr,
        "Learn from wrong completions only",
        "A_i = 0 if correct, -1 if not",
        "arXiv 2506.01347",
    ),
    "ucb": Row(
        exploration.ucb,
        "Bonus for answers that this prompt was seldom given before",
        "A_i = GRPO_i + coef b_i, b_i = min(1, N_i^-1/2)",
        _OUTCOMES,
        _UCB_OPEN,
    ),
    "ucb-mean": Row(
        exploration.ucb_mean,
        "The UCB bonus minus its mean over the group",
        "A_i = GRPO_i + coef (b_i - mean b)",
        _OUTCOMES,
        _UCB_OPEN + "; whether the mean is the group's",
    ),
    "ucb-con": Row(
        exploration.ucb_con,
        "The UCB bonus minus a constant",
        "A_i = GRPO_i + coef (b_i - offset)",
        _OUTCOMES,
        _UCB_OPEN,
    ),
    "batch-exploration": Row(
        exploration.batch_exploration,
        "Penalty for answers repeated within the group",
        "A_i = GRPO_i - coef / G sum_{j != i} [a_i = a_j]",
        _OUTCOMES,
        "coef from a review of the paper; not read: how unreadable answers count (here: as one answer)",
    ),
    "egsw": Row(
        reweighting.egsw,
        "Weigh completions by advantage and entropy",
        "A_i = GRPO_i G w_i, w = softmax((GRPO + alpha H) / temperature) over the group",
        "arXiv 2503.22456",
        "the formula from summaries of the paper; alpha and temperature are ours, and so is the factor G",
    ),
    "edge-grpo": Row(
        reweighting.edge_grpo,
        "Confident completions learn more, from success and failure",
        "A_i = GRPO_i mean(H) / H_i",
        "arXiv 2507.21848, entropy half",
    ),
    "mara": Row(
        reweighting.mara,
        "Rewards that cancel the KL term's preference among correct completions",
        "x_i = R(z) + beta (log pi_ref(z) - log pi_ref(y_i)) if correct, r_i if not; A = x - mean x; loss + beta KL",
        "arXiv 2510.20817",
        "Eq. 11 and Algorithm 1 second-hand; not read: the beta of the language-model runs, and how rewards are scaled",
    ),
    "ds-grpo-f": Row(
        reweighting.ds_grpo_f,
        "Robust smoothing, then less weight on prompts that mostly succeed",
        "A_i = ds-grpo-robust_i (1 - p)^focal",
        "unsharpen (prototype)",
    ),
}
