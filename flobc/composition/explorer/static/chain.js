// The chain's canonical bytes in the browser: headers, decisions, votes, seals, the genesis's validators (WIRE-1), digests
// (WIRE-8), trees (WIRE-14).

import { fromHex, join, sha256, toHex } from "./sha256.js";

const CLOSINGS = ["genesis", "complete", "majority", "deadline"];

const REASONS = ["accepted", "low score", "fault", "superseded", "duplicate"];
const FAULTS = ["none", "bad length", "bad encoding", "non finite", "out of range", "norm mismatch", "norm bound"];
const WEIGHT_ONE = 2 ** 20;

export const describeOutcome = ({ reason, fault }) => (REASONS[reason] === "fault" ? FAULTS[fault] : REASONS[reason]);

// Numbers on a page are rounded; half of their last digit is what rounding may change.
export const isMillionths = (shown, value) => Math.abs(Number(shown) - Number(value) / 1e6) <= 0.00005001;
export const isWeight = (shown, weight) => Math.abs(parseFloat(shown) - (100 * weight) / WEIGHT_ONE) <= 0.05001;

class Reader {
  constructor(data) { this.data = data; this.view = new DataView(data.buffer, data.byteOffset, data.length); this.offset = 0; }
  move(size) {
    const start = this.offset;
    if (start + size > this.data.length) throw new Error("the bytes end too early");
    this.offset += size;
    return start;
  }
  digest() { const start = this.move(32); return toHex(this.data.subarray(start, start + 32)); }
  u8() { return this.view.getUint8(this.move(1)); }
  u16() { return this.view.getUint16(this.move(2)); }
  u32() { return this.view.getUint32(this.move(4)); }
  i32() { return this.view.getInt32(this.move(4)); }
  u64() { return this.view.getBigUint64(this.move(8)).toString(); }
  optionalI64() { return this.u8() ? this.view.getBigInt64(this.move(8)).toString() : null; }
  signature() { const start = this.move(64); return toHex(this.data.subarray(start, start + 64)); }
  text() { this.move(this.u32()); }
  end(value) { if (this.offset !== this.data.length) throw new Error("there are bytes too many"); return value; }
}

export function readHeader(hex) {
  const reader = new Reader(fromHex(hex));
  const header = {
    chain: reader.digest(), height: reader.u64(), parent: reader.digest(), closing_position: reader.u64(),
    log_digest: reader.digest(), num_decisions: reader.u32(), decisions_root: reader.digest(),
    evidence_root: reader.digest(), state: reader.digest(), model: reader.digest(), closing: CLOSINGS[reader.u8()],
    step: reader.u32(), loss: reader.optionalI64(), accuracy: reader.optionalI64(),
  };
  return reader.end(header);
}

export function readDecision(hex) {
  const reader = new Reader(fromHex(hex));
  const decision = {
    update: reader.digest(), trainer: reader.digest(), base_height: reader.u64(), k: reader.u16(), reason: reader.u8(),
    fault: reader.u8(), score: reader.i32(), staleness: reader.u32(), discount: reader.u32(), weight: reader.u32(),
    votes: reader.digest(),
  };
  return reader.end(decision);
}

export function readVotes(hex) {
  const reader = new Reader(fromHex(hex)), votes = [];
  for (let left = reader.u32(); left > 0; left--) {
    votes.push({ validator: reader.digest(), score: reader.i32(), fault: reader.u8(), elapsed_ms: reader.u32() });
  }
  return reader.end(votes);
}

export function readSeal(hex) {
  const reader = new Reader(fromHex(hex));
  const seal = {
    chain: reader.digest(), validator: reader.digest(), height: reader.u64(), header: reader.digest(),
    signature: reader.signature(),
  };
  return reader.end(seal);
}

// The validators' keys in a genesis; what stands behind them only its digest is needed of.
export function readValidators(data) {
  const reader = new Reader(data), validators = [];
  reader.u16();
  for (let texts = 3; texts > 0; texts--) reader.text();
  reader.digest();
  for (let tensors = reader.u32(); tensors > 0; tensors--) {
    reader.text();
    reader.move(4 * reader.u32());
    reader.text();
    reader.text();
    reader.move(9);
  }
  reader.move(12);
  reader.digest();
  for (let left = reader.u32(); left > 0; left--) validators.push(reader.digest());
  return validators;
}

export function tagged(kind, data) {
  const tag = new TextEncoder().encode(`flobc/1/${kind}`);
  return join(Uint8Array.of(tag.length), tag, data);
}

export const computeDigest = (kind, data) => toHex(sha256(tagged(kind, typeof data === "string" ? fromHex(data) : data)));

const hashLeaf = (hex) => sha256(join(Uint8Array.of(0), fromHex(hex)));
const hashNode = (left, right) => sha256(join(Uint8Array.of(1), left, right));

export function computeRoot(leaves) {
  if (leaves.length === 0) return toHex(sha256(new Uint8Array()));
  let level = leaves.map(hashLeaf);
  while (level.length > 1) {
    const above = [];
    for (let place = 0; place + 1 < level.length; place += 2) above.push(hashNode(level[place], level[place + 1]));
    if (level.length % 2) above.push(level[level.length - 1]);
    level = above;
  }
  return toHex(level[0]);
}

export function isIncluded(leaf, index, size, path, root) {
  if (index >= size) return false;
  let node = index, last = size - 1, digest = hashLeaf(leaf);
  for (const sibling of path.map(fromHex)) {
    if (last === 0) return false;
    if (node & 1 || node === last) {
      digest = hashNode(sibling, digest);
      while (!(node & 1) && node) { node >>>= 1; last >>>= 1; }
    } else {
      digest = hashNode(digest, sibling);
    }
    node >>>= 1;
    last >>>= 1;
  }
  return last === 0 && toHex(digest) === root;
}

export function computeLowerMedian(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}
