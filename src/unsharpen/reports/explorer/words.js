/* What the numbers mean, in sentences. */
"use strict";

const words = (() => {
  const NAMES = {
    base: "Base model", vanilla: "Vanilla RL", bonus: "Entropy bonus", smoothed: "Differential smoothing", grpo: "GRPO",
    edge: "Best possible",
  };

  /* A probability, never rounded to a certainty. */
  function chance(p) {
    if (p > 0.999 && p < 1) return ">0.999";
    if (p < 0.001 && p > 0) return "<0.001";
    return p.toFixed(3);
  }
  const count = (x) => x.toFixed(2);
  const short = (x) => (Number.isFinite(x) ? String(Number(x.toPrecision(3))) : "∞");
  const moved = (from, to, show) => (show(from) === show(to) ? `stays at ${show(to)}` :
    `${to > from ? "rises" : "falls"} from ${show(from)} to ${show(to)}`);

  function policy(name, n) {
    const { base, [name]: it } = n.policies;
    const found = `Pass@1 ${moved(base.mass, it.mass, chance)}; the effective number of correct solutions ` +
      `${moved(base.effective, it.effective, count)}.`;
    return {
      base: "Where we start. Every bar is one complete answer that the model may give.",
      vanilla: `Keeps the shape: all correct bars grow by one factor, all wrong ones shrink by one. ${found}`,
      bonus: `Evens out right and wrong answers alike. ${found}`,
      smoothed: `Evens out the correct answers, and sharpens the wrong ones if gamma_n is above 0. ${found}`,
    }[name];
  }

  function summary(s, n) {
    const { vanilla, bonus, smoothed } = n.policies;
    const beside = (a, b, show, what) => (show(a) === show(b) ? `the same ${what}` :
      `${a > b ? "more" : "less"} ${what} (${show(a)} against ${show(b)})`);
    const gains = (p) => `${beside(p.mass, vanilla.mass, chance, "Pass@1")} and ` +
      beside(p.effective, vanilla.effective, count, "variety");
    return `Beside vanilla RL, differential smoothing has ${gains(smoothed)}; the entropy bonus has ${gains(bonus)}. ` +
      `That is at equal beta, not at equal distance from the base: KL ${short(vanilla.divergence)} for vanilla, ` +
      `${short(bonus.divergence)} for the bonus, ${short(smoothed.divergence)} for smoothing. The best possible ` +
      "trade-off, below, compares at equal distance.";
  }

  function warnings(s, n) {
    const out = [], { smoothed } = n.training;
    if (s.correct === 1) {
      out.push("There is only one correct completion: no variety to lose, and smoothing merely raises Pass@1.");
    } else if (s.gamma_p > s.beta) {
      out.push("gamma_p is above beta, which turns the order round: the least likely correct completion becomes the " +
        "most likely one, and variety falls again. Keep gamma_p at or below beta.");
    } else if (s.gamma_p === s.beta) {
      out.push("gamma_p equals beta: all correct completions are equally likely. This is as even as it gets.");
    }
    if (s.gamma_n >= s.beta) {
      out.push("gamma_n is not below beta. The policy drawn here exists, but training that solves for it again and " +
        "again from where it stands never comes to rest: the wrong mass runs onto the single likeliest wrong answer.");
    } else if (s.gamma_n > 0) {
      out.push("gamma_n adds to the collapse in training, and on hard prompts it slows Pass@1 down; the best " +
        "trade-off never needs it.");
    }
    if (n.entropy_slope > 0) {
      out.push("Here a little more entropy bonus would raise Pass@1 too: correct answers are that much more " +
        "surprising than wrong ones, as they are where solutions are many.");
    }
    if (smoothed.logit.some((x, i, all) => i > 0 && Math.abs(x - all[i - 1]) > 3)) {
      out.push("Single training steps change the odds more than twentyfold: the learning rate or a gamma is too " +
        "large for the expected path to mean much.");
    }
    return out;
  }

  function domination(s, n) {
    const { match, match_centered: centered } = n, { bonus } = n.policies;
    const has = `The entropy bonus reaches Pass@1 ${chance(bonus.mass)} with ${short(bonus.entropy)} nats of variety ` +
      `at KL ${short(bonus.divergence)}. `;
    if (match.feasible) {
      const how = match.a === 0 ? "Vanilla RL" : "Differential smoothing";
      const with_ = match.beta === Infinity ? "very large beta and gamma_p" : `beta ${short(match.beta)}, gamma_p ` +
        `${short(match.gamma_p)} and gamma_n 0`;
      const always = match.lever >= 0 ? " A bonus this small can be matched whatever the measure of distance." : "";
      return ["Yes.", `${has}${how} with ${with_} is at least as correct and as varied at KL ` +
        `${short(match.divergence)}.${always}`];
    }
    const needs = "The nearest smoothed policy that is as correct and as varied has Pass@1 " +
      `${chance(1 / (1 + Math.exp(-match.logit)))} and KL ${short(match.divergence)}: more than the bonus spends. `;
    const rescue = centered.feasible ? "With a bonus that may be centred, -gamma_p (log p + m), the answer is yes: " +
      `beta ${short(centered.beta)}, gamma_p ${short(centered.gamma_p)}, m ${short(centered.offset)}, ` +
      `KL ${short(centered.divergence)}.` : "";
    return ["No.", has + needs + rescue];
  }

  function frontier(n) {
    const beyond = Object.entries(n.policies).filter(([, p]) => p.divergence > n.budget * (1 + 1e-9));
    const rest = beyond.length ? ` Hollow: ${beyond.map(([name]) => NAMES[name]).join(" and ")}, which ` +
      `spend${beyond.length > 1 ? "" : "s"} more than that.` : "";
    return `The line is the best trade-off of any policy whose KL from the base is at most ${short(n.budget)}: from ` +
      `vanilla RL at its lower end to even correct answers. Points below it waste some of their budget.${rest}`;
  }

  function training(s, n, step) {
    const { grpo, smoothed } = n.training, c = (z) => chance(1 / (1 + Math.exp(-z)));
    const at = (run) => `Pass@1 ${c(run.logit[step])}, ${count(run.effective[step])} effective solutions`;
    return `Step ${step} of ${s.steps}. GRPO: ${at(grpo)}. Differential smoothing: ${at(smoothed)}.`;
  }

  /* Why the path differs from the optimum, and what it would take to turn it round. */
  function bias(s, n) {
    const chosen = n.selection.filter((_, i) => n.correct[i]), needed = n.critical_gamma.uncentered;
    const said = s.correct === 1 ? "" : `In a group of ${s.group_size} the likeliest correct answer takes part in ` +
      `learning with probability ${chance(chosen[0])}, the least likely with ${chance(chosen[chosen.length - 1])}. `;
    if (s.stage !== "reward" || s.correct === 1) return said;
    return said + (needed === Infinity ? "At the start no gamma_p makes variety rise: smoothing that isn't centred " +
      `pulls towards correctness as well. (Centred, gamma_p above ${short(n.critical_gamma.centered)} would.)` :
      `At the start variety rises if gamma_p is above ${short(needed)}.`);
  }

  return { NAMES, chance, count, short, policy, summary, warnings, domination, frontier, training, bias };
})();
