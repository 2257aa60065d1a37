"use strict";
// What the network saw step by step → a number, how probable it is, and where its digits are.
// The same as reader/decoding.py, which says where it comes from.
//
//   let found = decode(views);                           // {text, probability, probabilities, spans}
//   found = putIn(views, found, findPassedOver(row, strip, found.spans));
//
// A view is per step the probabilities of eleven classes: the digits, and "nothing new".

const BLANK = 10;
const TINY = 1e-30;
const MOST = 16; // digits of a text whose neighbours are tried; their cost grows with its cube
// Of a text's probability: one with a digit more, where there is ink for it, has at least that. Less
// than in reader/decoding.py, since here only a pen makes ink: a straight 1 is no wall of a form.
const LIKELY = 0.1;

// The text that is the most probable over all views of a row.
function decode(views) {
  const candidates = [...new Set(views.map(bestPath))].sort();
  const { text, probability } = mostProbable(views, candidates);
  return text ? refine(views, text) : { text, probability, probabilities: [], spans: [] };
}

// What a row says with one digit more at each of these places, which are how many digits are left of
// it, from the right; where that can be. A text of more than MOST digits stays as it is.
function putIn(views, found, places) {
  let best = found;
  const digits = [...Array(10).keys()];
  for (const place of found.text.length > MOST ? [] : places) {
    const { text } = best;
    const longer = digits.map((digit) => text.slice(0, place) + digit + text.slice(place));
    const better = mostProbable(views, longer);
    if (better.probability >= LIKELY * best.probability) best = better;
  }
  return best === found ? found : refine(views, best.text);
}

// Change one digit after the other while that makes the text more probable. A text of more than MOST
// digits stays as it is, and each digit's probabilities are those of the steps where it was seen, in
// the first view.
function refine(views, text) {
  if (text.length > MOST) return leave(views, text);
  const scores = scoreTexts(views, changeEach(text));
  const probability = scores[text[0]];
  const best = highest(scores);
  if (scores[best] > probability) return refine(views, changeEach(text)[best]);
  const probabilities = Array.from(text, (_, i) => {
    const row = scores.slice(10 * i, 10 * i + 10);
    const sum = Math.max(TINY, row.reduce((a, b) => a + b));
    return row.map((score) => score / sum);
  });
  return { text, probability, probabilities, spans: align(views[0], text) };
}

function leave(views, text) {
  const spans = align(views[0], text);
  const probabilities = spans.map(([first, end]) => {
    const seen = views[0].slice(first, end);
    const row = [...Array(10).keys()].map((digit) => Math.max(...seen.map((step) => step[digit])));
    const sum = Math.max(TINY, row.reduce((a, b) => a + b));
    return row.map((score) => score / sum);
  });
  return { text, probability: scoreTexts(views, [text])[0], probabilities, spans };
}

function mostProbable(views, texts) {
  const scores = scoreTexts(views, texts);
  const best = highest(scores);
  return { text: texts[best], probability: scores[best] };
}

function changeEach(text) {
  const digits = [...Array(10).keys()];
  return Array.from(text, (_, i) =>
    digits.map((digit) => text.slice(0, i) + digit + text.slice(i + 1)),
  ).flat();
}

const highest = (numbers) => numbers.indexOf(Math.max(...numbers));

// What the most probable class of each step spells.
function bestPath(view) {
  const best = view.map(highest);
  return best.filter((c, step) => c !== BLANK && c !== best[step - 1]).join("");
}

// The mean over the views of each text's probability.
function scoreTexts(views, texts) {
  return texts.map(
    (text) => views.reduce((sum, view) => sum + textProbability(view, text), 0) / views.length,
  );
}

// The classes to go through: "nothing new" before, between and behind the digits.
function spell(text) {
  return [BLANK, ...Array.from(text, (digit) => [Number(digit), BLANK]).flat()];
}

// Whether the state may be reached past the "nothing new" before it.
function maySkip(states, s) {
  return s > 1 && states[s] !== BLANK && states[s] !== states[s - 2];
}

// The probability of a text: all ways of spelling it, summed.
function textProbability(view, text) {
  const states = spell(text);
  let reached = states.map((c, s) => (s < 2 ? view[0][c] : 0));
  let log = 0;
  for (const step of view.slice(1)) {
    const next = states.map((c, s) => {
      const came = reached[s] + (s ? reached[s - 1] : 0);
      return (came + (maySkip(states, s) ? reached[s - 2] : 0)) * step[c];
    });
    const total = next.reduce((a, b) => a + b) + TINY;
    reached = next.map((value) => value / total);
    log += Math.log(total);
  }
  const last = states.length - 1;
  return Math.exp(log) * (reached[last] + (last ? reached[last - 1] : 0));
}

// Each digit's first step and the one after its last, on the most probable way of spelling (Viterbi).
function align(view, text) {
  const states = spell(text);
  const log = (step, s) => Math.log(step[states[s]] + TINY);
  let best = states.map((_, s) => (s < 2 ? log(view[0], s) : -Infinity));
  const came = [states.map(() => 0)];
  for (const step of view.slice(1)) {
    const before = best;
    const back = states.map((_, s) => {
      const ways = [before[s], s > 0 ? before[s - 1] : -Infinity];
      ways.push(maySkip(states, s) ? before[s - 2] : -Infinity);
      return highest(ways);
    });
    best = back.map((steps, s) => before[s - steps] + log(step, s));
    came.push(back);
  }
  let state = states.length - (best.at(-1) > best.at(-2) ? 1 : 2);
  const spans = Array.from(text, () => [0, 0]);
  for (let step = view.length - 1; step >= 0; step--) {
    if (states[state] !== BLANK) {
      const span = spans[(state - 1) / 2];
      span[0] = step;
      span[1] = Math.max(span[1], step + 1);
    }
    state -= came[step][state];
  }
  return spans;
}
