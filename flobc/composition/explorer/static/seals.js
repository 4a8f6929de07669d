// Who sealed a header: a quorum of the validators in the genesis, whose digest is the chain's id (CHAIN-1, CHAIN-5, CHAIN-6).

import { computeDigest, readSeal, readValidators, tagged } from "./chain.js";
import { isValidKey, verify } from "./ed25519.js";
import { fromHex } from "./sha256.js";

const SIGNATURE_BYTES = 64;
const BUSY_MS = 12;  // then the page has its turn: a hundred validators take a while

const rest = () => new Promise((go) => setTimeout(go));

// The validators of a chain by its genesis's bytes. Throws when they are not the chain's.
export function readMembers(genesis, chain) {
  const found = computeDigest("Genesis", genesis);
  if (found !== chain) throw new Error(`the genesis hashes to ${found}, not to the chain's id`);
  return readValidators(genesis);
}

// Throws unless a quorum of validators signed this header. Resolves to how many did, and how many must.
export async function checkCertificate(header, digest, seals, validators) {
  const quorum = Math.floor((2 * validators.length) / 3) + 1;
  const read = seals.map(readSeal), signers = read.map((seal) => seal.validator);
  if (read.some((seal) => seal.header !== digest)) throw new Error("the seals are of another header");
  if (signers.some((signer, place) => place > 0 && signers[place - 1] >= signer)) throw new Error("the seals are not distinct and in order");
  if (read.length < quorum) throw new Error(`there are ${read.length} seals of the ${quorum} that it takes`);
  let start = performance.now();
  for (const [place, seal] of read.entries()) {
    const name = seal.validator.slice(0, 12), key = fromHex(seal.validator);
    if (!validators.includes(seal.validator)) throw new Error(`${name} is no validator of the genesis`);
    if (seal.chain !== header.chain || seal.height !== header.height) throw new Error(`the seal of ${name} is for another block`);
    const message = tagged("Seal", fromHex(seals[place]).subarray(0, -SIGNATURE_BYTES));
    if (!isValidKey(key)) throw new Error(`the key of ${name} may not sign`);
    if (!(await verify(key, message, fromHex(seal.signature)))) throw new Error(`the seal of ${name} is forged: its signature does not hold`);
    if (performance.now() - start > BUSY_MS) {
      await rest();
      start = performance.now();
    }
  }
  return { signed: read.length, quorum, total: validators.length };
}
