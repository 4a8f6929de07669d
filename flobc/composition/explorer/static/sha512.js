// SHA-512 (FIPS 180-4) of our own, for Ed25519 on pages that did not come over TLS; messages are a few hundred bytes.

const MASK = (1n << 64n) - 1n;
const K = [];
const START = [];

// The integer root of a number, by Newton's steps from above.
function root(value, degree) {
  let found = 1n << (BigInt(value.toString(2).length) / degree + 1n);
  for (;;) {
    const next = ((degree - 1n) * found + value / found ** (degree - 1n)) / degree;
    if (next >= found) return found;
    found = next;
  }
}

// The constants are the first 64 bits of the fractional parts of roots of the first primes.
function fillConstants() {
  for (let number = 2n; K.length < 80; number++) {
    let prime = true;
    for (let divisor = 2n; divisor * divisor <= number; divisor++) if (number % divisor === 0n) prime = false;
    if (!prime) continue;
    if (START.length < 8) START.push(root(number << 128n, 2n) & MASK);
    K.push(root(number << 192n, 3n) & MASK);
  }
}
fillConstants();

const rotate = (word, by) => ((word >> by) | (word << (64n - by))) & MASK;

function compress(state, view, offset) {
  const words = [];
  for (let t = 0; t < 16; t++) words.push(view.getBigUint64(offset + 8 * t));
  for (let t = 16; t < 80; t++) {
    const a = words[t - 15], b = words[t - 2];
    const low = rotate(a, 1n) ^ rotate(a, 8n) ^ (a >> 7n);
    const high = rotate(b, 19n) ^ rotate(b, 61n) ^ (b >> 6n);
    words.push((words[t - 16] + low + words[t - 7] + high) & MASK);
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < 80; t++) {
    const one = h + (rotate(e, 14n) ^ rotate(e, 18n) ^ rotate(e, 41n)) + ((e & f) ^ ((e ^ MASK) & g)) + K[t] + words[t];
    const two = (rotate(a, 28n) ^ rotate(a, 34n) ^ rotate(a, 39n)) + ((a & b) ^ (a & c) ^ (b & c));
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) & MASK, c, b, a, (one + two) & MASK];
  }
  return [a, b, c, d, e, f, g, h].map((word, place) => (state[place] + word) & MASK);
}

export function sha512(data) {
  const padded = new Uint8Array((Math.floor((data.length + 16) / 128) + 1) * 128);
  padded.set(data);
  padded[data.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(data.length) * 8n);
  let state = START;
  for (let offset = 0; offset < padded.length; offset += 128) state = compress(state, view, offset);
  const digest = new DataView(new ArrayBuffer(64));
  state.forEach((word, place) => digest.setBigUint64(8 * place, word));
  return new Uint8Array(digest.buffer);
}
