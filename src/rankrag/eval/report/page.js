// The question browser. All text enters as textContent: nothing from a document becomes markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const pick = (name) => document.getElementById("pick-" + name);
  const rows = document.getElementById("rows");
  const more = document.getElementById("more");
  const STEP = 25;
  let found = [];
  let shown = 0;

  function make(tag, text, name) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  }

  function fill(select, options, value) {
    select.replaceChildren(...options.map(([key, title]) => {
      const option = make("option", title);
      option.value = key;
      return option;
    }));
    if (options.some(([key]) => String(key) === String(value))) select.value = value;
  }

  const percent = (x) => (x === null ? "–" : (100 * x).toFixed(1).replace("-", "−"));
  const signed = (x) => (x === null ? "–" : (x > 0 ? "+" : "") + percent(x));

  // ── choosing ───────────────────────────────────────────────────────────────────────────────────

  function ofBenchmark() {
    const benchmark = Number(pick("benchmark").value);
    return data.questions.filter((question) => question[0] === benchmark);
  }

  // The measures that a question of the benchmark has; the benchmark's own come first.
  function measures() {
    const has = new Set();
    for (const question of ofBenchmark())
      for (const given of question[4])
        if (given) given[1].forEach((value, n) => value !== null && has.add(n));
    const own = data.benchmarks[Number(pick("benchmark").value)][1].map((name) => data.measures.indexOf(name));
    const order = [...own.filter((n) => has.has(n)), ...[...has].filter((n) => !own.includes(n)).sort((x, y) => x - y)];
    fill(pick("measure"), order.map((n) => [n, data.measures[n]]), pick("measure").value);
  }

  function matches(question, words) {
    if (!words.length) return true;
    const given = question[4].filter(Boolean).map((one) => one[0]);
    const text = [question[1], question[2], ...question[3], ...given].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  }

  function choose() {
    const [a, b, measure] = ["a", "b", "measure"].map((name) => Number(pick(name).value));
    const words = pick("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = { all: () => true, wins: (d) => d > 0, losses: (d) => d < 0, ties: (d) => d === 0 }[pick("show").value];
    const value = (question, system) => (question[4][system] ? question[4][system][1][measure] ?? null : null);
    found = ofBenchmark()
      .filter((question) => matches(question, words))
      .map((question) => {
        const [x, y] = [value(question, a), value(question, b)];
        return { question, x, y, difference: x === null || y === null ? null : y - x };
      })
      .filter((one) => pick("show").value === "all" || (one.difference !== null && wanted(one.difference)));
    const size = (one) => (one.difference === null ? -1 : Math.abs(one.difference));
    found.sort((one, other) => size(other) - size(one)); // stable: equal ones keep the order of the sample
    const name = data.measures[measure] ?? "no measure";
    document.getElementById("count").textContent =
      `${found.length} questions; the difference is B minus A in ${name} (x100), largest first`;
    rows.replaceChildren();
    shown = 0;
    show();
  }

  // ── showing ────────────────────────────────────────────────────────────────────────────────────

  function show() {
    rows.append(...found.slice(shown, shown + STEP).map(card));
    shown = Math.min(found.length, shown + STEP);
    more.hidden = shown >= found.length;
    more.textContent = `Show more (${found.length - shown} left)`;
  }

  function card({ question, x, y, difference }) {
    const article = make("article");
    const head = make("h3", question[2]);
    const tone = difference > 0 ? "better" : difference < 0 ? "worse" : "open";
    head.prepend(make("span", signed(difference), tone));
    const gold = make("p", undefined, "gold");
    gold.append(make("b", "Gold "), question[3].join(" / ") || "no answer in the passages");
    const pair = make("div", undefined, "pair");
    pair.append(answer(question, "a", "A", x), answer(question, "b", "B", y));
    article.append(head, gold, pair, make("p", question[1], "id"));
    return article;
  }

  function answer(question, side, letter, value) {
    const system = Number(pick(side).value);
    const given = question[4][system];
    const box = make("div");
    const head = make("p", undefined, "system");
    head.append(make("b", `${letter} ${data.systems[system]}`), ` ${percent(value)}`);
    box.append(head, make("p", given ? given[0] || "(nothing)" : "not asked", "answer"));
    if (given && given[2].length) box.append(passages(given[2]));
    return box;
  }

  function passages(read) {
    const details = make("details");
    const list = make("ol");
    for (const n of read) {
      const item = make("li");
      const [title, words] = data.passages[n];
      if (title) item.append(make("b", title), " ");
      item.append(words);
      list.append(item);
    }
    details.append(make("summary", "first passages read"), list);
    return details;
  }

  // ── start ──────────────────────────────────────────────────────────────────────────────────────

  const asked = new Set(data.questions.map((question) => question[0]));
  fill(pick("benchmark"), data.benchmarks.map(([title], n) => [n, title]).filter(([n]) => asked.has(n)));
  for (const side of ["a", "b"]) fill(pick(side), data.systems.map((name, n) => [n, name]), data[side]);
  fill(pick("show"), [["all", "all"], ["wins", "wins of B"], ["losses", "losses of B"], ["ties", "ties"]]);
  measures();
  choose();
  pick("benchmark").addEventListener("change", () => { measures(); choose(); });
  for (const name of ["a", "b", "measure", "show"]) pick(name).addEventListener("change", choose);
  pick("text").addEventListener("input", choose);
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", show);
})();
