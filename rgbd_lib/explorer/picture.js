// A picture that says where it is pointed at and which keys are pressed on it.
const KEYS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", " ", "Enter"]);
const OURS = "data-lm-suppress-shortcuts";

function render({ model, el }) {
  const frame = document.createElement("div");
  const image = document.createElement("img");
  const mark = document.createElement("div");
  frame.className = "rgbd-picture";
  mark.className = "rgbd-mark";
  frame.append(image, mark);
  el.append(frame);
  frame.tabIndex = 0;
  frame.setAttribute("role", "img");
  // Keys belong to what has the focus. The notebook would take the arrows from the picture, and from the sliders and
  // lists around it, to move between cells; it looks for this mark on the focused element first. What is around is
  // known once the picture has a place on the page.
  frame.setAttribute(OURS, "true");
  new ResizeObserver((_, observer) => {
    const whole = frame.closest(".rgbd-explorer");
    if (!whole) return;
    whole.addEventListener("focusin", (event) => event.target.setAttribute(OURS, "true"));
    observer.disconnect();
  }).observe(frame);
  image.alt = "";
  image.draggable = false;

  const draw = async () => {
    const number = model.get("number");
    const url = URL.createObjectURL(new Blob([model.get("value")], { type: "image/jpeg" }));
    const next = new Image();
    next.src = url;
    try { await next.decode(); } catch { URL.revokeObjectURL(url); return; }
    if (number < Number(frame.dataset.number || -1)) { URL.revokeObjectURL(url); return; }
    const old = image.src;
    image.src = url;
    if (old) URL.revokeObjectURL(old);
    frame.dataset.number = number;
    frame.dataset.drawn = performance.now();
  };
  const describe = () => frame.setAttribute("aria-label", model.get("alt"));
  const point = () => {
    const place = model.get("point");
    mark.hidden = place.length !== 2;
    if (place.length === 2) Object.assign(mark.style, { left: `${100 * place[0]}%`, top: `${100 * place[1]}%` });
  };

  let waiting = null;
  const send = (kind, event) => {
    const box = image.getBoundingClientRect();
    const clip = (v) => Math.min(Math.max(v, 0), 0.9999);
    const at = [clip((event.clientX - box.left) / box.width), clip((event.clientY - box.top) / box.height)];
    if (kind === "click") { model.send({ kind, at }); return; }
    if (!waiting) setTimeout(() => { model.send({ kind: "hover", at: waiting }); waiting = null; }, 40);
    waiting = at;
  };
  frame.addEventListener("pointermove", (event) => { if (model.get("hovers")) send("hover", event); });
  frame.addEventListener("click", (event) => { frame.focus({ preventScroll: true }); send("click", event); });
  frame.addEventListener("keydown", (event) => {
    if (!KEYS.has(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    model.send({ kind: "key", key: event.key, shift: event.shiftKey });
  });
  model.on("change:number", draw);
  model.on("change:alt", describe);
  model.on("change:point", point);
  draw(); describe(); point();
}

export default { render };
