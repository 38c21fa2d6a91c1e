"use strict";
// Everything that is shown is in the element #store; text from it is only ever set as text.
const store = JSON.parse(document.getElementById("store").textContent);
const $ = (id) => document.getElementById(id);
const [H, W] = store.size, [PH, PW] = store.photo;
const IGNORED = 255;
const state = { scene: 0, light: 0, view: "overlay", opacity: 0.7, methods: [0, Math.min(1, store.methods.length - 1)], hidden: new Set(), point: null };
let asked = 0;
let current = null;

// -- reading pictures: each is decoded once -------------------------------------------------------------------
const decoded = new Map();
async function decode(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return image;
}
async function grey(uri) {
  const image = await decode(uri);
  const canvas = new OffscreenCanvas(image.width, image.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(image, 0, 0);
  const pixels = pen.getImageData(0, 0, image.width, image.height).data;
  const values = new Uint8Array(image.width * image.height);
  for (let i = 0; i < values.length; i++) values[i] = pixels[4 * i];
  return values;
}
const once = (key, make) => decoded.get(key) ?? decoded.set(key, make()).get(key);
const photos = (s) => once(`photo ${s}`, () => decode(store.scenes[s].photo));
const truth = (s) => once(`truth ${s}`, () => grey(store.scenes[s].truth));
const depth = (s) => once(`depth ${s}`, () => grey(store.scenes[s].depth));
const maps = (m, s) => once(`map ${m} ${s}`, () => grey(store.methods[m].maps[s]));
const sure = (m, s) => once(`sure ${m} ${s}`, () => grey(store.methods[m].sure[s]));
const plane = (sheet, light) => sheet.subarray(light * H * W, (light + 1) * H * W);

async function picture(method, scene, light) {
  const [photo, label, far, found, confidence] = await Promise.all(
    [photos(scene), truth(scene), depth(scene), maps(method, scene), sure(method, scene)]);
  return { photo, truth: label, depth: far, found: plane(found, light), sure: plane(confidence, light) };
}

// -- views: for each pixel a colour and how much of it covers the photograph, looked up in a table -------------
const mix = ([low, high], v) => low.map((c, i) => Math.round(c + v * (high[i] - c)));
const on = (k) => !state.hidden.has(k);
const rgba = (colour, cover) => new Uint32Array(new Uint8Array([...colour, Math.round(255 * cover)]).buffer)[0];
const table = (colour, cover = () => 1) => Uint32Array.from({ length: 256 }, (_, k) => rgba(colour(k), cover(k)));
const classes = (cover) => table((k) => store.palette[k], (k) => (on(k) ? cover(k) : 0));
const lookup = (colours, values) => (i) => colours[values[i]];
const VIEWS = {
  overlay: (p) => lookup(classes((k) => (k === store.background ? 0 : state.opacity)), p.found),
  error: (p) => {
    const [missed, painted, wrong] = store.errors.map(([, colour]) => rgba(colour, state.opacity));
    const shown = Uint8Array.from({ length: 256 }, (_, k) => on(k));
    return (i) => {
      const t = p.truth[i], f = p.found[i];
      if (t === f || t === IGNORED || !(shown[t] || shown[f])) return 0;
      return t === store.background ? painted : f === store.background ? missed : wrong;
    };
  },
  prediction: (p) => lookup(classes(() => 1), p.found),
  truth: (p) => lookup(classes(() => 1), p.truth),
  confidence: (p) => {
    const levels = table((k) => mix(store.scales.confidence, k / 255));
    const shown = Uint8Array.from({ length: 256 }, (_, k) => on(k));
    return (i) => (shown[p.found[i]] ? levels[p.sure[i]] : 0);
  },
  depth: (p) => lookup(table((k) => (k ? mix(store.scales.depth, (k - 1) / 254) : store.palette[IGNORED])), p.depth),
  photograph: () => () => 0,
};

function layer(shown) {
  const canvas = new OffscreenCanvas(W, H);
  const data = new ImageData(W, H);
  const pixels = new Uint32Array(data.data.buffer);
  const colour = VIEWS[state.view](shown);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colour(i);
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas;
}
function paint(canvas, shown) {
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = true;
  pen.drawImage(shown.photo, 0, state.light * PH, PW, PH, 0, 0, PW, PH);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(layer(shown), 0, 0, PW, PH);
}

// -- scores and words --------------------------------------------------------------------------------------------
const scores = (m, s = state.scene, l = state.light) => store.methods[m].iou[s][l];
function mean(iou) {
  const values = Object.values(iou);
  return values.length ? values.reduce((a, b) => a + b, 0) / values.length : NaN;
}
const percent = (v) => (v === undefined || Number.isNaN(v) ? "–" : (100 * v).toFixed(0));
const className = (k) => (k === IGNORED ? "ignored" : store.classes[k]);
function make(tag, text, attributes = {}) {
  const element = Object.assign(document.createElement(tag), attributes);
  if (text !== undefined) element.textContent = text;
  return element;
}
function swatch(colour) {
  const square = make("span", undefined, { className: "swatch" });
  square.style.background = `rgb(${colour})`;
  return square;
}
function row(name, cells, colour) {
  const line = make("tr"), head = make("th", undefined, { scope: "row" });
  if (colour) head.append(swatch(colour));
  head.append(name);
  line.append(head, ...cells.map((v) => make("td", percent(v))));
  return line;
}
function writeScores() {
  const found = state.methods.map((m) => scores(m));
  const classes = [...new Set(found.flatMap((iou) => Object.keys(iou)))].map(Number).sort((a, b) => a - b);
  $("iou").replaceChildren(
    ...classes.map((k) => row(className(k), found.map((iou) => iou[k]), store.palette[k])),
    row("mean", found.map(mean)));
  state.methods.forEach((m, side) => {
    const letter = "ab"[side], title = store.methods[m].title;
    $(`head-${letter}`).textContent = title;
    $(`score-${letter}`).textContent = `image mIoU ${percent(mean(found[side]))} %`;
    $(`picture-${letter}`).setAttribute("aria-label",
      `${state.view} of scene ${store.scenes[state.scene].name}, ${store.lightings[state.light]}, by ${title}`);
  });
}
function writePixel() {
  document.querySelectorAll(".mark").forEach((mark) => mark.remove());
  if (!state.point || !current) { $("pixel").textContent = "Point at a picture to name a pixel."; return; }
  const [x, y] = state.point, i = y * W + x;
  const answers = current.map((p, side) => `${"AB"[side]}: ${className(p.found[i])} (${percent(p.sure[i] / 255)} % sure)`);
  $("pixel").textContent = [`truth: ${className(current[0].truth[i])}`, ...answers].join(" · ");
  document.querySelectorAll(".frame").forEach((frame) => {
    const mark = make("span", undefined, { className: "mark" });
    Object.assign(mark.style, { left: `${(100 * (x + 0.5)) / W}%`, top: `${(100 * (y + 0.5)) / H}%` });
    frame.append(mark);
  });
}
const KEYS = {
  error: () => store.errors,
  confidence: () => [["unsure", store.scales.confidence[0]], ["sure", store.scales.confidence[1]]],
  depth: () => {
    const { near, far } = store.scenes[state.scene];
    return [[`near, ${near} ${store.unit}`, store.scales.depth[0]], [`far, ${far} ${store.unit}`, store.scales.depth[1]], ["no measurement", store.palette[IGNORED]]];
  },
};
function writeKey(present) {
  const painted = () => present.filter((k) => k !== store.background && k !== IGNORED).map((k) => [className(k), store.palette[k]]);
  const entries = state.view === "photograph" ? [] : (KEYS[state.view] ?? painted)();
  $("key").replaceChildren(...entries.map(([name, colour]) => {
    const item = make("span");
    item.append(swatch(colour), name);
    return item;
  }));
}
function writeClasses(present) {
  const boxes = present.filter((k) => k !== IGNORED).map((k) => {
    const label = make("label"), box = make("input", undefined, { type: "checkbox", checked: on(k) });
    box.addEventListener("change", () => { box.checked ? state.hidden.delete(k) : state.hidden.add(k); draw(); });
    label.append(box, swatch(store.palette[k]), className(k));
    box.dataset.kind = k;
    return label;
  });
  const focused = document.activeElement?.dataset?.kind;
  $("classes").replaceChildren(...boxes);
  if (focused) $("classes").querySelector(`[data-kind="${focused}"]`)?.focus();
}

// -- drawing: a late answer to an older question is dropped ------------------------------------------------------
async function draw() {
  const number = ++asked;
  const shown = await Promise.all(state.methods.map((m) => picture(m, state.scene, state.light)));
  if (number !== asked) return;
  current = shown;
  shown.forEach((p, side) => paint($(`picture-${"ab"[side]}`), p));
  drawLights(shown[0].photo);
  const present = ids(shown[0].truth, shown[0].found, shown[1].found);
  writeScores(); writeKey(present); writeClasses(present); writePixel(); follow();
  document.body.dataset.drawn = number;
}
function ids(...maps) {
  const there = new Uint8Array(256);
  for (const map of maps) for (let i = 0; i < map.length; i++) there[map[i]] = 1;
  return [...there.keys()].filter((k) => there[k]);
}
let lit = -1;
function drawLights(photo) {
  if (lit === state.scene) return;
  lit = state.scene;
  $("lights").querySelectorAll("canvas").forEach((canvas, l) =>
    canvas.getContext("2d").drawImage(photo, 0, l * PH, PW, PH, 0, 0, canvas.width, canvas.height));
}
function follow() {
  $("scene").value = state.scene;
  $("view").value = state.view;
  $("opacity-value").textContent = `${Math.round(100 * state.opacity)} %`;
  $("lights").querySelectorAll("input").forEach((radio, l) => { radio.checked = l === state.light; });
  state.methods.forEach((m, side) => { $(`method-${"ab"[side]}`).value = m; });
}

// -- controls ----------------------------------------------------------------------------------------------------
const set = (change) => { Object.assign(state, change); return draw(); };
const options = (id, names) => $(id).replaceChildren(...names.map((name, i) => make("option", name, { value: i })));
const turn = (value, step, count) => (value + step + count) % count;
const STEP = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function keyed(event) {
  const step = STEP[event.key];
  if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const [down, right] = step;
  if (event.shiftKey) {
    const [x, y] = state.point ?? [W >> 1, H >> 1];
    state.point = [Math.min(Math.max(x + right, 0), W - 1), Math.min(Math.max(y + down, 0), H - 1)];
    writePixel();
  } else {
    set({ scene: turn(state.scene, down, store.scenes.length), light: turn(state.light, right, store.lightings.length) });
  }
}
function pointed(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const at = (v, low, size, count) => Math.min(Math.max(Math.floor((v - low) / size * count), 0), count - 1);
  state.point = [at(event.clientX, box.left, box.width, W), at(event.clientY, box.top, box.height, H)];
  writePixel();
}
function best(value) {
  let found = null, top = -Infinity;
  store.scenes.forEach((_, scene) => store.lightings.forEach((_, light) => {
    const v = value(scene, light);
    if (v > top) { top = v; found = { scene, light }; }
  }));
  return found ?? {};
}
async function disagree() {
  const [a, b] = await Promise.all(state.methods.map((m) => Promise.all(store.scenes.map((_, s) => maps(m, s)))));
  const share = (s, l) => {
    const [x, y] = [plane(a[s], l), plane(b[s], l)];
    let count = 0;
    for (let i = 0; i < x.length; i++) count += x[i] !== y[i];
    return count;
  };
  return set(best(share));
}
function start() {
  options("scene", store.scenes.map((s) => `scene ${s.name}`));
  $("view").replaceChildren(...Object.keys(VIEWS).map((name) => make("option", name, { value: name })));
  store.lightings.forEach((name, l) => {
    const label = make("label"), radio = make("input", undefined, { type: "radio", name: "light", value: l });
    radio.addEventListener("change", () => set({ light: l }));
    const thumb = make("canvas", undefined, { width: 160, height: Math.round((160 * PH) / PW) });
    thumb.setAttribute("aria-hidden", "true");
    label.append(radio, thumb, name);
    $("lights").append(label);
  });
  ["a", "b"].forEach((letter, side) => {
    options(`method-${letter}`, store.methods.map((m) => m.title));
    $(`method-${letter}`).addEventListener("change", (event) => { state.methods[side] = Number(event.target.value); draw(); });
    const canvas = Object.assign($(`picture-${letter}`), { width: PW, height: PH });
    canvas.addEventListener("keydown", keyed);
    for (const kind of ["pointermove", "click"]) canvas.addEventListener(kind, pointed);
  });
  $("scene").addEventListener("change", (event) => set({ scene: Number(event.target.value) }));
  $("view").addEventListener("change", (event) => set({ view: event.target.value }));
  $("opacity").addEventListener("input", (event) => set({ opacity: event.target.value / 100 }));
  $("disagree").addEventListener("click", disagree);
  $("worst").addEventListener("click", () => set(best((s, l) => -mean(scores(state.methods[0], s, l)))));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  draw();
}
start();
