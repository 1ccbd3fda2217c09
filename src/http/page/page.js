// The page: asks /classify of a model and its baseline, and reads /stats once a second. Rates and percentiles are differences of its counters, so that
// the server keeps nothing for whoever looks.

const STAGES = ["decode", "transform", "queue", "compute", "respond"];
const SAMPLES = ["ankle-boot", "bag", "coat", "dress", "pullover", "sandal", "shirt", "sneaker", "t-shirt-top", "trouser"];
const MINUTE = 60;
const byId = (id) => document.getElementById(id);

/** An element with a class and children, which are elements or text. */
function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

const rounded = (value, digits = 1) => (Number.isFinite(value) ? value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: value < 100 ? digits : 0 }) : "–");
const familyClass = (family) => (family.toLowerCase().includes("swin") ? "swin" : "convnext");

// ── Key ──

/** What every question to the server shows; the key is kept in this tab, and only there. */
const headers = () => {
  const key = sessionStorage.getItem("api-key");
  return key ? { "X-API-Key": key } : {};
};

/** Asks for a key where the server wants one, or another one. */
function wantsKey(status) {
  const wanted = status === 401 || status === 403;
  if (wanted) byId("keys").hidden = false;
  return wanted;
}

byId("keys").addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    sessionStorage.setItem("api-key", new Headers({ "X-API-Key": byId("key").value.trim() }).get("X-API-Key"));
  } catch {
    tell("A key has letters, digits and signs of English only.");
    return;
  }
  byId("key").value = "";
  tell("");
});

// ── Classify ──

let models = [];

function tell(error) {
  byId("error").textContent = error;
  byId("error").hidden = !error;
}

/** What the server says of an image, or an error as a sentence. */
async function ask(image, model) {
  let answer;
  try {
    answer = await fetch(`/classify?model=${encodeURIComponent(model)}&top_k=5&detail=1`, { method: "POST", body: image, headers: headers() });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const body = await answer.json().catch(() => ({}));
  wantsKey(answer.status);
  if (!answer.ok) throw new Error(sentence(body.error ?? `it answers with status ${answer.status}`));
  return body;
}

function sentence(text) {
  const first = `The server refuses it: ${text}`;
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

let asked = 0;

async function classify(image, name) {
  const mine = ++asked;
  tell("");
  const model = byId("model").value;
  const baseline = models.find((one) => one.name === model && one.ready)?.baseline;
  const names = [model, ...(baseline && models.some((one) => one.name === baseline && one.ready) ? [baseline] : [])];
  const preview = element("img");
  preview.alt = `The image that was sent: ${name}`;
  preview.src = URL.createObjectURL(image);
  preview.onload = () => URL.revokeObjectURL(preview.src);
  try {
    const answers = await Promise.all(names.map((one) => ask(image, one)));
    if (mine !== asked) return;
    const of = element("div", "asked", preview, element("p", "", `${name}, ${rounded(image.size / 1024)} KiB`));
    byId("answers").replaceChildren(of, ...answers.map(card));
  } catch (error) {
    if (mine !== asked) return;
    byId("answers").replaceChildren();
    tell(error.message);
  }
}

/** A model's answer: labels with bars, and what each stage took. */
function card(answer) {
  const status = models.find((one) => one.name === answer.model);
  const kind = familyClass(status?.family ?? answer.model);
  const rows = answer.predictions.map(({ label, score }) => {
    const bar = element("div");
    bar.style.width = `${Math.max(0, Math.min(1, score)) * 100}%`;
    const words = element("div", "label", element("span", "", label), element("span", "", `${rounded(score * 100)} %`));
    return element("li", "", words, element("div", `bar ${kind}`, bar));
  });
  const times = Object.entries(answer.timings_ms).map(([stage, ms]) => `${stage} ${rounded(ms, 2)}`);
  const made = element("article", "answer", element("h3", kind, answer.model), element("ol", "", ...rows));
  made.append(element("p", "stages", `${times.join(" · ")} ms, on ${answer.device}, in a batch of ${answer.batch_size}`));
  return made;
}

function first(files) {
  const [file] = files ?? [];
  if (file) classify(file, file.name || "a pasted image");
}

byId("file").addEventListener("change", (event) => first(event.target.files));
document.addEventListener("paste", (event) => first(event.clipboardData?.files));
for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
  byId("drop").addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", over);
    if (name === "drop") first(event.dataTransfer.files);
  });
}
// an image that misses its place must not replace the page
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());

const sampleImage = async (name) => (await fetch(`/page/samples/${name}.png`)).blob();

byId("samples").append(
  ...SAMPLES.map((name) => {
    const words = name.replaceAll("-", " ");
    const image = element("img");
    image.src = `/page/samples/${name}.png`;
    image.alt = `Classify the sample: ${words}`;
    const button = element("button", "", image);
    button.type = "button";
    button.addEventListener("click", async () => {
      byId("file").value = "";
      classify(await sampleImage(name), words);
    });
    return element("li", "", button);
  }),
);

// ── Load ──

byId("load").addEventListener("click", async () => {
  const button = byId("load");
  button.disabled = true;
  try {
    const image = await sampleImage(SAMPLES[0]);
    const model = models.find((one) => one.name === byId("model").value);
    const names = [model?.name, model?.baseline].filter(Boolean);
    const end = performance.now() + 10_000;
    let [answered, failed] = [0, 0];
    // three at a time for each model, each as soon as it has its answer
    const client = async (name) => {
      while (performance.now() < end) {
        try {
          await ask(image, name);
          answered += 1;
        } catch {
          failed += 1;
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
        byId("loading").textContent = `This browser has ${answered} answers, ${failed} refusals so far.`;
      }
    };
    await Promise.all(names.flatMap((name) => [name, name, name]).map(client));
    byId("loading").textContent = `This browser got ${answered} answers in 10 s, and ${failed} refusals.`;
  } finally {
    button.disabled = false;
  }
});

// ── Live ──

/** What /stats said, the newest last, for a minute. */
const seen = [];
const points = [];

const of = (stats, name) => stats.metrics[name] ?? [];
const sum = (series, keep = () => true) => series.filter(({ labels }) => keep(labels)).reduce((all, { value }) => all + value, 0);

/** Counts by bucket, of what came between two readings. */
function between(now, before, name, keep) {
  const counts = new Map();
  const add = (stats, sign) => {
    for (const { labels, buckets } of of(stats, name)) {
      if (keep(labels)) for (const [bound, count] of buckets) counts.set(bound, (counts.get(bound) ?? 0) + sign * count);
    }
  };
  add(now, 1);
  add(before, -1);
  return [...counts].map(([bound, count]) => [bound === null ? Infinity : bound, count]).sort(([a], [b]) => a - b);
}

/** A quantile of cumulative counts, as Prometheus has it: linear within its bucket. NaN of none. */
function quantile(share, cumulative) {
  const all = cumulative.at(-1)?.[1] ?? 0;
  if (!(all > 0)) return NaN;
  let [low, below] = [0, 0];
  for (const [bound, count] of cumulative) {
    if (count >= share * all) return bound === Infinity ? low : low + ((bound - low) * (share * all - below)) / Math.max(count - below, 1e-9);
    [low, below] = [bound, count];
  }
  return low;
}

function tile(name, value, unit, kind = "") {
  const shown = element("dd", kind, value, element("span", "unit", ` ${unit}`));
  return element("div", "", element("dt", "", name), shown);
}

function live(now) {
  const last = seen.at(-1);
  // a server that was started anew counts from nothing
  if (last && now.uptime_seconds < last.uptime_seconds) {
    seen.length = 0;
    points.length = 0;
  }
  seen.push(now);
  while (seen.length > 2 && now.uptime_seconds - seen[0].uptime_seconds > 10) seen.shift();
  const [before, previous] = [seen[0], seen.at(-2) ?? seen[0]];
  const seconds = (from) => Math.max(now.uptime_seconds - from.uptime_seconds, 1e-6);
  const rate = (name, from, keep) => (sum(of(now, name), keep) - sum(of(from, name), keep)) / seconds(from);
  const ofFamily = (kind) => (labels) => familyClass(labels.family ?? "") === kind;
  const speeds = ["convnext", "swin"].map((kind) => rate("convnext_images_total", previous, ofFamily(kind)));
  const latency = between(now, before, "convnext_request_duration_seconds", ({ model }) => model !== "");
  const [p50, p99] = [quantile(0.5, latency) * 1e3, quantile(0.99, latency) * 1e3];
  points.push({ at: now.uptime_seconds, speeds, latency: [p50, p99] });
  while (points.length && now.uptime_seconds - points[0].at > MINUTE) points.shift();

  const ratios = now.comparisons.map(({ ratio }) => ratio);
  const ratio = ratios.length ? (Math.min(...ratios) === Math.max(...ratios) ? rounded(ratios[0], 2) : `${rounded(Math.min(...ratios), 2)} … ${rounded(Math.max(...ratios), 2)}`) : "–";
  const batches = of(now, "convnext_batch_size");
  const grown = (key) => batches.reduce((all, one) => all + one[key], 0) - of(before, "convnext_batch_size").reduce((all, one) => all + one[key], 0);
  byId("tiles").replaceChildren(
    tile("ConvNeXt", rounded(speeds[0]), "images/s", "convnext"),
    tile("Swin", rounded(speeds[1]), "images/s", "swin"),
    tile("Speed-up, measured idle", ratio, "×"),
    tile("Latency, median", rounded(p50), "ms"),
    tile("Latency, p99", rounded(p99), "ms"),
    tile("Mean batch", rounded(grown("sum") / grown("count")), "images"),
    tile("In queue", rounded(sum(of(now, "convnext_queue_images")), 0), "images"),
    tile("Devices busy", rounded(rate("convnext_device_busy_seconds_total", before) * 100, 0), "%"),
    tile("Turned away", rounded(rate("convnext_rejected_total", before)), "requests/s"),
  );
  charts();

  const rows = models.filter((one) => one.ready).map((one) => {
    const mine = ({ model }) => model === one.name;
    const stage = (name) => rounded(quantile(0.99, between(now, before, "convnext_stage_duration_seconds", (labels) => mine(labels) && labels.stage === name)) * 1e3);
    const mean = ["sum", "count"].map((key) => batches.filter(({ labels }) => mine(labels)).reduce((all, series) => all + series[key], 0) - of(before, "convnext_batch_size").filter(({ labels }) => mine(labels)).reduce((all, series) => all + series[key], 0));
    return [one.name, ...STAGES.map(stage), rounded(mean[0] / mean[1]), rounded(sum(of(now, "convnext_queue_images"), mine), 0)];
  });
  fill("stages", rows);
  fill("measured", now.comparisons.map((one) => [one.model, one.baseline, one.device, String(one.batch), rounded(one.images_per_second), rounded(one.baseline_images_per_second), `${rounded(one.ratio, 2)} ×`]));
  byId("unmeasured").textContent = now.comparisons.length ? "" : now.why_not_measured;
}

function charts() {
  const at = (pick) => points.map((point) => [point.at - points.at(-1).at, pick(point)]);
  chart(byId("throughput"), [["ConvNeXt", "convnext", at(({ speeds }) => speeds[0])], ["Swin", "swin", at(({ speeds }) => speeds[1])]], "images/s");
  chart(byId("latency"), [["median", "convnext", at(({ latency }) => latency[0])], ["p99", "convnext dashed", at(({ latency }) => latency[1])]], "ms");
}

window.addEventListener("resize", charts);

/** The rows of a table, the first cell of each its head. */
function fill(table, rows) {
  const cell = (text, index) => {
    const made = element(index ? "td" : "th", "", text);
    if (!index) made.scope = "row";
    return made;
  };
  byId(table).tBodies[0].replaceChildren(...rows.map((row) => element("tr", "", ...row.map(cell))));
}

/** Lines over the last minute, with the unit at the axis. */
function chart(svg, lines, unit) {
  const space = "http://www.w3.org/2000/svg";
  const [width, height] = [Math.max(svg.clientWidth, 200), Math.max(svg.clientHeight, 120)];
  const [left, right, top, bottom] = [46, 10, 22, 22];
  const made = (name, attributes, text) => {
    const one = document.createElementNS(space, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    if (text !== undefined) one.textContent = text;
    return one;
  };
  const values = lines.flatMap(([, , line]) => line.map(([, value]) => value)).filter(Number.isFinite);
  const most = nice(Math.max(...values, 1e-9));
  const x = (at) => left + ((width - left - right) * (at + MINUTE)) / MINUTE;
  const y = (value) => height - bottom - ((height - top - bottom) * value) / most;
  const parts = [0, 0.5, 1].flatMap((share) => [
    made("line", { class: "grid", x1: left, x2: width - right, y1: y(most * share), y2: y(most * share) }),
    made("text", { x: left - 6, y: y(most * share) + 4, "text-anchor": "end" }, rounded(most * share, most < 10 ? 1 : 0)),
  ]);
  parts.push(made("text", { x: left, y: 14 }, unit));
  for (const [at, text] of [[-60, "60 s ago"], [-30, "30 s"], [0, "now"]]) {
    parts.push(made("text", { x: x(at), y: height - 6, "text-anchor": at === 0 ? "end" : at === -60 ? "start" : "middle" }, text));
  }
  lines.forEach(([name, kind, line], index) => {
    const known = line.filter(([at, value]) => Number.isFinite(value) && at >= -MINUTE);
    parts.push(made("polyline", { class: `line ${kind}`, points: known.map(([at, value]) => `${x(at)},${y(value)}`).join(" ") }));
    parts.push(made("text", { class: "name", x: width - right - index * 78, y: 14, "text-anchor": "end" }, kind.includes("dashed") ? `- - ${name}` : `— ${name}`));
    parts.at(-1).style.fill = `var(--${kind.split(" ")[0]})`;
  });
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
}

/** The next of 1, 2, 5, 10 … */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}

function served() {
  const ready = models.filter((one) => one.ready);
  const devices = [...new Set(ready.flatMap((one) => one.devices))].join(", ");
  byId("serving").textContent = ready.length ? `Serving ${ready.map((one) => one.name).join(", ")} on ${devices}.` : "No model is ready.";
  const select = byId("model");
  const names = ready.map((one) => one.name);
  if (names.join() !== [...select.options].map((one) => one.value).join()) {
    const chosen = select.value;
    select.replaceChildren(...ready.map((one) => new Option(one.baseline ? `${one.name}, beside ${one.baseline}` : one.name, one.name)));
    if (names.includes(chosen)) select.value = chosen;
  }
  fill("served", models.map((one) => [one.name, one.architecture || "–", `${one.input.height} × ${one.input.width}`, `${rounded(one.parameters / 1e6)} M`, rounded(one.macs / 1e9, 3), one.devices.join(", ") || "–", one.precision, one.error ? `${one.state}: ${one.error}` : one.state]));
}

async function look() {
  try {
    const answer = await fetch("/stats", { headers: headers() });
    if (wantsKey(answer.status)) {
      byId("serving").textContent = "This server asks for an API key.";
      setTimeout(look, 1_000);
      return;
    }
    byId("keys").hidden = true;
    if (!answer.ok) throw new Error(String(answer.status));
    const stats = await answer.json();
    models = stats.models;
    served();
    live(stats);
  } catch {
    byId("serving").textContent = "The server does not answer. This page asks again every second.";
  }
  setTimeout(look, document.hidden ? 5_000 : 1_000);
}

look();
