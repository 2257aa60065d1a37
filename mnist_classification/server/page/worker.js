"use strict";
// Reads in a worker, so that the pen never waits. The page sends first the network's description,
// then {strokes, smallest, whole, rested, inside}; the answer is a list of rows.

// How a row is shown to the network: the share of the strip's height that the ink fills, and how far
// it leans. While the pen is down a small one is enough; when it is up, the first of the others; and
// where that leaves doubt and the pen rests, all of them.
const PREVIEW = { share: 0.5, lean: 0.15 };
const VIEWS = [
  { share: 0.6, lean: 0.15 },
  { share: 0.7, lean: 0.15 },
  { share: 0.8, lean: 0.15 },
];
const NO_DOUBT = 0.98;
let network;
let calibration;

// How often a row of this probability is right.
function calibrate(probability) {
  const kept = Math.min(Math.max(probability, 1e-9), 1 - 1e-9);
  const logit = calibration.slope * Math.log(kept / (1 - kept)) + calibration.offset;
  return 1 / (1 + Math.exp(-Math.min(Math.max(logit, -50), 50)));
}

function look(strokes, { share, lean }, { smallest, inside }) {
  const layers = [];
  const watch = (layer, map) => {
    if (layer.kind === "convolution") layers.push(picture(layer, map));
  };
  const strip = drawStrip(strokes, share, { lean, smallest });
  const steps = softmax(forward(network, strip.values, strip.length, inside ? watch : undefined));
  return { strip: { ...strip, steps }, layers };
}

// What several looks at a row say together; the first is the one that is shown.
function describe(strokes, looks, { smallest }) {
  const views = looks.map(({ strip }) => strip.steps);
  let found = decode(views);
  found = putIn(views, found, findPassedOver(strokes, looks[0].strip, found.spans, smallest));
  const { text, probability, probabilities } = found;
  const calibrated = calibrate(probability);
  const digits = Array.from(text, (label, i) => {
    return {
      label: Number(label),
      probability: probabilities[i][label],
      probabilities: probabilities[i],
      sure: calibrate(probabilities[i][label]) >= calibration.threshold,
    };
  });
  const sure = text !== "" && calibrated >= calibration.threshold;
  const doubtful = probability < NO_DOUBT;
  return { text, sure, doubtful, probability: calibrated, digits, ...looks[0] };
}

// A map as bytes for a picture: channel after channel, each from nothing to its layer's strongest.
function picture(layer, { height, width, channels, values }) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const scale = 255 / Math.max(high - low, 1e-9);
  const bytes = new Uint8Array(values.length);
  for (let place = 0; place < height * width; place++)
    for (let c = 0; c < channels; c++)
      bytes[c * height * width + place] = (values[place * channels + c] - low) * scale;
  const { rows, columns } = layer;
  return { rows, columns, height, width, channels, bytes };
}

onmessage = ({ data }) => {
  if (data.network) {
    network = unpackNetwork(data.network);
    calibration = data.calibration;
    return;
  }
  const written = data.strokes.length ? findRows(data.strokes) : [];
  const views = data.rested ? VIEWS : [data.whole ? VIEWS[0] : PREVIEW];
  const rows = written.map((strokes) => {
    const looks = views.map((view) => look(strokes, view, data));
    return describe(strokes, looks, data);
  });
  postMessage(rows);
};
