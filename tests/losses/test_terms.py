"""Loss terms: golden tokens, naive loops, NumPy against PyTorch, gradients by finite differences, verl's formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.losses.naive import batch, covariances, js, loop, mean, random_fields, tensors

from unsharpen import GroupBatch, get_method
from unsharpen.errors import InputError, MissingFieldError
from unsharpen.losses import (
    EntropyHistory,
    LossBatch,
    LossTerm,
    balance_flow,
    hold_entropy_window,
    push_to_forward_kl,
    push_to_jensen_shannon,
    redistribute_to_top_tokens,
    reward_entropy_of_correct,
    scale_kl_by_advantage,
    tether_covariant_tokens,
    value_uniform_policy,
)

Fields = dict[str, np.ndarray]


def history(mean: float = 0.6) -> EntropyHistory:
    made = EntropyHistory()
    made.load_state_dict({"sum": mean, "count": 1})
    return made


def naive_tether(f: Fields) -> np.ndarray:
    order = sorted(zip(*np.nonzero(f["mask"]), strict=True), key=lambda place: -covariances(f)[place])
    held = set(order[: max(1, int(0.4 * len(order)))])
    return loop(f, lambda i, t: 2.0 * abs(f["logprobs"][i, t] - f["old_logprobs"][i, t]) if (i, t) in held else 0.0)


def naive_window(shape: str) -> Callable[[Fields], np.ndarray]:
    low, high = 0.8 * 0.6, 1.2 * 0.6

    def token(f: Fields, i: int, t: int) -> float:
        h = f["entropies"][i, t]
        if shape == "constant":
            outside = 0.0 if low < h < high else 1.0
        else:
            outside = (max(low - h, 0) + max(h - high, 0)) / 0.6
        return 0.5 * (2.0 * 0.1 * outside - h)

    return lambda f: loop(f, lambda i, t: token(f, i, t))


def naive_flow(f: Fields) -> np.ndarray:
    def token(i: int, t: int) -> float:
        gap = mean(f, "logprobs", i) - 2.0 * mean(f, "advantages", i) - mean(f, "reference_logprobs", i)
        total = (f["logprobs"][i] - f["old_logprobs"][i])[f["mask"][i]].sum()
        return min(1.1, math.exp(total)) * gap**2

    return loop(f, token)


def naive_rover(f: Fields) -> np.ndarray:
    def token(i: int, t: int) -> float:
        follows = t + 1 < f["mask"].shape[1] and f["mask"][i, t + 1]
        value = f["mean_logprobs"][i, t + 1] - f["old_mean_logprobs"][i, t + 1] if follows else 0.0
        return (0.5 * (f["logprobs"][i, t] - f["old_logprobs"][i, t]) - f["advantages"][i, t] - 0.5 * value) ** 2

    return loop(f, token)


TERMS: list[tuple[LossTerm, Callable[[Fields], np.ndarray]]] = [
    (tether_covariant_tokens(coef=2.0, share=0.4), naive_tether),
    (
        scale_kl_by_advantage(scale=0.3),
        lambda f: loop(
            f,
            lambda i, t: (
                -0.3
                * f["advantages"][i, t]
                * (math.exp(d := f["reference_logprobs"][i, t] - f["logprobs"][i, t]) - d - 1)
            ),
        ),
    ),
    (hold_entropy_window(history(), coef=0.5, smooth=2.0), naive_window("constant")),
    (hold_entropy_window(history(), coef=0.5, smooth=2.0, shape="distance"), naive_window("distance")),
    (
        reward_entropy_of_correct(coef=0.2),
        lambda f: loop(
            f,
            lambda i, t: (
                0.2 * math.exp(f["logprobs"][i, t] - f["old_logprobs"][i, t]) * f["logprobs"][i, t]
                if f["correct"][i]
                else 0.0
            ),
        ),
    ),
    (
        push_to_forward_kl(coef=0.5),
        lambda f: loop(f, lambda i, t: 0.5 * (math.exp(d := f["logprobs"][i, t] - f["old_logprobs"][i, t]) - d - 1)),
    ),
    (
        push_to_jensen_shannon(coef=0.5),
        lambda f: loop(f, lambda i, t: 0.5 * js(math.exp(f["logprobs"][i, t] - f["old_logprobs"][i, t]))),
    ),
    (balance_flow(beta=2.0, max_weight=1.1), naive_flow),
    (value_uniform_policy(rho=0.5), naive_rover),
]
SIMKO = redistribute_to_top_tokens(num_top=3, mix=0.3, quantile=0.4, wrong_scale=1.5)
each_term = pytest.mark.parametrize(("term", "naive"), TERMS, ids=[t.name for t, _ in TERMS])
each_seed = pytest.mark.parametrize("seed", range(3))


@each_seed
@each_term
def test_a_term_equals_its_loop(term: LossTerm, naive: Callable[[Fields], np.ndarray], seed: int) -> None:
    fields = random_fields(seed)
    np.testing.assert_allclose(term(batch(fields)), naive(fields), rtol=1e-10, atol=1e-12)


@each_seed
@pytest.mark.parametrize("term", [*(t for t, _ in TERMS), SIMKO], ids=lambda t: t.name)
def test_numpy_equals_pytorch_and_padding_is_0(term: LossTerm, seed: int) -> None:
    fields = random_fields(seed)
    found = term(batch(tensors(fields)))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), term(batch(fields)), rtol=1e-9, atol=1e-12)
    assert (found[~torch.tensor(fields["mask"])] == 0).all()


# What is treated as a constant in the gradient, to be held fixed in the finite differences too: `w` of the flow and
# SimKO's own values. Their gradients have tests of their own below.
@each_seed
@pytest.mark.parametrize("term", [t for t, _ in TERMS if t.name not in ("balance_flow",)], ids=lambda t: t.name)
def test_gradients_are_those_of_finite_differences(term: LossTerm, seed: int) -> None:
    fields = tensors(random_fields(seed), "logprobs", "entropies")

    def total(logprobs: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
        return term(batch({**fields, "logprobs": logprobs, "entropies": entropies})).sum()

    assert torch.autograd.gradcheck(total, (fields["logprobs"], fields["entropies"]), eps=1e-6, atol=1e-6)


def gradients(term: LossTerm, fields: Fields, *names: str) -> dict[str, np.ndarray]:
    made = tensors(fields, *names)
    term(batch(made)).sum().backward()
    return {name: np.zeros(made[name].shape) if (g := made[name].grad) is None else g.numpy() for name in names}


def test_the_flows_weight_has_no_gradient() -> None:
    fields = random_fields(0)
    found = gradients(balance_flow(beta=2.0, max_weight=1.1), fields, "logprobs")["logprobs"]
    for i, mask in enumerate(fields["mask"]):
        gap = mean(fields, "logprobs", i) - 2.0 * mean(fields, "advantages", i) - mean(fields, "reference_logprobs", i)
        weight = min(1.1, math.exp((fields["logprobs"][i] - fields["old_logprobs"][i])[mask].sum()))
        # each token's value holds the mean over n tokens: n values, each with a share of 1 / n in every token
        np.testing.assert_allclose(found[i], np.where(mask, 2 * weight * gap, 0.0), rtol=1e-10)


def test_the_published_window_has_no_gradient_of_its_own() -> None:
    # so EPO trains as an entropy bonus does; the distance form does not
    fields = random_fields(1)
    bonus = gradients(hold_entropy_window(history(), coef=0.5, smooth=0.0), fields, "entropies")["entropies"]
    np.testing.assert_allclose(bonus, -0.5 * fields["mask"])
    constant = hold_entropy_window(history(), coef=0.5, smooth=5.0)
    np.testing.assert_array_equal(gradients(constant, fields, "entropies")["entropies"], bonus)
    distance = hold_entropy_window(history(), coef=0.5, smooth=5.0, shape="distance")
    assert not np.allclose(gradients(distance, fields, "entropies")["entropies"], bonus)


def test_before_the_first_batch_the_window_is_a_bonus() -> None:
    fields = random_fields(2)
    found = hold_entropy_window(EntropyHistory(), coef=0.5)(batch(fields))
    np.testing.assert_allclose(found, np.where(fields["mask"], -0.5 * fields["entropies"], 0))


# --- golden ----------------------------------------------------------------------------------------------------------

LOG2 = math.log(2)
ONE: dict[str, Any] = {"mask": np.array([[True]]), "correct": np.array([True]), "advantages": np.array([[2.0]])}


def one(term: LossTerm, **values: float) -> float:
    return float(term(LossBatch(**ONE, **{name: np.array([[value]]) for name, value in values.items()}))[0, 0])


def test_golden_tokens() -> None:
    # u = pi / base = 2: 2 - 1 - log 2
    assert one(push_to_forward_kl(coef=1.0), logprobs=-1.0, old_logprobs=-1.0 - LOG2) == pytest.approx(1 - LOG2)
    # u = 1/2: the base model's token lost half its probability, 1/2 - 1 + log 2
    assert one(push_to_forward_kl(coef=1.0), logprobs=-1.0, old_logprobs=LOG2 - 1.0) == pytest.approx(LOG2 - 0.5)
    # u = 1: 1 * 0 - 2 log 1
    assert one(push_to_jensen_shannon(coef=3.0), logprobs=-1.0, old_logprobs=-1.0) == pytest.approx(0.0)
    # u = 2: 2 log 2 - 3 log 1.5
    expected = 2 * LOG2 - 3 * math.log(1.5)
    assert one(push_to_jensen_shannon(coef=1.0), logprobs=-1.0, old_logprobs=-1.0 - LOG2) == pytest.approx(expected)
    # d = log ref - log pi = log 2: KL = 2 - log 2 - 1; times -.5 * 2
    found = one(scale_kl_by_advantage(scale=0.5), logprobs=-2.0, old_logprobs=-2.0, reference_logprobs=LOG2 - 2.0)
    assert found == pytest.approx(LOG2 - 1)
    # ratio 1, log pi = -2: .1 * -2
    assert one(reward_entropy_of_correct(coef=0.1), logprobs=-2.0, old_logprobs=-2.0) == pytest.approx(-0.2)
    # m - beta A - m_ref = -2 - 1.5 * 2 + 4 = -1; weight 1
    found = one(balance_flow(beta=1.5), logprobs=-2.0, old_logprobs=-2.0, reference_logprobs=-4.0)
    assert found == pytest.approx(1.0)
    # rho log ratio - A, the last token has no future: .5 * 1 - 2 = -1.5
    found = one(
        value_uniform_policy(rho=0.5), logprobs=-1.0, old_logprobs=-2.0, mean_logprobs=-3.0, old_mean_logprobs=-9.0
    )
    assert found == pytest.approx(2.25)
    # entropy 1 against a history of .5: above .6, so coef (-1 + .1)
    found = one(hold_entropy_window(history(0.5), coef=2.0), logprobs=-1.0, old_logprobs=-1.0, entropies=1.0)
    assert found == pytest.approx(-1.8)


def test_a_divergence_is_0_at_the_base_and_positive_elsewhere() -> None:
    for term in (push_to_forward_kl(coef=1.0), push_to_jensen_shannon(coef=1.0)):
        for logprob in (-5.0, -2.0, -1.0, -0.1):
            assert one(term, logprobs=logprob, old_logprobs=logprob) == pytest.approx(0.0, abs=1e-15)
            assert one(term, logprobs=logprob, old_logprobs=-1.5) > 0


def test_the_mean_over_the_base_is_the_divergence() -> None:
    # exact sums over a vocabulary of 4
    base, policy = np.log([0.4, 0.3, 0.2, 0.1]), np.log([0.7, 0.1, 0.1, 0.1])
    flags = {"mask": np.ones((1, 4), dtype=bool), "correct": np.array([True]), "advantages": np.zeros((1, 4))}
    drawn = LossBatch(**flags, logprobs=policy[None], old_logprobs=base[None])
    p, q = np.exp(base), np.exp(policy)
    kl = (p * (base - policy)).sum()
    assert (p * push_to_forward_kl(coef=1.0)(drawn)[0]).sum() == pytest.approx(kl)
    m = (p + q) / 2
    twice_js = (p * np.log(p / m)).sum() + (q * np.log(q / m)).sum()
    assert (p * push_to_jensen_shannon(coef=1.0)(drawn)[0]).sum() == pytest.approx(twice_js)


def test_far_tokens_stay_finite() -> None:
    for term in (push_to_forward_kl(coef=1.0), push_to_jensen_shannon(coef=1.0)):
        for logprob, old in ((-1e4, -1.0), (-1.0, -1e4)):
            assert math.isfinite(one(term, logprobs=logprob, old_logprobs=old))


# --- SimKO against the published ratio, with the clipped loss of the engine -------------------------------------------


def simko_reference(fields: dict[str, torch.Tensor], *, mix: float, quantile: float, scale: float) -> torch.Tensor:
    """The whole policy loss per token, from the paper's ratio; ``clip`` .2."""
    logprobs, old, mask = fields["logprobs"], fields["old_logprobs"], fields["mask"]
    ratio, out = torch.exp(logprobs - old), torch.zeros_like(logprobs)
    for i in range(len(mask)):
        own = fields["entropies"][i][mask[i]].detach()
        if not len(own):
            continue
        threshold = torch.quantile(own, quantile)
        for t in torch.nonzero(mask[i])[:, 0].tolist():
            advantage, r, top = fields["advantages"][i, t], ratio[i, t], fields["top_logprobs"][i, t]
            uncertain = fields["entropies"][i, t] > threshold
            if fields["correct"][i] and uncertain:
                spread = (r.detach() * torch.exp(top - top.detach())).sum()
                r = (1 - mix) * r + mix / len(top) * spread
            if advantage < 0 and uncertain and fields["likeliest"][i, t]:
                advantage = scale * advantage
            out[i, t] = torch.maximum(-advantage * r, -advantage * torch.clamp(r, 0.8, 1.2))
    return out


@pytest.mark.parametrize("seed", range(4))
def test_simko_is_the_published_loss(seed: int) -> None:
    fields = random_fields(seed)
    fields["likeliest"][1] = [True, False, True, True, False]  # in a wrong completion
    fields["old_logprobs"][1] = fields["logprobs"][1] + np.array([0.1, -0.1, 0.4, 0.1, 0.1])
    options = {"mix": 0.3, "quantile": 0.4}
    term = redistribute_to_top_tokens(num_top=3, wrong_scale=1.5, **options)
    names = ("logprobs", "top_logprobs")
    ours, theirs = tensors(fields, *names), tensors(fields, *names)
    ratio = torch.exp(ours["logprobs"] - ours["old_logprobs"])
    plain = torch.maximum(-ours["advantages"] * ratio, -ours["advantages"] * torch.clamp(ratio, 0.8, 1.2))
    found = torch.where(ours["mask"], plain, 0) + term(batch(ours))
    expected = simko_reference(theirs, scale=1.5, **options)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, torch.where(ours["mask"], plain, 0))
    found.sum().backward(), expected.sum().backward()
    for name in names:
        torch.testing.assert_close(ours[name].grad, theirs[name].grad)
    assert float(theirs["top_logprobs"].grad.abs().sum()) > 0  # type: ignore[union-attr]


# --- KL-Cov against the formula in verl -------------------------------------------------------------------------------


@each_seed
def test_kl_cov_is_verls(seed: int) -> None:
    # verl: loss = -A ratio, and + |dlogp| at the top k of cov over the flattened valid tokens
    fields = tensors(random_fields(seed, columns=5))
    mask, a, logp = fields["mask"], fields["advantages"], fields["logprobs"]
    valid_a, valid_l = a[mask], logp[mask]
    cov = (valid_a - valid_a.mean()) * (valid_l - valid_l.mean())
    top = torch.topk(cov, max(1, int(len(cov) * 0.25))).indices
    places = torch.nonzero(mask.reshape(-1))[:, 0][top]
    expected = torch.zeros_like(logp).reshape(-1)
    expected[places] = (logp - fields["old_logprobs"]).abs().reshape(-1)[places]
    found = tether_covariant_tokens(coef=1.0, share=0.25)(batch(fields))
    torch.testing.assert_close(found, expected.reshape(mask.shape))


# --- bad input -------------------------------------------------------------------------------------------------------


def test_a_term_names_the_field_it_lacks() -> None:
    fields = {k: v for k, v in random_fields(0).items() if k != "reference_logprobs"}
    with pytest.raises(MissingFieldError, match="`scale_kl_by_advantage` needs `reference_logprobs`"):
        scale_kl_by_advantage()(batch(fields))


@pytest.mark.parametrize("name", ["old_logprobs", "mask", "correct", "entropies", "top_logprobs"])
def test_shapes_must_agree(name: str) -> None:
    fields = random_fields(0)
    with pytest.raises(InputError, match=f"`{name}`"):
        batch({**fields, name: fields[name][:, :2] if fields[name].ndim > 1 else fields[name][:2]})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tether_covariant_tokens(share=1.5), "share in"),
        (lambda: tether_covariant_tokens(coef=-1.0), "coef >= 0"),
        (lambda: scale_kl_by_advantage(scale=-1.0), "scale must be finite"),
        (lambda: hold_entropy_window(history(), low=1.3), "low < high"),
        (lambda: hold_entropy_window(history(), coef=math.nan), "finite coef, smooth"),
        (lambda: hold_entropy_window(history(), coef=math.inf), "finite coef, smooth"),
        (lambda: hold_entropy_window(history(), smooth=math.nan), "finite coef, smooth"),
        (lambda: hold_entropy_window(history(), penalty=math.inf), "finite coef, smooth"),
        (lambda: hold_entropy_window(history(), low=math.nan), "finite coef, smooth"),
        (lambda: hold_entropy_window(history(), shape="round"), "shape 'constant' or 'distance'"),  # type: ignore[arg-type]
        (lambda: reward_entropy_of_correct(coef=math.nan), "coef must be finite"),
        (lambda: balance_flow(beta=0.0), "above 0"),
        (lambda: value_uniform_policy(rho=0.0), "rho above 0"),
        (lambda: redistribute_to_top_tokens(num_top=0), "num_top >= 1"),
        (lambda: push_to_forward_kl(coef=-0.1), "coef must be finite and at least 0"),
    ],
)
def test_ranges(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


# --- the history -----------------------------------------------------------------------------------------------------


def entropy_batch(*entropies: float) -> GroupBatch:
    row = [list(entropies)]
    return GroupBatch(
        rewards=np.zeros((1, len(entropies))),
        correct=np.zeros((1, len(entropies)), dtype=bool),
        entropies=row,
        lengths=[[1] * (len(entropies) - 1) + [3]],
    )


def test_the_history_is_a_mean_over_batches_of_means_over_tokens() -> None:
    method = get_method("epo")
    assert isinstance(method.memory, EntropyHistory)
    first = entropy_batch(1.0, 2.0)
    method.advantages(first), method.advantages(first)
    assert method.memory.mean == pytest.approx(7 / 4)  # 1 token of 1, 3 of 2; counted once
    method.advantages(entropy_batch(0.25))
    assert method.memory.mean == pytest.approx((7 / 4 + 0.25) / 2)
    again = EntropyHistory()
    again.load_state_dict(method.memory.state_dict())
    assert again.mean == method.memory.mean


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"sum": 1.0},
        {"sum": "a", "count": 1},
        {"sum": math.nan, "count": 1},
        {"sum": 10**400, "count": 1},
        {"sum": 1.0, "count": math.inf},
        {"sum": 1.0, "count": math.nan},
        {"sum": 1.0, "count": 1.9},
        None,
    ],
)
def test_a_malformed_history_is_refused(state: Any) -> None:
    with pytest.raises(InputError, match="an entropy history"):
        EntropyHistory().load_state_dict(state)
