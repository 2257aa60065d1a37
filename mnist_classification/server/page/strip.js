"use strict";
// Strokes of a pen → strips as the network wants them: 32 pixels high, paper 0 and ink 1.
//
//   for (const row of findRows(strokes)) drawStrip(row, 0.75);
//
// A stroke is an array of [x, y]. Strips are drawn from the points themselves, with a pen as thick as
// what the network learned from: pixels of a canvas are never read, since some browsers falsify them.

const HEIGHT = 32;
const STEP = 2; // pixels along the strip per step of the network
const END = 12; // pixels of nothing at either end
const LONGEST = 1600;
const NEAR = 0.15; // of the tallest stroke's height: strokes that come closer are one shape
const PEN = 0.05; // half of the pen's width, in heights of the row
const TALL = 0.6; // of the row's height: a shape that is a digit, not a point or a dash

function boxOf(strokes) {
  const points = strokes.flat();
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const least = (numbers) => numbers.reduce((a, b) => Math.min(a, b));
  const most = (numbers) => numbers.reduce((a, b) => Math.max(a, b));
  return { left: least(xs), right: most(xs), top: least(ys), bottom: most(ys) };
}

const middle = (box) => (box.top + box.bottom) / 2;
const tall = (box) => box.bottom - box.top;
const within = (y, box) => box.top <= y && y <= box.bottom;
const away = (y, box) => Math.max(box.top - y, y - box.bottom, 0);

// Strokes that stand side by side, from the top: an array of arrays of strokes.
function findRows(strokes) {
  const tallest = Math.max(...strokes.map((stroke) => tall(boxOf([stroke]))));
  const shapes = joinTouching(strokes, NEAR * tallest);
  const highest = Math.max(...shapes.map(({ box }) => tall(box)));
  const rows = [];
  const main = shapes.filter(({ box }) => tall(box) >= 0.4 * highest);
  for (const shape of main.sort((a, b) => middle(a.box) - middle(b.box))) {
    const row = rows.find(
      ({ box }) => within(middle(shape.box), box) || within(middle(box), shape.box),
    );
    if (row) join(row, shape);
    else rows.push(shape);
  }
  // The bar of a 5 that stands off, a point: with the nearest row.
  for (const shape of shapes.filter(({ box }) => tall(box) < 0.4 * highest)) {
    const y = middle(shape.box);
    join(rows.reduce((a, b) => (away(y, b.box) < away(y, a.box) ? b : a)), shape);
  }
  return rows.sort((a, b) => middle(a.box) - middle(b.box)).map((row) => row.strokes);
}

function join(row, shape) {
  row.strokes.push(...shape.strokes);
  row.box = boxOf(row.strokes);
}

// Strokes that come closer to each other than `near` are one shape, such as both parts of a 4.
function joinTouching(strokes, near) {
  let shapes = [];
  for (const stroke of strokes) {
    const shape = { strokes: [stroke], box: boxOf([stroke]) };
    const touching = shapes.filter(
      (other) =>
        boxesTouch(shape.box, other.box, near) &&
        other.strokes.some((theirs) => strokesTouch(stroke, theirs, near)),
    );
    for (const other of touching) join(shape, other);
    shapes = [...shapes.filter((other) => !touching.includes(other)), shape];
  }
  return shapes;
}

function boxesTouch(a, b, near) {
  const beside = Math.max(a.left - b.right, b.left - a.right);
  return Math.max(beside, a.top - b.bottom, b.top - a.bottom) < near;
}

function strokesTouch(a, b, near) {
  const some = (stroke) => {
    const every = Math.ceil(stroke.length / 64);
    return stroke.filter((_, i) => i % every === 0 || i === stroke.length - 1);
  };
  const others = some(b);
  return some(a).some(([x, y]) => others.some(([u, v]) => (x - u) ** 2 + (y - v) ** 2 < near ** 2));
}

// How high a row is: a lone dash is not a digit to be enlarged until it is as high as one.
function heightOf(row, smallest) {
  const widest = Math.max(...row.map((stroke) => boxOf([stroke])).map((b) => b.right - b.left));
  return Math.max(tall(boxOf(row)), 0.35 * widest, smallest, 1);
}

const leanBy = (stroke, lean) => stroke.map(([x, y]) => [x - lean * y, y]);

// Draw a row so that its ink fills `share` of the strip's height, leaning to the right by `lean`
// pixels per pixel: the network takes a line that is dead straight for the wall of a form, which here
// it can't be.
function drawStrip(written, share, { lean = 0, smallest = 0 } = {}) {
  const row = written.map((stroke) => leanBy(stroke, lean));
  const box = boxOf(row);
  const high = heightOf(row, smallest);
  const room = LONGEST / Math.max(box.right - box.left, 1);
  const scale = Math.min((share * HEIGHT * (1 - 2 * PEN)) / high, room);
  const length = Math.ceil((box.right - box.left) * scale) + 2 * END;
  const strip = {
    length: length + (length % 2),
    scale,
    lean,
    left: box.left - END / scale,
    top: middle(box) - HEIGHT / 2 / scale,
  };
  strip.values = new Float32Array(HEIGHT * strip.length);
  const pen = Math.max(share * HEIGHT * PEN, 0.5);
  for (const stroke of row) {
    const points = smooth(stroke).map(([x, y]) => [
      (x - strip.left) * scale,
      (y - strip.top) * scale,
    ]);
    points.forEach((point, i) => inkLine(strip, points[Math.max(i - 1, 0)], point, pen));
  }
  return strip;
}

// Where digits may be missing, from the right: of each shape as tall as a digit in which none was
// read, how many are left of it.
function findPassedOver(written, strip, spans, smallest) {
  const tallest = Math.max(...written.map((stroke) => tall(boxOf([stroke]))));
  const middles = spans.map(([first, end]) => ((first + end) / 2) * STEP);
  const places = [];
  for (const shape of joinTouching(written, NEAR * tallest)) {
    if (tall(shape.box) < TALL * heightOf(written, smallest)) continue;
    const { left, right } = boxOf(shape.strokes.map((stroke) => leanBy(stroke, strip.lean)));
    const from = (left - strip.left) * strip.scale - 1;
    const to = (right - strip.left) * strip.scale + 1;
    if (middles.some((x) => from <= x && x <= to)) continue;
    places.push(middles.filter((x) => x < from).length);
  }
  return places.sort((a, b) => b - a);
}

// The curve that the page shows: through the middles between points, bent towards the points.
function smooth(points) {
  if (points.length < 3) return points;
  const between = ([x, y], [u, v]) => [(x + u) / 2, (y + v) / 2];
  const curve = [points[0]];
  for (let i = 1; i < points.length - 1; i++) {
    const from = curve.at(-1);
    const to = between(points[i], points[i + 1]);
    for (const t of [0.25, 0.5, 0.75, 1]) {
      const bend = (k) => (1 - t) ** 2 * from[k] + 2 * t * (1 - t) * points[i][k] + t ** 2 * to[k];
      curve.push([bend(0), bend(1)]);
    }
  }
  curve.push(points.at(-1));
  return curve;
}

// Draw a line with round ends; at its edge the ink fades over one pixel.
function inkLine({ values, length }, [ax, ay], [bx, by], pen) {
  const reach = pen + 1;
  const along = (bx - ax) ** 2 + (by - ay) ** 2;
  const firstX = Math.max(0, Math.floor(Math.min(ax, bx) - reach));
  const lastX = Math.min(length - 1, Math.ceil(Math.max(ax, bx) + reach));
  const firstY = Math.max(0, Math.floor(Math.min(ay, by) - reach));
  const lastY = Math.min(HEIGHT - 1, Math.ceil(Math.max(ay, by) + reach));
  for (let y = firstY; y <= lastY; y++)
    for (let x = firstX; x <= lastX; x++) {
      const px = x + 0.5 - ax;
      const py = y + 0.5 - ay;
      const t = along && Math.min(1, Math.max(0, (px * (bx - ax) + py * (by - ay)) / along));
      const distance = Math.hypot(px - t * (bx - ax), py - t * (by - ay));
      const ink = Math.min(1, Math.max(0, pen - distance + 0.5));
      const place = y * length + x;
      if (ink > values[place]) values[place] = ink;
    }
}
