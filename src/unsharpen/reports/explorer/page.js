/* The page: settings in, sentences and charts out. */
"use strict";

(() => {
  const { compute, LIMITS, CHOICES } = unsharpen;
  const $ = (id) => document.getElementById(id);
  const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const COUNTS = range(1, 12), MASSES = [0.01, 0.02, ...range(1, 19).map((i) => i / 20), 0.98, 0.99];
  const BETAS = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10];
  const LEADS = [1, 1.5, 2, 3, 5, 7, 10, 17, 20, 30, 50, 100, 200, 500, 1000, 10000];
  const GAMMAS = [0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5];
  const times = (x) => `${words.short(x)} ×`;

  /* name: [section, label, values, how to show one, help] */
  const SLIDERS = {
    beta: ["policy", "beta, weight of the KL term", BETAS],
    gamma_p: ["policy", "gamma_p, smoothing of correct answers (per nat)", GAMMAS],
    gamma_n: ["policy", "gamma_n, smoothing of wrong answers (per nat)", GAMMAS],
    gamma: ["policy", "gamma, entropy bonus (per nat)", GAMMAS],
    correct: ["base", "Correct answers", COUNTS],
    wrong: ["base", "Wrong answers", COUNTS],
    mass: ["base", "Pass@1 of the base model", MASSES],
    lead_correct: ["base", "Likeliest to least likely correct answer", LEADS, times],
    lead_wrong: ["base", "Likeliest to least likely wrong answer", LEADS, times],
    group_size: ["training", "Group size (samples per step)", [2, 4, 8, 16, 32, 64, 128, 256]],
    learning_rate: ["training", "Learning rate (of the logits)", [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4]],
    steps: ["training", "Steps", [20, 50, 100, 200, 500]],
  };
  const OPTIONS = {
    budget_of: { bonus: "the entropy bonus", vanilla: "vanilla RL", smoothed: "differential smoothing" },
    stage: {
      advantage: "after scaling by the std (ds-grpo-sum)",
      reward: "in the reward, nothing scaled (ds-grpo-reward)",
    },
  };
  const START = {
    correct: 10, wrong: 6, mass: 0.3, lead_correct: 20, lead_wrong: 10, beta: 0.5, gamma: 0.3, gamma_p: 0.3, gamma_n: 0,
    group_size: 8, learning_rate: 0.5, steps: 200, stage: "advantage", budget_of: "bonus",
  };
  const PRESETS = {
    "Many solutions": { correct: 10, wrong: 6, mass: 0.3, lead_correct: 20, lead_wrong: 10 },
    "Few solutions": { correct: 2, wrong: 10, mass: 0.3, lead_correct: 5, lead_wrong: 10 },
    "One dominant correct solution": { correct: 6, wrong: 6, mass: 0.4, lead_correct: 10000, lead_wrong: 10 },
    "A counterexample: the bonus can't be matched": {
      correct: 2, wrong: 1, mass: 0.9, lead_correct: 17, lead_wrong: 1, beta: 0.2, gamma: 2, gamma_p: 0.2, gamma_n: 0,
    },
  };
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const STEPS_PER_SECOND = 20, LONGEST_SECONDS = 12;

  let settings = { ...START }, numbers = null, now = 0, playing = null, spoken = null;

  /* ------------------------------------------------------------------------------------- settings, sliders, address */

  function valid(name, text) {
    if (name in CHOICES) return CHOICES[name].includes(text) ? text : undefined;
    const value = Number(text), [least, most, whole] = LIMITS[name];
    return text !== "" && value >= least && value <= most && (!whole || Number.isInteger(value)) ? value : undefined;
  }

  function fromAddress() {
    const found = { ...START };
    for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
      const value = name in START ? valid(name, text) : undefined;
      if (value !== undefined) found[name] = value;
    }
    return found;
  }

  function toAddress() {
    const changed = Object.entries(settings).filter(([name, value]) => value !== START[name]);
    history.replaceState(null, "", `#${new URLSearchParams(changed)}`);
  }

  const nearest = (values, value) => values.reduce((best, v, i) =>
    (Math.abs(v - value) < Math.abs(values[best] - value) ? i : best), 0);

  function build() {
    for (const [name, [section, label, values, show = words.short]] of Object.entries(SLIDERS)) {
      const field = document.createElement("div");
      field.className = "field";
      field.innerHTML = `<label for="${name}">${label} <output id="${name}-value" for="${name}"></output></label>` +
        `<input type="range" id="${name}" min="0" max="${values.length - 1}" step="1">`;
      $(`${section}-settings`).append(field);
      $(name).addEventListener("input", () => change({ [name]: values[$(name).valueAsNumber] }));
      SLIDERS[name][3] = show;
    }
    for (const [name, labels] of Object.entries(OPTIONS)) {
      $(name).append(...Object.entries(labels).map(([value, label]) => new Option(label, value)));
      $(name).addEventListener("change", () => change({ [name]: $(name).value }));
    }
    $("preset").append(new Option("Your own settings", ""));
    $("preset").append(...Object.keys(PRESETS).map((name) => new Option(name, name)));
    $("preset").addEventListener("change", () => change(PRESETS[$("preset").value] || {}));
    for (const legend of document.querySelectorAll("[data-legend]")) {
      legend.innerHTML = legend.dataset.legend.split(" ")
        .map((name) => `<span>${charts.key(name)}${words.NAMES[name]}</span>`).join("");
    }
    if (matchMedia("(max-width: 68rem)").matches) {
      for (const group of document.querySelectorAll("#controls details + details")) group.open = false;
    }
  }

  function showSettings() {
    for (const [name, [, , values, show]] of Object.entries(SLIDERS)) {
      $(name).value = nearest(values, settings[name]);
      $(name).setAttribute("aria-valuetext", show(settings[name]));
      $(`${name}-value`).textContent = show(settings[name]);
    }
    for (const name of Object.keys(OPTIONS)) $(name).value = settings[name];
    const same = ([, preset]) => Object.entries(preset).every(([name, value]) => settings[name] === value);
    $("preset").value = (Object.entries(PRESETS).find(same) || [""])[0];
  }

  function change(some) {
    settings = { ...settings, ...some };
    toAddress();
    render();
  }

  /* ------------------------------------------------------------------------------------------------------- drawing */

  const width = (element) => Math.max(240, Math.floor(element.clientWidth));
  const probabilities = (logs) => logs.map(Math.exp);

  function barPanel(name, logs, heading, text, top, panelWidth) {
    const after = probabilities(logs), before = probabilities(numbers.log_base);
    const alt = `${words.NAMES[name]}: the ${settings.correct} correct and ${settings.wrong} wrong answers`;
    const chart = charts.bars(panelWidth, { name, after, before, flags: numbers.correct, top, alt });
    return `<div><h3>${words.NAMES[name]} <span>${heading}</span></h3>${chart}<p>${text}</p></div>`;
  }

  const measured = (mass, effective) => `Pass@1 ${words.chance(mass)}, ${words.count(effective)} effective solutions`;
  const columnWidth = (grid) => Math.floor(parseFloat(getComputedStyle(grid).gridTemplateColumns));

  function drawPolicies() {
    const entries = Object.entries(numbers.policies), grid = $("bars"), wide = columnWidth(grid);
    const top = 1.05 * Math.max(...entries.flatMap(([, p]) => probabilities(p.log_policy)));
    grid.innerHTML = entries.map(([name, p]) =>
      barPanel(name, p.log_policy, measured(p.mass, p.effective), words.policy(name, numbers), top, wide)).join("");
    const row = ([name, p]) => `<tr><th scope="row">${words.NAMES[name]}</th><td>${words.chance(p.mass)}</td>` +
      `<td>${words.count(p.effective)}</td><td>${p.entropy.toFixed(3)}</td><td>${words.short(p.divergence)}</td></tr>`;
    const head = ["policy", "Pass@1", "effective", "H(q)", "KL"].map((text) => `<th scope="col">${text}</th>`).join("");
    $("numbers").innerHTML = "<caption>Pass@1, effective number of correct solutions, variety H(q) and KL from the " +
      `base (both in nats)</caption><thead><tr>${head}</tr></thead><tbody>${entries.map(row).join("")}</tbody>`;
    $("pass-at-k").innerHTML = charts.lines(width($("pass-at-k")), {
      series: entries.map(([name, p]) => ({ name, values: p.pass_at })),
      x: numbers.ks, low: 0, top: 1, logarithmic: true, xTicks: [1, 4, 16, 64, 256],
      labels: { x: "samples k", y: "Pass@k", alt: "Pass@k over k for the base model and the three policies" },
    });
  }

  function drawFrontier() {
    const entries = Object.entries(numbers.policies), beyond = (p) => p.divergence > numbers.budget * (1 + 1e-9);
    $("frontier").innerHTML = charts.map(width($("frontier")), {
      line: numbers.frontier.map((p) => ({ ...p, mass: Number.isFinite(p.logit) ? p.mass : 1 })),
      points: entries.map(([name, p]) => ({ name, mass: p.mass, entropy: p.entropy, beyond: beyond(p) })),
      ceiling: Math.log(Math.max(settings.correct, 2)) * 1.03,
      labels: { x: "Pass@1", y: "variety H(q), nats", alt: "Pass@1 against variety: the best line and the policies" },
    });
    $("frontier-words").textContent = words.frontier(numbers);
    [$("answer").textContent, $("domination").textContent] = words.domination(settings, numbers);
  }

  function drawTraining() {
    const runs = Object.entries(numbers.training), grid = $("training-bars"), wide = columnWidth(grid);
    const all = [numbers.log_base, ...runs.map(([, run]) => run.log_policy[now])];
    const top = 1.05 * Math.max(...all.flatMap(probabilities));
    const mass = (z) => 1 / (1 + Math.exp(-z));
    grid.innerHTML = runs.map(([name, run]) =>
      barPanel(name, run.log_policy[now], measured(mass(run.logit[now]), run.effective[now]), "", top, wide)).join("");
    const x = Array.from({ length: settings.steps + 1 }, (_, i) => i);
    const draw = (id, values, low, high, label) => {
      $(id).innerHTML = charts.lines(width($(id)), {
        series: runs.map(([name, run]) => ({ name, values: values(run) })), x, low, top: high, cursor: now,
        labels: { x: "training step", y: label, alt: `${label} over training steps, GRPO and differential smoothing` },
      });
    };
    draw("training-mass", (run) => run.logit.map(mass), 0, 1, "Pass@1");
    draw("training-effective", (run) => run.effective, 0, Math.max(settings.correct, 2), "effective solutions");
    $("training-words").textContent = words.training(settings, numbers, now);
    $("at").value = now;
    $("at-value").textContent = `${now} of ${settings.steps}`;
    $("one").disabled = now >= settings.steps;
  }

  /* A screen reader hears the summary once the sliders rest. */
  function speak() {
    clearTimeout(spoken);
    const say = () => { $("summary").textContent = words.summary(settings, numbers); };
    if ($("summary").textContent) spoken = setTimeout(say, 250); else say();
  }

  function render() {
    stop();
    numbers = compute(settings);
    now = Math.min(now, settings.steps);
    $("at").max = settings.steps;
    showSettings();
    $("warnings").replaceChildren(...words.warnings(settings, numbers).map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
    $("bias").textContent = words.bias(settings, numbers);
    speak();
    draw();
  }

  function draw() {
    drawPolicies();
    drawFrontier();
    drawTraining();
  }

  /* ----------------------------------------------------------------------------------------------------- animation */

  function stop() {
    if (playing !== null) cancelAnimationFrame(playing);
    playing = null;
    $("play").textContent = calm.matches ? "Show the end" : "Play";
  }

  function play() {
    if (playing !== null) return stop();
    if (calm.matches) return go(settings.steps);
    if (now >= settings.steps) go(0);
    const first = now, speed = Math.max(STEPS_PER_SECOND, settings.steps / LONGEST_SECONDS);
    let start = null;
    const tick = (time) => {
      start ??= time;
      const due = Math.min(settings.steps, first + Math.floor((time - start) / 1000 * speed));
      if (due !== now) { now = due; drawTraining(); }
      if (now >= settings.steps) stop(); else playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
    $("play").textContent = "Pause";
  }

  function go(step) {
    stop();
    now = Math.min(Math.max(step, 0), settings.steps);
    drawTraining();
  }

  $("play").addEventListener("click", play);
  $("one").addEventListener("click", () => go(now + 1));
  $("rewind").addEventListener("click", () => go(0));
  $("at").addEventListener("input", () => go($("at").valueAsNumber));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("controls").addEventListener("reset", (event) => { event.preventDefault(); now = 0; change({ ...START }); });
  $("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      $("copied").textContent = "Copied.";
    } catch { // not allowed, or not there in this browser
      $("copied").textContent = "The link is in the address bar.";
    }
  });
  addEventListener("hashchange", () => { settings = fromAddress(); render(); });
  calm.addEventListener("change", stop);
  build();
  settings = fromAddress();
  now = settings.steps;
  render();
  let seen = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== seen) { seen = innerWidth; draw(); } });
})();
