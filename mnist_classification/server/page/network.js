"use strict";
// The network's forward pass: convolutions, ReLU and max-pooling over a strip of any length.
//
//   const network = unpackNetwork(description);          // what page.py embeds
//   const scores = forward(network, strip, length);      // a map, 1 × (length / 2), 11 channels
//   const probabilities = softmax(scores);               // per step, of eleven classes
//
// A map is {height, width, channels, values}: rows, then columns, then channels. So the values that
// one place of a convolution needs lie side by side, one run per row of its kernel.

// Base64 of 16-bit floats (IEEE 754 half precision, little-endian) → numbers.
function unpackHalves(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const numbers = new Float32Array(bytes.length / 2);
  for (let i = 0; i < numbers.length; i++) {
    const half = view.getUint16(2 * i, true);
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    const size = exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction;
    numbers[i] = half & 0x8000 ? -size : size;
  }
  return numbers;
}

// Weights come as (outputs, inputs, rows, columns), then the biases; `convolve` wants them, for each
// four outputs, as (rows, columns, inputs, 4). A dilated kernel becomes a longer one, with zeros.
function unpackNetwork(description) {
  const numbers = unpackHalves(description.weights);
  let used = 0;
  const take = (count) => numbers.subarray(used, (used += count));
  return description.layers.map((layer) => {
    if (layer.kind !== "convolution") return layer;
    const { inputs, outputs, rows, dilation } = layer;
    const columns = (layer.columns - 1) * dilation + 1;
    const given = take(outputs * inputs * rows * layer.columns);
    const fours = Math.ceil(outputs / 4);
    const weights = new Float64Array(fours * rows * columns * inputs * 4);
    let next = 0;
    for (let o = 0; o < outputs; o++)
      for (let i = 0; i < inputs; i++)
        for (let row = 0; row < rows; row++)
          for (let column = 0; column < columns; column += dilation) {
            const place = ((o >> 2) * rows + row) * columns + column;
            weights[4 * (place * inputs + i) + (o & 3)] = given[next++];
          }
    const biases = new Float64Array(fours * 4);
    biases.set(take(outputs));
    return { ...layer, columns, weights, biases };
  });
}

// Put zeros around a map.
function pad(map, above, beside) {
  const { height, width, channels, values } = map;
  const padded = { height: height + 2 * above, width: width + 2 * beside, channels };
  padded.values = new Float64Array(padded.height * padded.width * channels);
  for (let y = 0; y < height; y++) {
    const row = values.subarray(y * width * channels, (y + 1) * width * channels);
    padded.values.set(row, ((y + above) * padded.width + beside) * channels);
  }
  return padded;
}

// One convolution, and the ReLU behind it where there is one. Four outputs at three places at a
// time: twelve sums are what the registers hold, and each number fetched is used three or four times.
// 64-bit floats, since JavaScript calculates in them anyway: from 32 bits each would be converted.
function convolve(map, layer) {
  const { rows, columns, outputs, weights, biases } = layer;
  const given = pad(map, ...layer.padding);
  const { channels, values } = given;
  const height = given.height - rows + 1;
  const width = given.width - columns + 1; // at least three
  const run = columns * channels;
  const made = new Float64Array(height * width * outputs);
  const least = layer.relu ? 0 : -Infinity;
  const sums = new Float64Array(12);
  for (let o = 0; o < outputs; o += 4) {
    const [b0, b1, b2, b3] = biases.subarray(o, o + 4);
    const count = Math.min(4, outputs - o);
    for (let y = 0; y < height; y++)
      for (let next = 0; next < width; next += 3) {
        const x = Math.min(next, width - 3); // the last three may be done twice
        let r0 = b0, r1 = b1, r2 = b2, r3 = b3;
        let s0 = b0, s1 = b1, s2 = b2, s3 = b3;
        let t0 = b0, t1 = b1, t2 = b2, t3 = b3;
        let w = o * rows * run;
        for (let row = y; row < y + rows; row++) {
          let p = (row * given.width + x) * channels;
          for (const end = p + run; p < end; p++, w += 4) {
            const w0 = weights[w], w1 = weights[w + 1], w2 = weights[w + 2], w3 = weights[w + 3];
            const a = values[p], b = values[p + channels], c = values[p + 2 * channels];
            r0 += a * w0; r1 += a * w1; r2 += a * w2; r3 += a * w3;
            s0 += b * w0; s1 += b * w1; s2 += b * w2; s3 += b * w3;
            t0 += c * w0; t1 += c * w1; t2 += c * w2; t3 += c * w3;
          }
        }
        sums[0] = r0; sums[1] = r1; sums[2] = r2; sums[3] = r3;
        sums[4] = s0; sums[5] = s1; sums[6] = s2; sums[7] = s3;
        sums[8] = t0; sums[9] = t1; sums[10] = t2; sums[11] = t3;
        const to = (y * width + x) * outputs + o;
        for (let place = 0; place < 3; place++)
          for (let i = 0; i < count; i++)
            made[to + place * outputs + i] = Math.max(least, sums[4 * place + i]);
      }
  }
  return { height, width, channels: outputs, values: made };
}

// The largest of each rows × columns values.
function pool(map, { rows, columns }) {
  const { channels, values } = map;
  const height = Math.floor(map.height / rows);
  const width = Math.floor(map.width / columns);
  const made = new Float64Array(height * width * channels).fill(-Infinity);
  for (let y = 0; y < height * rows; y++)
    for (let x = 0; x < width * columns; x++) {
      const from = (y * map.width + x) * channels;
      const to = (Math.floor(y / rows) * width + Math.floor(x / columns)) * channels;
      for (let c = 0; c < channels; c++)
        if (values[from + c] > made[to + c]) made[to + c] = values[from + c];
    }
  return { height, width, channels, values: made };
}

// Show the network a strip: (32 × length) numbers, paper 0 and ink 1. `look` is handed the map that
// each layer makes.
function forward(network, strip, length, look = () => {}) {
  let map = { height: strip.length / length, width: length, channels: 1, values: strip };
  for (const layer of network) {
    map = layer.kind === "convolution" ? convolve(map, layer) : pool(map, layer);
    look(layer, map);
  }
  return map;
}

// The last layer's scores → per step the probabilities of its classes.
function softmax({ width, channels, values }) {
  const steps = [];
  for (let x = 0; x < width; x++) {
    const scores = values.subarray(x * channels, (x + 1) * channels);
    const highest = Math.max(...scores);
    const powers = Array.from(scores, (score) => Math.exp(score - highest));
    const sum = powers.reduce((a, b) => a + b);
    steps.push(powers.map((power) => power / sum));
  }
  return steps;
}
