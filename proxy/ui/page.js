
"use strict";
// The page at /ui: reads the stream of /ui/events and shows each picture of it. Whatever comes from
// engines and clients becomes text, never markup: the policy of the page forbids anything else.

// --- small things -------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);

// make("td", {class: "num", title: "x"}, child, "text"...)
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
// Only what has changed is touched: a reader's selection and focus stay.
function say(node, text) { if (node.textContent !== String(text)) node.textContent = text; }
function show(node, yes) { if (node.hidden === Boolean(yes)) node.hidden = !yes; }
// With `commands` set as such.
function sayCode(node, text) {
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(...text.split("`").map((part, i) => i % 2 ? make("code", {}, part) : part));
}
function paint(node, name) { if (node.className !== name) node.className = name; }

function figure(value) {
  if (!(value > 0)) return "0";
  if (value >= 1e6) return (value / 1e6).toFixed(1) + "M";
  if (value >= 1e4) return Math.round(value / 1e3) + "k";
  if (value >= 10) return String(Math.round(value));
  return String(Number(value.toPrecision(2)));
}
function time(seconds) {
  if (!(seconds > 0)) return "0\u00a0s";
  if (seconds < 0.9995) return Math.max(1, Math.round(seconds * 1000)) + "\u00a0ms";
  if (seconds < 9.95) return seconds.toFixed(1) + "\u00a0s";
  if (seconds < 99.5) return Math.round(seconds) + "\u00a0s";
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (seconds < 3600) return Math.floor(seconds / 60) + ":" + two(seconds % 60) + "\u00a0min";
  if (seconds < 86400) return Math.floor(seconds / 3600) + ":" + two(seconds % 3600 / 60) + "\u00a0h";
  return Math.floor(seconds / 86400) + "\u00a0d\u00a0" + Math.floor(seconds % 86400 / 3600) + "\u00a0h";
}
const orNone = (seconds) => seconds > 0 ? time(seconds) : "-";
const percent = (share) => Math.round(100 * share) + "%";
const clock = (date) => new Date(date).toLocaleTimeString([], {hour12: false});
const many = (n, one, more) => n + " " + (n === 1 ? one : more || one + "s");

const SVG = "http://www.w3.org/2000/svg";
function sparkline() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const name of ["under", "line"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}
// `values`: oldest first; null where nothing was known. The newest stands at the right edge.
function drawSparkline(svg, values, least) {
  const most = Math.max(least, ...values.filter((v) => v !== null));
  let line = "", under = "", start = 0;
  values.forEach((value, i) => {
    const x = 100 - (values.length - 1 - i) * 100 / (POINTS - 1);
    if (value === null) return;
    const begins = i === 0 || values[i - 1] === null;
    const at = x.toFixed(1) + " " + (28.5 - 27 * value / most).toFixed(1);
    line += (begins ? "M" : "L") + at;
    if (begins) start = x;
    under += (begins ? "M" + x.toFixed(1) + " 30L" : "L") + at;
    if (i === values.length - 1 || values[i + 1] === null) under += "L" + x.toFixed(1) + " 30L" + start.toFixed(1) + " 30Z";
  });
  svg.lastChild.setAttribute("d", line);
  svg.firstChild.setAttribute("d", under);
}

const cell = (label, kind, ...children) =>
  make("td", {role: "cell", "data-label": label || undefined, class: kind || undefined}, ...children);
const heads = (row, names, numeric = []) => row.replaceChildren(...names.map((name) =>
  make("th", {role: "columnheader", scope: "col", class: numeric.includes(name) ? "num" : undefined}, name)));

function fillTable(table, names, rows, numeric) {
  const row = make("tr", {role: "row"});
  heads(row, names, numeric);
  table.replaceChildren(make("thead", {role: "rowgroup"}, row), make("tbody", {role: "rowgroup"}, ...rows));
  show(table, rows.length > 0);
}

// Rows by name, made once, in the order of `items`.
class Kept {
  constructor(parent, create) { this.parent = parent; this.create = create; this.all = new Map(); }
  update(items, nameOf, fill) {
    const names = new Set(items.map(nameOf));
    for (const [name, kept] of this.all) {
      if (!names.has(name)) { kept.nodes.forEach((node) => node.remove()); this.all.delete(name); }
    }
    let before = this.parent.firstChild;
    for (const item of items) {
      const name = nameOf(item);
      if (!this.all.has(name)) this.all.set(name, this.create(name));
      const kept = this.all.get(name);
      fill(kept, item);
      for (const node of kept.nodes) {
        if (node === before) before = before.nextSibling;
        else this.parent.insertBefore(node, before);
      }
    }
  }
}

// --- what there is to say -----------------------------------------------------------------------

const POINTS = 180;
const past = {rate: [], queue: [], p95: [], fill: [], cache: [], errors: [], engines: {}};
let now = null;       // the last picture
let rights = {orders: false};
let config = new Map();

// The worst first, and how bad.
const CONDITIONS = ["stuck", "failing", "down", "quiet", "slow", "untended", "loading", "paused", "stopping", "stopped", "fine"];
const LOOKS = {stuck: "bad", failing: "bad", down: "bad", quiet: "warn", slow: "warn", untended: "warn", loading: "warn", paused: "warn", stopping: "warn", stopped: "warn", fine: "good"};

const setting = (key) => config.has(key) ? key + " (" + config.get(key) + ")" : key;

// What to do about an engine that is not fine.
const ADVICE = {
  stuck: (e) => (others(e) ? "The others answer in its place. " : "No other engine can answer in its place. ") + (e.launched
    ? "batchproxy kills and restarts it by itself after " + setting("launcher.liveness_timeout") + " without a sign of life. Restart it now if that is too late."
    : "batchproxy has not started it: restart its server at " + e.url + "."),
  failing: (e) => "Look for the first error in its log" + (e.launched ? ": `batchproxy diagnose LOG` names the cause. Restart it if its calls go on failing." : " at " + e.url + "."),
  down: (e) => {
    if (!e.launched) return "Look whether its server runs and can be reached at " + e.url + ".";
    if (e.state === "failed") return "It is not started again by itself. `batchproxy diagnose LOG` names the cause; mend that, then start it.";
    if (e.state === "draining") return "A reload has removed it. It finishes the requests that it has.";
    return "Its process runs and does not answer. batchproxy kills and restarts it by itself after " + setting("launcher.liveness_timeout") + " without a sign of life. Restart it now if that is too late.";
  },
  quiet: (e) => "Wait a little: long answers look like this. Without a byte or a step for " + setting("stuck_timeout") + " it counts as stuck.",
  slow: (e) => "Look at its GPUs" + (e.gpus ? " (" + e.gpus + ")" : "") + ": heat, clocks, another process on them (`nvidia-smi`, `batchproxy gpus`). "
    + (e.launched && others(e) ? "Drain it if the others can carry the load." : ""),
  loading: (e) => others(e) ? "Nothing to do: the others answer meanwhile." : "Nothing to do: requests wait until it is there, for " + setting("hold_timeout") + " at most.",
  paused: () => "It gets no requests until you resume it.",
  untended: () => "It serves on. Look at its node: the agent or the whole node may sleep or hang. If the engine falls silent too, it is started again.",
  stopping: () => "An operator has asked for its end, which may not have come.",
  stopped: () => "An operator has stopped it. Start it when it is wanted again.",
};
const others = (one) => now.backends.some((e) => e !== one && e.state === "ready" && !["stuck", "failing"].includes(e.condition));

// Of the whole proxy: {name, look, title, advice}.
function generalConcerns() {
  const found = [];
  const add = (name, look, title, advice) => found.push({name: "/" + name, look, title, advice});
  if (now.state === "draining") add("draining", "warn", "batchproxy is stopping", "It finishes the requests that it has, and takes no new ones.");
  if (now.state === "no_backend") {
    add("none", "bad", "No engine is ready", "Requests wait for one, for " + setting("hold_timeout") + " at most, and are then answered 503. See the engines below.");
  } else if (now.queue.waiting_for && now.queue.oldest_seconds > 5) {
    const batch = now.jobs.length > 0;  // its requests fill what is left, and wait
    add("queue", now.queue.oldest_seconds > 30 && !batch ? "bad" : "warn", many(now.requests.queued, "request waits", "requests wait") + ", the oldest for " + time(now.queue.oldest_seconds),
      "They wait for " + now.queue.waiting_for + ". " + (batch ? "Those of a batch may: it lets all others go first. " : "") + (now.queue.waiting_for.startsWith("room: the ready") ? "If all engines are fine, more is asked for than they can answer: send less at once, or add engines." : ""));
  }
  const rate = now.rates.last_10s.errors;
  if (rate > 0) {
    add("errors", "warn", figure(rate) + (rate === 1 ? " error a second" : " errors a second"), "Error answers of batchproxy itself, in the last 10 s. \"Failed last\" below has the requests and why; docs/ERRORS.md has what to do about each code.");
  }
  if (now.config && now.config.last_reload_success === 0) {
    add("reload", "warn", "The last reload was refused", "The configuration is still the one before. The log says what is wrong; `batchproxy check` does, too.");
  }
  return found;
}

// --- the parts of the page ----------------------------------------------------------------------

function button(text, act, extra = {}) { return make("button", {type: "button", onclick: act, ...extra}, text); }

// Buttons for an engine: those that are wanted now, or those that rarely are.
function verbsFor(name, rare) {
  const drain = button("Drain", () => order(name, isPaused(name) ? "resume" : "pause"));
  const restart = button("Restart", () => ask(name, "restart", "It finishes its requests, then its process is ended and started again. It loads for a while, and gets no requests meanwhile."));
  const stop = button("Stop", () => ask(name, "stop", "It finishes its requests, then its process is ended. It stays down until somebody starts it."));
  const start = button("Start", () => order(name, "start"));
  const nodes = rare ? [stop] : [drain, restart, start];
  const label = (node, text) => { say(node, text); node.setAttribute("aria-label", text + " " + name); };
  label(restart, "Restart");
  label(stop, "Stop");
  label(start, "Start");
  return {nodes, update(e) {
    const may = rights.orders && e.launched;
    const isDown = ["stopping", "stopped", "failed", "restarting"].includes(e.state);
    label(drain, e.condition === "paused" ? "Resume" : "Drain");
    show(drain, may && !isDown);
    show(restart, may && !isDown);
    show(stop, may && !isDown);
    show(start, may && isDown);
  }};
}
const engineOf = (name) => now && now.backends.find((e) => e.name === name);
const isPaused = (name) => engineOf(name)?.condition === "paused";

const concerns = new Kept($("concerns"), (name) => {
  const title = make("b"), remark = make("span"), advice = make("div", {class: "dim"});
  const item = make("li", {class: "concern"}, make("div", {}, title, " ", remark, advice));
  if (name.startsWith("/")) return {nodes: [item], item, title, remark, advice};
  const verbs = verbsFor(name, false);
  item.append(make("div", {class: "acts"}, ...verbs.nodes));
  item.lastChild.style.flex = "none";
  return {nodes: [item], item, title, remark, advice, verbs};
});

function drawConcerns() {
  const engines = now.backends.filter((e) => e.condition !== "fine")
    .sort((a, b) => CONDITIONS.indexOf(a.condition) - CONDITIONS.indexOf(b.condition))
    .map((e) => ({name: e.name, look: LOOKS[e.condition], title: e.name + " is " + e.condition,
                  remark: e.remark, advice: ADVICE[e.condition](e), engine: e}));
  const all = [...engines, ...generalConcerns()].sort((a, b) => (b.look === "bad") - (a.look === "bad"));
  if (all.length === 0) {
    const count = now.backends.length;
    all.push({name: "/fine", look: "good", title: count === 0 ? "There are no engines" : count === 1 ? "The engine is fine" : "All " + count + " engines are fine",
              advice: count === 0 ? "Name some with --backend, or have batchproxy start them." : "Nothing to do."});
  }
  $("concerns").querySelectorAll("li:not([data-kept])").forEach((node) => node.remove());
  concerns.update(all, (c) => c.name, (kept, c) => {
    kept.item.dataset.kept = "";
    paint(kept.item, "concern " + c.look);
    say(kept.title, c.title);
    say(kept.remark, c.remark ? "- " + c.remark : "");
    sayCode(kept.advice, c.advice);
    kept.verbs?.update(c.engine);
  });
  const bad = all.filter((c) => c.look === "bad").length, warn = all.filter((c) => c.look === "warn").length;
  document.title = (bad ? "(" + bad + "!) " : "") + "batchproxy";
  drawIcon(bad ? "#d3222d" : warn ? "#d99000" : "#12915a");
}

let iconColour = "";
function drawIcon(colour) {
  if (iconColour === colour) return;
  iconColour = colour;
  $("icon").href = "data:image/svg+xml," + encodeURIComponent('<svg xmlns="' + SVG + '" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="' + colour + '"/></svg>');
}

const TILES = [
  ["rate", "Answers a second", 1, () => [figure(now.rates.last_10s.answered), figure(now.rates.last_10s.tokens) + " tokens a second"]],
  ["queue", "Waiting", 1, () => [figure(now.requests.queued), now.requests.queued > 0 ? "the oldest for " + time(now.queue.oldest_seconds) : "nobody waits"]],
  ["p95", "95% take at most", 0.01, () => [orNone(now.trend.p95_seconds), "half of them " + orNone(now.trend.p50_seconds)]],
  ["fill", "Fill of the engines", 1, () => [percent(fill()), now.requests.inflight + " requests in flight"]],
  ["cache", "Prefix cache hits", 1, () => ["prefix_hits" in now.trend ? percent(now.trend.prefix_hits) : "-", "of the prompts' tokens"]],
  ["errors", "Errors a second", 1, () => [figure(now.rates.last_10s.errors), figure(now.rates.last_60s.errors) + " in the last minute"]],
].map(([key, label, least, text]) => {
  const value = make("div", {class: "figure"}, "-"), sub = make("div", {class: "dim"}), svg = sparkline();
  $("tiles").append(make("div", {class: "tile"}, make("div", {class: "dim"}, label), value, sub, svg));
  return {key, least, text, value, sub, svg};
});
function fill() {
  let inflight = 0, room = 0;
  for (const e of now.backends) if (e.state === "ready") { inflight += e.inflight; room += e.room; }
  return room > 0 ? inflight / room : 0;
}
function drawTiles() {
  for (const tile of TILES) {
    const [value, sub] = tile.text();
    say(tile.value, value);
    say(tile.sub, sub);
    drawSparkline(tile.svg, past[tile.key], tile.least);
  }
}

const tells = (e, text) => e.tells_figures ? text() : "-";
const COLUMNS = [
  ["In flight", (e) => e.inflight + "/" + e.room],
  ["Waits in it", (e) => tells(e, () => String(e.engine_waiting))],
  ["Answers/s", (e) => figure(e.trend.answers_per_second_10s)],
  ["Tokens/s", (e) => tells(e, () => figure(e.trend.tokens_per_second_10s))],
  ["p50", (e) => orNone(e.trend.p50_seconds)],
  ["p95", (e) => orNone(e.trend.p95_seconds)],
  ["Oldest", (e) => orNone(e.oldest_seconds)],
  ["KV cache", (e) => tells(e, () => percent(e.kv_use))],
  ["Hits", (e) => "prefix_hits" in e.trend ? percent(e.trend.prefix_hits) : "-"],
  ["Restarts", (e) => String(e.restarts)],
  ["GPUs", (e) => e.gpus || "-"],
  ["State", (e) => e.state + " " + time(e.state_seconds)],
];
const NUMERIC = COLUMNS.map(([name]) => name).filter((name) => !["GPUs", "State"].includes(name));
heads($("engine-heads"), ["Engine", "Is", ...COLUMNS.map(([name]) => name), "Orders"], NUMERIC);

const engines = new Kept($("engine-rows"), (name) => {
  const id = "detail-" + engines.all.size + "-" + Math.random().toString(36).slice(2, 8);
  const facts = make("dl"), detailVerbs = verbsFor(name, true);
  const detail = make("tr", {role: "row", class: "detail", id, hidden: true},
    make("td", {role: "cell", colspan: COLUMNS.length + 3}, facts, make("div", {class: "acts"}, ...detailVerbs.nodes)));
  const title = button(name, () => { show(detail, detail.hidden); title.setAttribute("aria-expanded", !detail.hidden); },
    {class: "link engine" + (name.length < 20 ? " short" : ""), "aria-expanded": "false", "aria-controls": id});
  const pill = make("span", {class: "pill"}), verbs = verbsFor(name, false), bar = make("i"), svg = sparkline();
  const values = COLUMNS.map(() => make("span"));
  const cells = COLUMNS.map(([label], i) => {
    const isRate = label === "Answers/s";
    return cell(label, (NUMERIC.includes(label) ? "num" : "") + (isRate ? " rate" : ""),
      make("span", {}, ...(isRate ? [svg] : []), values[i], ...(i === 0 ? [make("span", {class: "gauge"}, bar)] : [])));
  });
  const row = make("tr", {role: "row"}, cell("", "head", title), cell("Is", "", pill), ...cells, cell("", "verbs", ...verbs.nodes));
  return {nodes: [row, detail], row, detail, facts, pill, verbs, detailVerbs, bar, svg, values};
});

// What the driver tells of its GPUs, where it does.
function gpusOf(e) {
  const own = e.node ? [] : (e.gpus || "").split(",");  // those of other nodes nobody has asked
  return (now.gpus || []).filter((gpu) => own.includes(String(gpu.gpu))).map((gpu) => ["GPU " + gpu.gpu, [gpu.name,
    "temperature_celsius" in gpu && gpu.temperature_celsius + "\u00a0\u00b0C",
    "utilization_percent" in gpu && gpu.utilization_percent + "% at work",
    "memory_used" in gpu && percent(gpu.memory_used / Math.max(1, gpu.memory_total)) + " of its memory used"].filter(Boolean).join(", ")]);
}
// What its remark and its row have no room for.
function factsOf(e) {
  const facts = [
    ["Is", e.condition + (e.remark ? ": " + e.remark : "")],
    ["State", e.state + " for " + time(e.state_seconds)],
    ["Doing", e.doing], ["Not ready", e.problem],
    ["Last problem", e.last_problem && time(e.last_problem.seconds_ago) + " ago: " + e.last_problem.text],
    ["Model", e.models], ["Address", e.url + (e.simulated ? " (simulated)" : "")], ["Node", e.node], ["GPUs", e.gpus],
    ["In flight", e.inflight + " of " + e.room + " prompts, the oldest for " + time(e.oldest_seconds) + ", no byte for " + time(e.quiet_seconds)],
    ["It says", e.tells_figures && e.engine_running + " run, " + e.engine_waiting + " wait, KV cache " + percent(e.kv_use)],
    ["Answered", e.answered + " so far, " + e.trend.answers + " in the last minute"],
    ["Restarts", String(e.restarts)],
    ...gpusOf(e),
    ...(e.repairs || []).map((repair) => ["Repaired", repair]),
  ];
  return facts.filter(([, value]) => value);
}
function fillFacts(list, facts) {
  // Changed in place: a selection must outlive a second.
  if (list.children.length !== 2 * facts.length) {
    list.replaceChildren(...facts.flatMap(() => [make("dt"), make("dd")]));
  }
  facts.forEach(([name, value], i) => { say(list.children[2 * i], name); say(list.children[2 * i + 1], value); });
}

function drawEngines() {
  const wanted = $("only-trouble").checked ? now.backends.filter((e) => e.condition !== "fine") : now.backends;
  engines.update(wanted, (e) => e.name, (kept, e) => {
    const look = LOOKS[e.condition];
    paint(kept.row, look === "good" ? "" : look);
    say(kept.pill, e.condition);
    paint(kept.pill, "pill " + look);
    COLUMNS.forEach(([, text], i) => say(kept.values[i], text(e)));
    kept.bar.style.width = Math.min(100, 100 * e.inflight / Math.max(1, e.room)) + "%";
    drawSparkline(kept.svg, past.engines[e.name] || [], 0.1);
    kept.verbs.update(e);
    kept.detailVerbs.update(e);
    if (!kept.detail.hidden) fillFacts(kept.facts, factsOf(e));
  });
  const ready = now.backends.filter((e) => e.state === "ready").length;
  say($("engine-count"), ready + " of " + now.backends.length + " ready" + (wanted.length < now.backends.length ? ", " + wanted.length + " shown" : ""));
  const noneIsOurs = now.backends.length > 0 && !now.backends.some((e) => e.launched);
  const why = !rights.orders ? rights.why : noneIsOurs ? "batchproxy has started none of them: whoever has restarts them." : "";
  say($("read-only"), why || "");
  show($("read-only"), why);
}

const jobs = new Kept($("jobs"), (name) => {
  const what = make("span"), eta = make("span", {class: "dim"}), bar = make("i");
  const gauge = make("div", {class: "gauge", role: "progressbar", "aria-label": "Job " + name, "aria-valuemin": 0, "aria-valuemax": 100}, bar);
  return {nodes: [make("li", {}, make("div", {class: "row"}, make("b", {class: "mono"}, name), what, eta), gauge)], what, eta, bar, gauge};
});
const recorded = new Kept($("recorded"), () => {
  const name = make("b", {class: "mono"}), what = make("span");
  return {nodes: [make("li", {}, make("div", {class: "row"}, name, what))], name, what};
});
function drawJobs() {
  jobs.update(now.jobs, (job) => job.id, (kept, job) => {
    const share = job.total > 0 ? Math.floor(100 * job.done / job.total) : 0;
    say(kept.what, job.status + ", " + job.done + " of " + job.total + " answered" + (job.failed ? ", " + job.failed + " failed" : ""));
    say(kept.eta, "eta_seconds" in job ? "ready in about " + time(job.eta_seconds) : "");
    kept.bar.style.width = share + "%";
    kept.gauge.setAttribute("aria-valuenow", share);
  });
  const kept = now.recorded_jobs || [];
  recorded.update(kept, (job) => JSON.stringify([job.key, job.name]), (row, job) => {
    say(row.name, job.name);
    say(row.what, (job.key ? "of " + job.key + ", " : "") + job.recorded + " answers recorded, " + job.replayed + " from the record, " + job.under_way + " under way");
  });
  say($("job-count"), now.jobs.length ? now.jobs.length + " under way" : "");
  show($("no-jobs"), now.jobs.length + kept.length === 0);
}

function drawCodes() {
  const codes = Object.entries(now.errors).sort((a, b) => b[1] - a[1]);
  $("codes").replaceChildren(...codes.map(([code, count]) => make("span", {class: "pill"}, code + " " + count)));
  if (codes.length) $("codes").prepend(make("span", {class: "dim"}, "since the start:"));
}

function drawPicture() {
  paint($("state"), "pill " + (now.state === "ready" ? "good" : now.state === "draining" ? "warn" : "bad"));
  say($("state"), now.state === "no_backend" ? "no engine is ready" : now.state);
  say($("facts"), ["version " + now.version, "up " + time(now.uptime_seconds), "flush " + now.flush, now.models].filter(Boolean).join(" \u00b7 "));
  drawConcerns();
  drawTiles();
  drawEngines();
  drawJobs();
  drawCodes();
}

// --- requests that have ended -------------------------------------------------------------------

const resultOf = (r) => (r.status || "no answer") + " " + (r.error || r.result);
const wayOf = (r) => r.attempts.map((a) => (a.backend || "?") + " " + a.end).join(" \u2192 ") || "no engine was asked";
function drawRequests(found) {
  for (const [id, list] of [["failed", found.failed], ["slow", found.slow]]) {
    const focused = document.activeElement?.closest("#" + id) && document.activeElement.dataset.id;
    fillTable($(id), ["Arrived", "Took", "Request", "Result", "Engines"], list.map((r) => make("tr", {role: "row"},
      cell("Arrived", "", clock(r.arrival)), cell("Took", "num", time(r.total_ms / 1000)),
      cell("Request", "head", button(r.client_id || r.id, () => showRequest(r), {class: "link mono", "data-id": r.id})),
      cell("Result", "wide", resultOf(r)),
      cell("Engines", "wide", wayOf(r)))), ["Took"]);
    show($("no-" + id), list.length === 0);
    if (focused) [...$(id).querySelectorAll("button")].find((b) => b.dataset.id === focused)?.focus();
  }
}
function showRequest(r) {
  say($("one-title"), "Request " + r.id);
  const ms = (value) => value === undefined ? "" : time(value / 1000);
  fillFacts($("one-facts"), [["Client's id", r.client_id], ["Arrived", new Date(r.arrival).toLocaleString()],
    ["Asked", [r.method, r.path, r.stream && "as a stream", r.of_a_batch && "of a batch", r.replayed && "from the record"].filter(Boolean).join(" ")],
    ["Model", r.model], ["Key", r.key], ["Result", resultOf(r)], ["Prompts", String(r.prompts)],
    ["Waited here", ms(r.queue_ms)], ["First byte after", ms(r.first_byte_ms)], ["Took", ms(r.total_ms)],
    ["Bytes", r.bytes_in + " in, " + r.bytes_out + " out"], ["Trace", r.trace_id], ["As JSON", "/admin/requests/" + r.id + " on the admin address"]].filter(([, value]) => value));
  fillTable($("one-attempts"), ["Engine", "From", "To", "End", "Batch"], r.attempts.map((a) => make("tr", {role: "row"},
    cell("Engine", "head", a.backend || "?"), cell("From", "num", ms(a.granted_ms)), cell("To", "num", ms(a.ended_ms)),
    cell("End", "", a.end + (a.engine_died ? ", the engine had died" : "") + (a.beside ? ", beside another" : "")),
    cell("Batch", "wide", a.batch + (a.merged ? ", one call with " + (a.merged.members - 1) + " others, led by " + a.merged.leader : "")))), ["From", "To"]);
  $("one").showModal();
}
$("one-close").addEventListener("click", () => $("one").close());

// --- configuration ------------------------------------------------------------------------------

let configRows = [], generation = null;
async function readConfig() {
  const answer = await fetch("admin/config", {headers: credentials(), cache: "no-store"});
  if (!answer.ok) return;
  configRows = await answer.json();
  config = new Map(configRows.map((row) => [row.key, row.value]));
  drawConfig();
}
function drawConfig() {
  const part = $("key-filter").value.toLowerCase();
  const rows = configRows.filter((row) => ($("all-keys").checked || row.origin !== "default")
    && (row.key + " " + row.value).toLowerCase().includes(part));
  fillTable($("config"), ["Key", "Value", "From"], rows.map((row) => make("tr", {role: "row"},
    cell("", "mono text", row.key), cell("", "mono text", row.value), cell("", "dim text", row.origin))));
  show($("no-config"), rows.length === 0);
}
$("all-keys").addEventListener("change", drawConfig);
$("key-filter").addEventListener("input", drawConfig);
$("only-trouble").addEventListener("change", () => now && drawEngines());

// --- orders -------------------------------------------------------------------------------------

let hush = 0;
function announce(text) {
  say($("said"), text);
  show($("said"), true);
  clearTimeout(hush);
  hush = setTimeout(() => show($("said"), false), 8000);
}
async function order(engine, verb) {
  try {
    const answer = await fetch("admin/engines/" + encodeURIComponent(engine) + "/" + verb, {method: "POST", headers: credentials()});
    announce((await answer.text()).trim() || "status " + answer.status);
  } catch (error) {
    announce("The order did not arrive: " + error.message);
  }
}
let asked = null;
function ask(engine, verb, text) {
  asked = [engine, verb];
  const word = verb[0].toUpperCase() + verb.slice(1);
  say($("ask-title"), word + " " + engine + "?");
  say($("ask-text"), text);
  say($("ask-yes"), word);
  $("ask").showModal();
  $("ask-no").focus();
}
$("ask-no").addEventListener("click", () => $("ask").close());
$("ask-yes").addEventListener("click", () => { $("ask").close(); order(...asked); });

// --- the stream ---------------------------------------------------------------------------------

const store = (area, name, value) => {  // a browser may refuse either
  try {
    if (value === undefined) return area().getItem(name) || "";
    if (value === "") area().removeItem(name); else area().setItem(name, value);
  } catch { /* then it is forgotten */ }
  return value || "";
};
const session = () => sessionStorage;
let key = store(session, "batchproxy.key");
const credentials = () => key ? {Authorization: "Bearer " + key} : {};

const SILENCE = 6000;  // ms: an event comes each second
let heard = 0, heardAt = null, stop = null, wake = null, failures = 0;

const EVENTS = {
  hello(data) { rights = data; },
  history(data) {
    const pad = (list) => list.slice(-POINTS);
    for (const name of Object.keys(past)) {
      if (name !== "engines") past[name] = pad(data[name] || []);
    }
    past.engines = Object.fromEntries(Object.entries(data.engines || {}).map(([name, list]) => [name, pad(list)]));
  },
  requests: drawRequests,
  message(data) {
    now = data;
    const push = (list, value) => { list.push(value); if (list.length > POINTS) list.shift(); };
    push(past.rate, now.rates.last_10s.answered);
    push(past.queue, now.requests.queued);
    push(past.p95, now.trend.p95_seconds);
    push(past.fill, fill());
    push(past.cache, now.trend.prefix_hits ?? null);
    push(past.errors, now.rates.last_10s.errors);
    for (const e of now.backends) push(past.engines[e.name] ||= [], e.trend.answers_per_second_10s);
    drawPicture();
    if (now.config && generation !== now.config.generation) { generation = now.config.generation; readConfig().catch(() => { generation = null; }); }
  },
};

function onEvent(text) {
  let name = "message", data = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  heard = performance.now();
  heardAt = Date.now();
  if (EVENTS[name] && data.length) EVENTS[name](JSON.parse(data.join("\n")));
  say($("live"), "\u25cf live " + clock(heardAt));
  document.body.classList.remove("stale");
  show($("lost"), false);
  failures = 0;
}

async function readStream() {
  stop = new AbortController();
  heard = performance.now();
  const answer = await fetch("ui/events", {headers: credentials(), cache: "no-store", signal: stop.signal});
  if (!answer.ok) {
    const told = new Error((await answer.text()).trim());
    told.status = answer.status;
    throw told;
  }
  show($("key-button"), key);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) throw new Error("batchproxy has ended the stream");
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    parts.forEach(onEvent);
  }
}

function tellLoss(error, seconds) {
  document.body.classList.add("stale");
  say($("live"), "\u25cb not live");
  const needsKey = error.status === 401;
  const why = error instanceof TypeError ? "batchproxy does not answer" : error.message;
  const old = heardAt ? " What is below is from " + clock(heardAt) + "." : "";
  say($("lost-text"), needsKey ? (key ? "This key does not open the admin address." : "The admin address asks for an API key.")
    : "Not live: " + why.replace(/\.$/, "") + "." + old);
  say($("lost-wait"), needsKey ? "" : "Trying again in " + seconds + " s.");
  show($("key-form"), needsKey);
  show($("again"), !needsKey);
  show($("lost"), true);
  document.title = "(not live) batchproxy";
  drawIcon("#808080");
}

async function watch() {
  for (;;) {
    try {
      await readStream();
    } catch (error) {
      stop.abort();
      let left = Math.min(10, 2 ** failures++);
      if (error.status === 401) left = Infinity;
      const woken = new Promise((resolve) => { wake = () => resolve(true); });
      for (; left > 0; --left) {
        tellLoss(error, left);
        const second = new Promise((resolve) => setTimeout(resolve, 1000 + 200 * Math.random()));
        if (await Promise.race(left === Infinity ? [woken] : [woken, second])) break;
      }
      wake = null;
    }
  }
}

setInterval(() => { if (stop && !wake && performance.now() - heard > SILENCE) stop.abort(new Error("no word for " + SILENCE / 1000 + " s")); }, 1000);
$("again").addEventListener("click", () => wake?.());
// A browser keeps a page that one has left, for the way back; its stream is another's meanwhile.
addEventListener("pagehide", () => stop?.abort(new Error("the page was left")));
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = store(session, "batchproxy.key", $("key").value.trim());
  $("key").value = "";
  wake?.();
});
$("key-button").addEventListener("click", () => {
  key = store(session, "batchproxy.key", "");
  show($("key-button"), false);
  stop?.abort(new Error("the key is forgotten"));
});

// --- light and dark -----------------------------------------------------------------------------

const THEMES = ["system", "light", "dark"];
function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  say($("theme"), "Theme: " + theme);
  store(() => localStorage, "batchproxy.theme", theme === "system" ? "" : theme);
}
const chosen = store(() => localStorage, "batchproxy.theme");
setTheme(THEMES.includes(chosen) ? chosen : "system");
$("theme").addEventListener("click", () => {
  const current = document.documentElement.dataset.theme || "system";
  setTheme(THEMES[(THEMES.indexOf(current) + 1) % THEMES.length]);
});

fillTable($("failed"), [], []);
fillTable($("slow"), [], []);
watch();
