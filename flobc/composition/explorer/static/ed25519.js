// Ed25519 (RFC 8032) as strict as the chain's own library: S is reduced, R is compared byte by byte and of no small
// order, and keys are canonical points of the subgroup of prime order (WIRE-13). The browser's own does the work where
// it has one; ours is for pages that did not come over TLS. Nothing here is secret, so time may tell what it likes.

import { join } from "./sha256.js";
import { sha512 } from "./sha512.js";

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const reduce = (value) => { const rest = value % P; return rest < 0n ? rest + P : rest; };

function power(base, exponent) {
  let found = 1n;
  for (let square = base; exponent > 0n; exponent >>= 1n, square = (square * square) % P) {
    if (exponent & 1n) found = (found * square) % P;
  }
  return found;
}

const D = reduce(-121665n * power(121666n, P - 2n));
const ROOT = power(2n, (P - 1n) / 4n);  // of -1

// Points are X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z (RFC 8032, 5.1.4).
const ZERO = [0n, 1n, 1n, 0n];

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = ((y1 - x1) * (y2 - x2)) % P, b = ((y1 + x1) * (y2 + x2)) % P;
  const c = (((2n * t1 * t2) % P) * D) % P, d = (2n * z1 * z2) % P;
  const e = b - a, f = d - c, g = d + c, h = b + a;
  return [(e * f) % P, (g * h) % P, (f * g) % P, (e * h) % P];
}

function double([x, y, z]) {
  const a = (x * x) % P, b = (y * y) % P, c = 2n * ((z * z) % P);
  const h = a + b, e = h - (x + y) ** 2n, g = a - b, f = c + g;
  return [(e * f) % P, (g * h) % P, (f * g) % P, (e * h) % P];
}

const negate = ([x, y, z, t]) => [-x, y, z, -t];
const isZero = ([x, y, z]) => reduce(x) === 0n && reduce(y - z) === 0n;

// first * a + second * b, bit by bit.
function combine(first, a, second, b) {
  const both = add(first, second);
  let sum = ZERO;
  for (let place = 255n; place >= 0n; place--) {
    sum = double(sum);
    const of_a = (a >> place) & 1n, of_b = (b >> place) & 1n;
    if (of_a && of_b) sum = add(sum, both);
    else if (of_a) sum = add(sum, first);
    else if (of_b) sum = add(sum, second);
  }
  return sum;
}

const toNumber = (bytes) => bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);

// The point that 32 bytes are the one encoding of, or null.
function decode(bytes) {
  const number = toNumber(bytes), y = number & (2n ** 255n - 1n), sign = number >> 255n;
  if (y >= P) return null;
  const u = reduce(y * y - 1n), v = reduce(D * y * y + 1n);
  let x = reduce(u * power(v, 3n) * power(u * power(v, 7n) % P, (P - 5n) / 8n));
  const square = reduce(v * x * x);
  if (square !== u) {
    if (square !== reduce(-u)) return null;
    x = (x * ROOT) % P;
  }
  if (x === 0n && sign === 1n) return null;
  if ((x & 1n) !== sign) x = P - x;
  return [x, y, 1n, (x * y) % P];
}

function encode([x, y, z]) {
  const inverse = power(reduce(z), P - 2n);
  let number = reduce(y * inverse) | ((reduce(x * inverse) & 1n) << 255n);
  return Uint8Array.from({ length: 32 }, () => { const byte = Number(number & 255n); number >>= 8n; return byte; });
}

const BASE = decode(Uint8Array.of(0x58, ...new Array(31).fill(0x66)));
const isSame = (one, other) => one.every((byte, place) => byte === other[place]);
const isSmall = (point) => isZero(double(double(double(point))));

export function isValidKey(key) {
  const point = key.length === 32 ? decode(key) : null;
  return point !== null && !isSmall(point) && isZero(combine(point, L, ZERO, 0n));
}

// What the browser's own may be laxer about: reduced S, R of no small order.
function isStrict(signature) {
  if (signature.length !== 64 || toNumber(signature.subarray(32)) >= L) return false;
  const point = decode(signature.subarray(0, 32));
  return point !== null && !isSmall(point);
}

// Ours; the key is a valid one.
export function verifyHere(key, message, signature) {
  const point = isStrict(signature) ? decode(key) : null;
  if (point === null) return false;
  const r = signature.subarray(0, 32), s = toNumber(signature.subarray(32));
  const h = toNumber(sha512(join(r, key, message))) % L;
  return isSame(encode(combine(BASE, s, negate(point), h)), r);
}

let isOffered = globalThis.crypto?.subtle !== undefined;

// Whether a valid key signed the message.
export async function verify(key, message, signature) {
  if (!isOffered) return verifyHere(key, message, signature);
  try {
    const found = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
    return isStrict(signature) && (await crypto.subtle.verify({ name: "Ed25519" }, found, signature, message));
  } catch {
    isOffered = false;  // an older browser knows no Ed25519
    return verifyHere(key, message, signature);
  }
}
