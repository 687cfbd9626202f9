"use strict";
// GENERATOR (generator.js): model, facts, directions, title, check. RUNTIME (runtime.js): onnxruntime-web's module and wasm.

const COUNT = 16, STEPS = 8, REACH = 6, ALLOWED = 1e-4;
const byId = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const { facts, directions } = GENERATOR;
const noise = facts.noise, size = noise.dimension, shape = facts.output.shape;
const classes = facts.class_names;
let session, latents = [], chosen = 0, before = 1, turn = Promise.resolve();

function uniform(seed) { // mulberry32
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function draw(random) {
  if (noise.kind === "uniform") return Float32Array.from({ length: size }, () => noise.low + (noise.high - noise.low) * random());
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const z = Float32Array.from({ length: size }, normal);
  if (noise.kind === "gaussian") return z;
  const length = Math.hypot(...z);
  return z.map((value) => value / length);
}

async function generate(rows, labels = rows.map(() => byId("class").selectedIndex)) {
  const feeds = { z: new ort.Tensor("float32", Float32Array.from(rows.flatMap((row) => [...row])), [rows.length, size]) };
  if ("c" in facts.inputs) {
    const c = new Float32Array(rows.length * classes.length);
    labels.forEach((label, row) => { c[row * classes.length + label] = 1; });
    feeds.c = new ort.Tensor("float32", c, [rows.length, classes.length]);
  }
  const run = turn.then(() => session.run(feeds)); // a session runs once at a time
  turn = run.catch(() => undefined);
  const all = (await run)[facts.output.name].data, each = all.length / rows.length;
  return rows.map((_, row) => all.subarray(row * each, (row + 1) * each));
}

function paint(canvas, x) {
  const [channels, height, width] = shape;
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height), plane = height * width;
  for (let pixel = 0; pixel < plane; pixel++) {
    for (let colour = 0; colour < 3; colour++) {
      image.data[4 * pixel + colour] = Math.round(255 * Math.min(1, Math.max(0, x[(channels === 3 ? colour : 0) * plane + pixel])));
    }
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const mix = (a, b, share) => a.map((value, index) => (1 - share) * value + share * b[index]);

function walked() {
  const z = Float32Array.from(latents[chosen]);
  document.querySelectorAll("#sliders input").forEach((slider, number) => {
    directions[number].forEach((value, index) => { z[index] += slider.value * value; });
  });
  return z;
}

async function showWalk() { paint(byId("walked"), (await generate([walked()]))[0]); }

async function showBetween() {
  const share = Number(byId("share").value);
  paint(byId("between"), (await generate([mix(latents[before], latents[chosen], share)]))[0]);
}

async function showLine() {
  const rows = Array.from({ length: STEPS }, (_, step) => mix(latents[before], latents[chosen], step / (STEPS - 1)));
  const images = await generate(rows);
  byId("line").replaceChildren(...images.map((x, step) => {
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${Math.round(100 * step / (STEPS - 1))} % of the way`);
    paint(canvas, x);
    return canvas;
  }));
  await showBetween();
}

function mark() {
  document.querySelectorAll("#samples button").forEach((button, number) => {
    button.setAttribute("aria-pressed", String(number === chosen));
    button.classList.toggle("before", number === before && number !== chosen);
  });
}

async function choose(number) {
  if (number !== chosen) [before, chosen] = [chosen, number];
  mark();
  document.querySelectorAll("#sliders input").forEach((slider) => { slider.value = 0; });
  await showWalk();
  await showLine();
}

async function redraw() {
  const random = uniform(Number(byId("seed").value));
  latents = Array.from({ length: COUNT }, () => draw(random));
  const images = await generate(latents);
  byId("samples").replaceChildren(...images.map((x, number) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    button.type = "button";
    button.setAttribute("aria-label", `Sample ${number + 1}`);
    button.addEventListener("click", () => choose(number));
    paint(canvas, x);
    button.append(canvas);
    return button;
  }));
  [before, chosen] = [1, 0];
  mark();
  await showWalk();
  await showLine();
}

async function check() {
  const { z, x, labels } = GENERATOR.check;
  const images = await generate(z, labels);
  const apart = Math.max(...images.map((image, row) => image.reduce((most, value, index) => Math.max(most, Math.abs(value - x[row][index])), 0)));
  const good = apart <= ALLOWED;
  byId("check").textContent = good
    ? `Checked: ${z.length} samples computed here are those of the run, to ${apart.toExponential(1)}.`
    : `This browser computes other numbers than the run did: ${apart.toExponential(1)} apart, allowed ${ALLOWED}.`;
  byId("check").classList.toggle("bad", !good);
  byId("check").dataset.apart = apart;
}

async function begin() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = bytes(RUNTIME.wasm).buffer;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([bytes(RUNTIME.module)], { type: "text/javascript" })) };
  session = await ort.InferenceSession.create(bytes(GENERATOR.model));
  document.title = byId("title").textContent = GENERATOR.title;
  byId("about").textContent = GENERATOR.about;
  classes.forEach((name) => byId("class").append(new Option(name)));
  byId("class-control").hidden = !("c" in facts.inputs);
  directions.forEach((_, number) => {
    const label = document.createElement("label"), slider = document.createElement("input");
    slider.type = "range";
    slider.min = -REACH;
    slider.max = REACH;
    slider.step = 0.05;
    slider.value = 0;
    slider.addEventListener("input", showWalk);
    label.append(`Direction ${number + 1}`, slider);
    byId("sliders").append(label);
  });
  byId("draw").addEventListener("click", () => { byId("seed").stepUp(); redraw(); });
  byId("seed").addEventListener("change", redraw);
  byId("class").addEventListener("change", redraw);
  byId("share").addEventListener("input", showBetween);
  byId("back").addEventListener("click", () => {
    document.querySelectorAll("#sliders input").forEach((slider) => { slider.value = 0; });
    showWalk();
  });
  await check();
  await redraw();
  document.body.dataset.ready = "yes";
}

begin().catch((error) => {
  byId("check").textContent = `This browser cannot run the generator: ${error.message}`;
  byId("check").classList.add("bad");
  document.body.dataset.ready = "failed";
});
