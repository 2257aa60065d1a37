"use strict";
// The paper, the pen, and what is shown of the answer. Reading itself is done in a worker.

const find = (id) => document.getElementById(id);
const paper = find("paper");
const pad = find("pad");

// ---- Strokes: points are kept, and drawn anew whenever something changes.

let strokes = []; // arrays of [x, y] in pixels of the paper
let size = { width: 0, height: 0 };
let drawn = null; // that size when the last stroke was, and the strokes' scale since then
let pointer = null; // the one that is drawing
let palm = false; // whether that is a touch, which may be a hand's before its pen is there
let penSeen = -Infinity; // when a pen was last at the paper
let cursor = null; // where the keyboard's pen is, and whether it is down
let removals = 0; // how often strokes were taken away: an answer from before is about other ones

const penWidth = () => Math.min(14, Math.max(4, size.height * 0.03));

function draw() {
  const context = pad.getContext("2d");
  const ratio = pad.width / size.width || 1;
  const colour = getComputedStyle(pad).getPropertyValue("--pen");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, size.width, size.height);
  context.lineWidth = penWidth();
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = context.fillStyle = colour;
  for (const stroke of strokes) drawStroke(context, stroke);
  if (cursor && document.activeElement === pad) {
    context.beginPath();
    context.arc(cursor.x, cursor.y, penWidth() * (cursor.down ? 0.5 : 1.2), 0, 7);
    if (cursor.down) context.fill();
    context.lineWidth = 2;
    context.stroke();
  }
  disable(find("undo"), !strokes.length);
  disable(find("clear"), !strokes.length && find("photo").hidden);
  find("hint").hidden = strokes.length > 0 || !find("photo").hidden;
}

// A button that has the focus hands it on: else the keyboard would have to find the paper anew.
function disable(button, off) {
  if (off && document.activeElement === button) pad.focus({ preventScroll: true });
  button.disabled = off;
}

// A curve through the middles between points.
function drawStroke(context, points) {
  context.beginPath();
  context.moveTo(...points[0]);
  for (let i = 1; i < points.length - 1; i++) {
    const [x, y] = points[i];
    const [u, v] = points[i + 1];
    context.quadraticCurveTo(x, y, (x + u) / 2, (y + v) / 2);
  }
  context.lineTo(...points.at(-1)); // a point alone becomes a dot
  context.stroke();
}

function resize() {
  const { clientWidth: width, clientHeight: height } = paper;
  if (!width || !height) return;
  if (size.width) {
    // From the paper as it was drawn on: turned there and back, a phone has the strokes as before.
    drawn ??= { ...size, scale: 1 };
    const scale = Math.min(width / drawn.width, height / drawn.height);
    const factor = scale / drawn.scale;
    drawn.scale = scale;
    strokes = strokes.map((stroke) => stroke.map(([x, y]) => [x * factor, y * factor]));
    if (cursor) cursor = { x: cursor.x * factor, y: cursor.y * factor, down: cursor.down };
  }
  size = { width, height };
  for (const canvas of [pad, find("boxes")]) {
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
  }
  draw();
  drawBoxes();
  fit();
}

// Zoom, or a move to another screen, changes the pixels and may leave the paper's size.
function watchRatio() {
  const change = () => { resize(); watchRatio(); };
  const same = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
  same.addEventListener("change", change, { once: true });
}

let drawing = 0;
function drawSoon() {
  if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; draw(); });
}

function changed(options) {
  drawn = null;
  drawSoon();
  ask(options);
}

// ---- The pen

const within = (place, end) => Math.min(end, Math.max(0, place));

function addPoints(event) {
  const bounds = pad.getBoundingClientRect();
  const merged = event.getCoalescedEvents?.() ?? [];
  const stroke = strokes.at(-1);
  for (const { clientX, clientY } of merged.length ? merged : [event]) {
    // A captured pointer may leave the paper, its ink may not: there nobody sees it.
    const x = within(clientX - bounds.left, size.width);
    const y = within(clientY - bounds.top, size.height);
    const last = stroke.at(-1);
    if (!last || Math.hypot(x - last[0], y - last[1]) >= 0.5) stroke.push([x, y]);
  }
}

const HAND = 1000; // milliseconds after a pen in which a touch is the hand that holds it

pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  // Over a picture a finger or pen scrolls; Clear puts it away, and a mouse that writes.
  if (event.pointerType !== "mouse" && !find("photo").hidden) return;
  if (event.pointerType === "touch" && event.timeStamp - penSeen < HAND) return;
  if (pointer !== null) {
    if (!palm || event.pointerType !== "pen") return; // a second finger
    keep(strokes.length - 1); // the hand was there before its pen
  }
  event.preventDefault();
  pad.focus({ preventScroll: true, focusVisible: false });
  pad.setPointerCapture(event.pointerId);
  pointer = event.pointerId;
  palm = event.pointerType === "touch";
  putPen(false);
  cursor = null;
  closePhoto();
  strokes.push([]);
  addPoints(event);
  changed({ since: event.timeStamp });
});

for (const kind of ["pointerdown", "pointermove", "pointerup"])
  pad.addEventListener(kind, ({ pointerType, timeStamp }) => {
    if (pointerType === "pen") penSeen = timeStamp;
  });

pad.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  addPoints(event);
  changed({ since: event.timeStamp });
});

function lift(event) {
  if (event.pointerId !== pointer) return;
  pointer = null;
  if (event.type === "pointercancel") keep(strokes.length - 1); // the browser has taken it over
  changed({ whole: true, since: event.timeStamp });
}
for (const kind of ["pointerup", "pointercancel", "lostpointercapture"])
  pad.addEventListener(kind, lift);
pad.addEventListener("contextmenu", (event) => event.preventDefault());

pad.addEventListener("keydown", (event) => {
  if (pointer !== null) return; // one stroke at a time
  const step = (event.shiftKey ? 0.01 : 0.04) * size.height;
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[event.key];
  if ((!way && event.key !== " ") || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (!way && event.repeat) return; // the space bar is held
  cursor ??= { x: size.width * 0.1, y: size.height * 0.25, down: false };
  if (way) {
    cursor.x = within(cursor.x + way[0] * step, size.width);
    cursor.y = within(cursor.y + way[1] * step, size.height);
  } else {
    putPen(!cursor.down);
    if (cursor.down) {
      closePhoto();
      strokes.push([]);
    }
  }
  if (cursor.down) strokes.at(-1).push([cursor.x, cursor.y]);
  if (way && !cursor.down) drawSoon();
  else changed({ whole: !cursor.down, since: event.timeStamp });
});
for (const kind of ["focus", "blur"]) pad.addEventListener(kind, draw);

// The keyboard's pen; who can't see it hears of it.
function putPen(down) {
  if (!cursor || cursor.down === down) return;
  cursor.down = down;
  find("pen").textContent = down ? "pen down" : "pen up";
}

function keep(count) {
  strokes.length = count;
  removals++;
}

function undo() {
  if (pointer !== null || !strokes.length) return;
  putPen(false);
  keep(strokes.length - 1);
  changed({ whole: true });
}

function wipe() {
  pointer = null;
  putPen(false);
  keep(0);
  closePhoto();
}

function clear() {
  wipe();
  changed({ whole: true });
}

// Z, or in a script without one, as я, what is in its place.
const isZ = ({ key, code }) => key.toLowerCase() === "z" || (code === "KeyZ" && key > "~");

find("undo").addEventListener("click", undo);
find("clear").addEventListener("click", clear);
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && isZ(event)) {
    event.preventDefault();
    undo();
  }
});

// ---- Reading: one question at a time, always about the newest strokes.

const PAUSE = 10; // milliseconds between two questions while writing
const REST = 150; // milliseconds that the pen is up before a doubt is worth more time
let reader = null;
let broken = ""; // why nothing is read, if so
let asked = null; // the question that the worker is at
let next = null;
let planned = 0; // the timer that asks it
const milliseconds = []; // that each answer took, from the oldest point that it is the first to know
let free = -Infinity; // since when the worker has been idle

function startReader() {
  const source = new Blob([find("worker").textContent], { type: "text/javascript" });
  const address = URL.createObjectURL(source);
  try {
    reader = new Worker(address);
  } catch {
    broken = "This browser starts no workers, so nothing can be read here.";
    notice(broken);
    return;
  }
  reader.onmessage = ({ data }) => answered(data);
  reader.onerror = () => {
    broken = "The reader has stopped; load the page again.";
    notice(broken);
  };
  reader.postMessage(JSON.parse(find("network").textContent));
}

// `whole`: the pen is up. `since`: when what is new came in. `rested`: the pen has been up for long
// enough to settle a doubt.
function ask({ whole = false, since = performance.now() } = {}) {
  next = { whole, since: Math.min(since, next?.since ?? Infinity) };
  document.body.dataset.state = "reading";
  plan();
}

function plan() {
  if (asked || !next || !reader) return;
  clearTimeout(planned);
  const pause = next.rested ? REST : next.whole ? 0 : PAUSE;
  planned = setTimeout(send, free + pause - performance.now());
}

function send() {
  asked = { ...next, removals };
  next = null;
  reader.postMessage({
    strokes: strokes.filter((stroke) => stroke.length),
    smallest: size.height * 0.06,
    whole: asked.whole,
    rested: asked.rested,
    inside: asked.whole && find("inside").open,
  });
}

function answered(rows) {
  const { whole, rested, since, removals: before } = asked;
  const doubtful = whole && !rested && rows.some((row) => row.doubtful);
  asked = null;
  free = performance.now();
  const gone = before !== removals; // what it is about was cleared meanwhile
  if (find("photo").hidden && !gone) {
    show(rows, whole && !doubtful && !next);
    if (!rested && rows.length) {
      if (milliseconds.length > 999) milliseconds.shift();
      milliseconds.push(Math.round(performance.now() - since));
      find("time").textContent = `Read in ${milliseconds.at(-1)} ms.`;
    }
  }
  if (doubtful) next ??= { whole, rested: true, since: Infinity };
  if (!next) document.body.dataset.state = "read";
  plan();
}

// ---- The answer

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const percent = (share) => {
  if (share > 0.999) return "100 %";
  return share < 0.001 ? "0 %" : `${(100 * share).toFixed(share > 0.099 && share < 0.99 ? 0 : 1)} %`;
};

function show(rows, final, empty = emptyWords(rows)) {
  const written = rows.filter((row) => row.text);
  const answer = find("answer");
  const verdict = find("verdict");
  const sure = written.length > 0 && rows.every((row) => row.text && row.sure);
  answer.className = written.length ? "" : "empty";
  answer.replaceChildren(...(written.length ? spellRows(written) : [empty]));
  verdict.textContent = written.length ? (sure ? "sure" : "not sure") : "";
  verdict.className = sure ? "sure" : "unsure";
  fit();
  showDigits(written);
  if (final) {
    showSeen(rows);
    const spoken = written.map((row) => row.text.split("").join(" ")).join(", ");
    find("spoken").textContent = spoken ? `${spoken}, ${verdict.textContent}` : answer.textContent;
  }
}

// Make what is read as large as there is room for; what is still too much is scrolled, also by keys.
function fit() {
  const answer = find("answer");
  const room = find("room");
  const overflows = () => room.scrollHeight > room.clientHeight;
  answer.style.fontSize = "";
  const largest = parseFloat(getComputedStyle(answer).fontSize);
  for (let share = 0.85; share > 0.3 && overflows(); share *= 0.85)
    answer.style.fontSize = `${share * largest}px`;
  if (overflows()) room.tabIndex = 0;
  else room.removeAttribute("tabindex");
}

const emptyWords = (rows) => (rows.length ? "No digit that I know" : "Nothing here yet");

function spellRows(rows) {
  return rows.flatMap((row, number) => [
    ...(number ? ["\n"] : []),
    ...row.digits.map((digit) =>
      element("span", { className: digit.sure ? "" : "unsure" }, String(digit.label)),
    ),
  ]);
}

// One card per digit; a card that is there already is changed, so that its bars move.
function showDigits(rows) {
  const list = find("digits");
  const digits = rows.flatMap((row) => row.digits.map((digit, i) => ({ ...digit, first: !i })));
  while (list.children.length > digits.length) list.lastChild.remove();
  while (list.children.length < digits.length) list.append(makeCard());
  digits.forEach((digit, number) => fillCard(list.children[number], digit, number));
}

function makeCard() {
  const bars = element("div", { className: "bars" });
  bars.setAttribute("role", "img");
  for (let i = 0; i < 10; i++) bars.append(element("i", {}, element("b")));
  for (let i = 0; i < 10; i++) bars.append(element("span", {}, String(i)));
  const head = element("p", { className: "head" }, ...["b", "span", "em"].map((n) => element(n)));
  return element("li", {}, head, bars);
}

function fillCard(card, digit, number) {
  const [label, share, doubt] = card.firstChild.children;
  label.textContent = digit.label;
  share.textContent = percent(digit.probability);
  doubt.textContent = digit.sure ? "" : "not sure";
  card.className = `${digit.sure ? "" : "unsure"} ${digit.first && number ? "break" : ""}`;
  const bars = card.lastChild;
  digit.probabilities.forEach((probability, i) => {
    bars.children[i].firstChild.style.transform = `scaleY(${probability})`;
    for (const part of [bars.children[i], bars.children[i + 10]])
      part.className = i === digit.label ? "chosen" : "";
  });
  const words = digit.probabilities.map((probability, i) => `${i}: ${percent(probability)}`);
  bars.setAttribute("aria-label", words.join(", "));
}

// ---- What the network sees

function showSeen(rows) {
  const seen = rows.filter((row) => row.strip);
  find("seen").hidden = !seen.length;
  find("strips").replaceChildren(...seen.map(drawSeen));
  if (find("inside").open) showLayers(seen[0]?.layers ?? []);
}

// The strip, and below it a row of cells per digit, one cell per step.
function drawSeen({ text, strip: { values, length, steps } }) {
  const zoom = 4;
  const cell = 12;
  const canvas = element("canvas", { width: length * zoom, height: 32 * zoom + 10 * cell + 8 });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `The strip that is read as ${text || "nothing"}`);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  const grey = Uint8Array.from(values, (value) => 255 * Math.min(1, Math.max(0, value)));
  context.drawImage(tile(grey, length, 32), 0, 0, length * zoom, 32 * zoom);
  const wide = (length * zoom) / steps.length;
  context.font = `${cell - 1}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  steps.forEach((step, x) => {
    for (let digit = 0; digit < 10; digit++) {
      const top = 32 * zoom + 8 + digit * cell;
      context.fillStyle = heat(step[digit]);
      context.fillRect(x * wide, top, Math.ceil(wide), cell - 1);
      if (step[digit] < 0.5) continue;
      context.fillStyle = "#000";
      context.fillText(digit, (x + 0.5) * wide, top + cell / 2);
    }
  });
  const around = element("div", { className: "scroll", tabIndex: 0 }, canvas);
  around.setAttribute("role", "group");
  around.setAttribute("aria-label", "Strip, scrolls sideways");
  return around;
}

// From nothing, dark blue, to certain, yellow.
function heat(share) {
  const mix = (from, to) => Math.round(from + (to - from) * Math.sqrt(share));
  return `rgb(${mix(22, 255)} ${mix(26, 208)} ${mix(42, 74)})`;
}

function tile(bytes, width, height, colour = (value) => [value, value, value]) {
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  bytes.forEach((value, i) => image.data.set([...colour(value), 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

// ---- Inside

const warm = (value) => [22 + 0.91 * value, 26 + 0.71 * value, 42 + 0.13 * value];

function showLayers(layers) {
  find("inside-caption").hidden = !layers.length;
  find("layers").replaceChildren(
    ...(layers.length ? layers.map(drawLayer) : [element("p", {}, "Write something first.")]),
  );
}

const MOST = 32; // features of one layer that are shown
const SHAPE = 5; // width to height of a layer's picture

function drawLayer({ rows, columns, height, width, channels, bytes }, number) {
  const count = Math.min(channels, MOST);
  const across = Math.max(1, Math.min(count, Math.round(Math.sqrt((count * (height + 1) * SHAPE) / width))));
  const down = Math.ceil(count / across);
  const gap = 1;
  const canvas = element("canvas");
  canvas.width = across * (width + gap) - gap;
  canvas.height = down * (height + gap) - gap;
  const context = canvas.getContext("2d");
  for (let c = 0; c < count; c++) {
    const part = bytes.subarray(c * height * width, (c + 1) * height * width);
    const [x, y] = [c % across, Math.floor(c / across)];
    context.drawImage(tile(part, width, height, warm), x * (width + gap), y * (height + gap));
  }
  const shown = count < channels ? `, ${count} of them here` : "";
  const size = `${channels} features of ${height}×${width}${shown}`;
  const title = `${number + 1}. Convolution ${rows}×${columns}: ${size}`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", title);
  return element("figure", {}, element("figcaption", {}, title), canvas);
}

find("inside").addEventListener("toggle", () => ask({ whole: true }));

// ---- Pictures: the server reads them, where there is one.

const served = location.protocol === "http:" || location.protocol === "https:";
let reading = 0; // which picture the newest question is about
let upload = null; // of that picture
let boxes = [];

function notice(words) {
  find("notice").textContent = words || broken;
}

const NO_SERVER =
  "Pictures are read by the server: start `mnist serve` and open the page from there.";
const UNSHOWN = "This browser can't show such a picture; the server reads it.";

async function readPicture(file, remark = "") {
  if (!served) {
    notice(NO_SERVER);
    return;
  }
  wipe();
  notice(remark);
  const number = ++reading;
  const photo = find("photo");
  photo.src = URL.createObjectURL(file);
  photo.hidden = false;
  show([], true, "Reading the picture …");
  showLayers([]);
  draw();
  drawBoxes();
  upload = new AbortController();
  const answer = await askServer(file, upload);
  if (number !== reading) return; // another picture came, or it was put away
  notice(answer.error ?? (photo.complete && !photo.naturalWidth ? UNSHOWN : remark));
  const rows = (answer.lines ?? []).map((line) => ({ ...line, digits: line.digits ?? [] }));
  show(rows, true, answer.error ? "The picture was not read" : "No digit on this picture");
  boxes = rows.flatMap((row) => row.digits).filter((digit) => digit.box);
  drawBoxes();
}

const MUTE = [200, 404, 405, 501]; // of a host that has files only, and so no words for this page

// What the server says; `error` where it says nothing, or nothing that can be understood.
async function askServer(file, stop) {
  let body;
  try {
    body = new Blob([await file.arrayBuffer()], { type: file.type });
  } catch {
    return { error: "This file can't be read. Is it a folder, or was it changed or deleted?" };
  }
  let response;
  const late = setTimeout(() => stop.abort(), 90000);
  try {
    response = await fetch("read", { method: "POST", body, signal: stop.signal });
  } catch {
    return { error: "The server does not answer. Is `mnist serve` still running?" };
  } finally {
    clearTimeout(late);
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer && !answer.error) return answer;
  if (typeof answer?.error === "string") return answer;
  if (!answer && MUTE.includes(response.status)) return { error: NO_SERVER };
  return { error: `The server can't read it (${response.status}).` };
}

function closePhoto() {
  const photo = find("photo");
  notice("");
  if (photo.hidden) return;
  reading++;
  upload?.abort();
  URL.revokeObjectURL(photo.src);
  photo.removeAttribute("src");
  photo.hidden = true;
  boxes = [];
  drawBoxes();
}

// Frames round the digits, where they lie on the picture as it is shown.
function drawBoxes() {
  const canvas = find("boxes");
  const photo = find("photo");
  canvas.hidden = photo.hidden || !photo.naturalWidth;
  if (canvas.hidden) return;
  const context = canvas.getContext("2d");
  const scale = Math.min(canvas.width / photo.naturalWidth, canvas.height / photo.naturalHeight);
  const left = (canvas.width - scale * photo.naturalWidth) / 2;
  const top = (canvas.height - scale * photo.naturalHeight) / 2;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.lineWidth = 2 * devicePixelRatio;
  for (const { box, sure } of boxes) {
    const style = getComputedStyle(canvas);
    context.strokeStyle = style.getPropertyValue(sure ? "--accent" : "--unsure");
    const [x, y, right, bottom] = box.map((edge) => edge * scale);
    context.strokeRect(left + x, top + y, right - x, bottom - y);
  }
}

// Where the system knows no type, as some do of HEIC, the server says whether it is a picture.
const picturesIn = (files) =>
  [...(files ?? [])].filter((file) => file.type.startsWith("image/") || !file.type);

function offer(files) {
  const [file, ...others] = picturesIn(files);
  if (file) readPicture(file, others.length ? "Only the first of these pictures is read." : "");
  else if (files?.length) notice("That is no picture.");
}

find("photo").addEventListener("load", drawBoxes);
find("photo").addEventListener("error", () => {
  if (!find("photo").hidden && !find("notice").textContent) notice(UNSHOWN);
});
find("open").addEventListener("click", () => {
  if (served) find("file").click();
  else readPicture(null);
});
find("file").addEventListener("change", ({ target }) => {
  offer(target.files);
  target.value = ""; // the same file may be chosen again
});
addEventListener("paste", (event) => offer(event.clipboardData?.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  paper.classList.toggle("offered", event.dataTransfer.types.includes("Files"));
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) paper.classList.remove("offered");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  paper.classList.remove("offered");
  offer(event.dataTransfer.files);
});

// ---- Start

new ResizeObserver(resize).observe(paper);
watchRatio();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  draw();
  drawBoxes();
});
resize();
startReader();
