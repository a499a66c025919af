/* Every number of the page, from the settings alone. The same formulas as the Python package `unsharpen.theory`, whose
   names are kept; the tests hold the two together to 1e-9. Logarithms are natural; log C/(1-C) is the logit.

   Runs in a page (window.unsharpen) and in any other JavaScript engine (globalThis.unsharpen). */
"use strict";

globalThis.unsharpen = (() => {
  /* What a setting may be: [least, most, whole number?]. */
  const LIMITS = {
    correct: [1, 12, true],
    wrong: [1, 12, true],
    mass: [0.001, 0.999],
    lead_correct: [1, 10000],
    lead_wrong: [1, 10000],
    beta: [0.05, 10],
    gamma: [0, 5],
    gamma_p: [0, 5],
    gamma_n: [0, 5],
    group_size: [2, 256, true],
    learning_rate: [0.01, 4],
    steps: [1, 500, true],
  };
  const CHOICES = { stage: ["advantage", "reward"], budget_of: ["bonus", "vanilla", "smoothed"] };
  const KS = Array.from({ length: 65 }, (_, i) => Math.round(2 ** (i / 8)))
    .filter((k, i, all) => k !== all[i - 1]); // 1 .. 256
  const FRONTIER_POINTS = 201;
  const SLACK = 1e-10; // relative: divergences that agree to rounding count as equal
  const UNIFORM = 1e-12; // nats

  function check(settings) {
    for (const [name, [least, most, whole]] of Object.entries(LIMITS)) {
      const value = settings[name];
      if (typeof value !== "number" || !(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
        throw new RangeError(
          `${name} must be ${whole ? "a whole number" : "a number"} from ${least} to ${most}, found ${value}`);
      }
    }
    for (const [name, allowed] of Object.entries(CHOICES)) {
      if (!allowed.includes(settings[name])) {
        throw new RangeError(`${name} must be one of ${allowed.join(", ")}; found ${settings[name]}`);
      }
    }
  }

  /* ---------------------------------------------------------------- sums in log space over one class of completions */

  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const pick = (values, flags, which) => values.filter((_, i) => flags[i] === which);

  function logSum(logs) {
    const peak = Math.max(...logs);
    return peak + Math.log(sum(logs.map((x) => Math.exp(x - peak))));
  }

  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const normalised = (logs) => { const total = logSum(logs); return logs.map((x) => x - total); };
  const expectation = (logs, values) => sum(logs.map((x, i) => Math.exp(x) * values[i]));
  const entropy = (logQ) => -expectation(logQ, logQ);
  const effective = (logQ) => Math.exp(-logSum(logQ.map((x) => 2 * x)));

  /* The most likely completion of a class is `lead` times as likely as the least likely one; ranks are geometric. */
  function ladder(count, lead) {
    return normalised(Array.from({ length: count }, (_, i) => (count > 1 ? -Math.log(lead) * i / (count - 1) : 0)));
  }

  function basePolicy(s) {
    const logBase = [
      ...ladder(s.correct, s.lead_correct).map((x) => Math.log(s.mass) + x),
      ...ladder(s.wrong, s.lead_wrong).map((x) => Math.log1p(-s.mass) + x),
    ];
    return { logBase: normalised(logBase), flags: logBase.map((_, i) => i < s.correct) };
  }

  function tilt({ logBase, flags }, { a, b, kappa }) {
    return normalised(logBase.map((x, i) => (flags[i] ? (1 - a) * x + kappa : (1 + b) * x)));
  }

  const kl = (logPolicy, logBase) =>
    Math.max(0, expectation(logPolicy, logPolicy.map((x, i) => x - logBase[i])));

  /* All that is said of one policy. */
  function describe(world, logPolicy) {
    const right = pick(logPolicy, world.flags, true), wrong = pick(logPolicy, world.flags, false);
    const logit = logSum(right) - logSum(wrong), logQ = normalised(right);
    return {
      log_policy: logPolicy,
      logit,
      mass: 1 / (1 + Math.exp(-logit)),
      entropy: entropy(logQ),
      effective: effective(logQ),
      divergence: kl(logPolicy, world.logBase),
      pass_at: KS.map((k) => -Math.expm1(-k * softplus(logit))),
    };
  }

  /* ------------------------------------------------------------------------------------------------ closed forms */

  function exponents(s) {
    const weight = s.beta + s.gamma; // a true entropy bonus: its proxy at beta + gamma
    return {
      base: { a: 0, b: 0, kappa: 0 },
      vanilla: { a: 0, b: 0, kappa: 1 / s.beta },
      bonus: { a: s.gamma / weight, b: -s.gamma / weight, kappa: 1 / weight },
      smoothed: { a: s.gamma_p / s.beta, b: s.gamma_n / s.beta, kappa: 1 / s.beta },
    };
  }

  /* d logit C / d gamma of the entropy bonus, at the present gamma and beta. */
  function entropySlope(world, s, { a, kappa }) {
    const surprise = (which) => {
      const logs = pick(world.logBase, world.flags, which);
      return expectation(normalised(logs.map((x) => (1 - a) * x)), logs.map((x) => -x));
    };
    return (s.beta * (surprise(true) - surprise(false)) - 1) * kappa ** 2;
  }

  /* The gamma_p above which smoothing raises diversity instead of slowing its fall, at gamma_n and at the base. */
  function criticalGamma(world, gammaN, centered) {
    const right = pick(world.logBase, world.flags, true), wrong = pick(world.logBase, world.flags, false);
    if (Math.max(...right) - Math.min(...right) <= UNIFORM) return 0;
    const logQ = normalised(right), logC = logSum(right), logW = logSum(wrong), spread = entropy(logQ);
    const u = logQ.map((x) => x + spread), squares = logQ.map((x) => 2 * x), q = logQ.map(Math.exp);
    const level = expectation(logQ, q), shift = expectation(logQ, u), w = Math.exp(logW);
    /* E[q u] as a covariance: near uniform q its terms would cancel */
    const first = expectation(logQ, q.map((x, i) => (x - level) * (u[i] - shift)));
    const second = expectation(squares, u.map((x) => x * x));
    const drag = second - (centered ? 0 : w * (spread - logC) * first);
    return drag > 0 ? w * (1 + gammaN * (entropy(normalised(wrong)) - logW)) * first / drag : Infinity;
  }

  /* How likely each completion is to be in a group that teaches: sampled, in a group that is not uniform. */
  function selection(world, size) {
    const mass = { true: 0, false: 0 };
    for (const which of [true, false]) mass[which] = logSum(pick(world.logBase, world.flags, which));
    return world.logBase.map((x, i) => {
      const logMass = mass[world.flags[i]], share = Math.min(Math.exp(x - logMass), 1);
      const sampled = -Math.expm1(size * Math.log1p(-Math.exp(x)));
      const uniform = -Math.exp(size * logMass) * Math.expm1(size * Math.log1p(-share));
      return Math.min(Math.max(sampled - uniform, 0), 1);
    });
  }

  /* -------------------------------------------------------------------------------- the frontier, and domination */

  /* KL(pi, p) of the policy with conditionals q_a and s_b, as a function of z = logit C:
     kl(C, c) + C KL(q, q_b) + (1 - C) KL(s, s_b). */
  function distance(world, a, b) {
    const right = pick(world.logBase, world.flags, true), wrong = pick(world.logBase, world.flags, false);
    const logC = logSum(right), logW = logSum(wrong);
    const ownP = kl(normalised(right.map((x) => (1 - a) * x)), normalised(right));
    const ownN = kl(normalised(wrong.map((x) => (1 + b) * x)), normalised(wrong));
    const at = (z) => {
      const high = -softplus(-z), low = -softplus(z);
      return Math.max(0, Math.exp(high) * (high - logC + ownP) + Math.exp(low) * (low - logW + ownN));
    };
    return { at, lowest: logC - logW - ownP + ownN, certain: ownP - logC };
  }

  /* The highest Pass@1 at each evenness of the correct completions within a reverse KL of `budget`. */
  function frontier(world, budget) {
    const right = pick(world.logBase, world.flags, true), points = [];
    for (let i = 0; i < FRONTIER_POINTS; i++) {
      const a = i / (FRONTIER_POINTS - 1), { at, lowest, certain } = distance(world, a, 0);
      const logit = budget >= certain ? Infinity : highest(at, lowest, budget);
      if (logit === null) break;
      const logQ = normalised(right.map((x) => (1 - a) * x));
      points.push({ a, logit, mass: 1 / (1 + Math.exp(-logit)), entropy: entropy(logQ), effective: effective(logQ) });
    }
    return points;
  }

  function highest(at, lowest, budget) {
    if (at(lowest) - budget > 1e-12) return null;
    let low = lowest, high = lowest + 1;
    while (at(high) < budget) high += high - low;
    for (let i = 0; i < 200; i++) {
      const middle = (low + high) / 2;
      if (at(middle) <= budget) low = middle; else high = middle;
    }
    return low;
  }

  /* Can smoothing match the entropy bonus in Pass@1 and diversity within the same reverse KL? (Theorem 3.4)
     `centered` allows an offset in the bonus. */
  function dominate(world, exponent, policy, centered) {
    const { logBase, flags } = world, { a: aE, kappa: kappaE } = exponent;
    const right = pick(logBase, flags, true), wrong = pick(logBase, flags, false);
    const uniform = Math.max(...right) - Math.min(...right) <= UNIFORM;
    const a = uniform ? (centered ? 1 : 0) : aE; // a bonus has an exponent below 1, where diversity rises with it
    const floor = logSum(right.map((x) => (1 - a) * x)) - logSum(wrong);
    const { at, lowest } = distance(world, a, 0);
    const allowed = policy.divergence + SLACK * (1 + policy.divergence), free = centered && a > 0;
    let logit = policy.logit;
    if (!free) {
      logit = Math.max(policy.logit, floor, lowest);
      for (let step = 1; logit <= floor && step > 1e-12; step /= 2) {
        if (at(floor + step) <= allowed) logit = floor + step;
      }
    }
    const kappa = logit - floor, beta = free ? 1 / kappaE : kappa > 0 ? 1 / kappa : Infinity;
    return {
      feasible: at(logit) <= allowed,
      gamma_p: a ? a * beta : 0,
      beta,
      offset: free ? (kappaE - kappa) / a : 0,
      a,
      kappa,
      lever: kappaE - logSum(normalised(wrong).map((x, i) => x - aE * wrong[i])),
      divergence: at(logit),
      logit,
      entropy: entropy(normalised(right.map((x) => (1 - a) * x))),
    };
  }

  /* ------------------------------------------------------------------------------------------- expected training */

  const gradient = (logs, reward) => {
    const mean = expectation(logs, reward);
    return logs.map((x, i) => Math.exp(x) * (reward[i] - mean));
  };

  /* E over K ~ Bin(G, C) of sqrt(K (G - K)) / G: the pull of GRPO towards correctness. */
  function pull(logC, logW, size) {
    let logChoose = 0, total = 0;
    for (let k = 1; k < size; k++) {
      logChoose += Math.log(size - k + 1) - Math.log(k);
      total += Math.exp(logChoose + k * logC + (size - k) * logW) * Math.sqrt(k * (size - k)) / size;
    }
    return total;
  }

  /* The expected change of the logits in one on-policy step of size 1. */
  function expectedUpdate(logs, flags, s, gammaP, gammaN) {
    const bonus = logs.map((x, i) => (flags[i] ? -gammaP * x : gammaN * x));
    if (s.stage === "reward") {
      return gradient(logs, bonus.map((x, i) => x + (flags[i] ? 1 : 0))).map((x) => x * (1 - 1 / s.group_size));
    }
    const right = logSum(pick(logs, flags, true)), wrong = logSum(pick(logs, flags, false));
    const m = pull(right, wrong, s.group_size), extra = gradient(logs, bonus);
    return logs.map((x, i) => m * Math.exp(x - (flags[i] ? right : wrong)) * (flags[i] ? 1 : -1) + extra[i]);
  }

  function train(world, s, gammaP, gammaN) {
    const run = { logit: [], entropy: [], effective: [], log_policy: [] };
    let logs = world.logBase;
    for (let step = 0; step <= s.steps; step++) {
      if (step > 0) {
        const update = expectedUpdate(logs, world.flags, s, gammaP, gammaN);
        logs = normalised(logs.map((x, i) => x + s.learning_rate * update[i]));
      }
      const right = pick(logs, world.flags, true), logQ = normalised(right);
      run.logit.push(logSum(right) - logSum(pick(logs, world.flags, false)));
      run.entropy.push(entropy(logQ));
      run.effective.push(effective(logQ));
      run.log_policy.push(logs);
    }
    return run;
  }

  function compute(settings) {
    check(settings);
    const world = basePolicy(settings), exponent = exponents(settings), policies = {};
    for (const name of Object.keys(exponent)) policies[name] = describe(world, tilt(world, exponent[name]));
    const budget = policies[settings.budget_of].divergence;
    return {
      log_base: world.logBase,
      correct: world.flags,
      ks: KS,
      policies,
      entropy_slope: entropySlope(world, settings, exponent.bonus),
      critical_gamma: {
        centered: criticalGamma(world, settings.gamma_n, true),
        uncentered: criticalGamma(world, settings.gamma_n, false),
      },
      selection: selection(world, settings.group_size),
      budget,
      frontier: frontier(world, budget),
      match: dominate(world, exponent.bonus, policies.bonus, false),
      match_centered: dominate(world, exponent.bonus, policies.bonus, true),
      training: {
        grpo: train(world, settings, 0, 0),
        smoothed: train(world, settings, settings.gamma_p, settings.gamma_n),
      },
    };
  }

  return { compute, LIMITS, CHOICES };
})();
