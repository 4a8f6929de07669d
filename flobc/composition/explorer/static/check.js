// Computes again, in this browser, what a page about a block or an update says, and marks it verified or BROKEN.

import {
  computeDigest, computeLowerMedian, computeRoot, describeOutcome, isIncluded, isMillionths, isWeight, readDecision,
  readHeader, readSeal, readVotes,
} from "./chain.js";
import { checkCertificate, readMembers } from "./seals.js";

class Broken extends Error {}

function require(holds, sentence) {
  if (!holds) throw new Broken(sentence);
}

function requireShown(attribute, values) {
  for (const element of document.querySelectorAll(`[data-${attribute}]`)) {
    const name = element.getAttribute(`data-${attribute}`);
    require(element.textContent.trim() === String(values[name]), `this page shows another ${name.replaceAll("_", " ")} than the bytes hold`);
  }
}

function requireMillionths(values) {
  for (const element of document.querySelectorAll("[data-millionths]")) {
    const value = values[element.dataset.millionths];
    const shown = element.textContent.trim();
    const same = value === null ? shown === "-" : isMillionths(shown, value);
    require(same, `this page shows another ${element.dataset.millionths} than the bytes hold`);
  }
}

function requireRows(decisions) {
  const rows = [...document.querySelectorAll("[data-row]")];
  require(rows.length === decisions.length, "this page shows another number of updates than the bytes hold");
  rows.forEach((row, place) => {
    const decision = decisions[place];
    const [update, trainer, base, outcome, score, weight, staleness] = [...row.cells].map((cell) => cell.textContent.trim());
    const same = decision.update.startsWith(update) && decision.trainer.startsWith(trainer) && base === decision.base_height
      && outcome === describeOutcome(decision) && isMillionths(score, decision.score) && isWeight(weight, decision.weight)
      && staleness === String(decision.staleness);
    require(same, `this page shows another update ${update} than the bytes hold`);
  });
}

// That a quorum of the genesis's validators signed the header, and that the foot of the page names their chain.
async function requireSealed(header, digest, seals, genesis) {
  require(document.querySelector("[data-chain]").textContent === header.chain, "the foot of this page names another chain");
  const { signed, quorum, total } = await checkCertificate(header, digest, seals, readMembers(genesis, header.chain));
  return `${signed} of ${total} validators signed (${quorum} must)`;
}

function requireSealsShown(seals) {
  const shown = Array.from(document.querySelectorAll("[data-seal]"), (row) => row.dataset.seal + row.querySelector("[data-signature]").textContent);
  const found = seals.map(readSeal).map((seal) => `${seal.validator}:${seal.header}:${seal.signature}`);
  require(shown.join() === found.join(), "this page shows other seals than the bytes hold");
}

async function checkBlock(bytes, genesis) {
  const header = readHeader(bytes.header);
  const digest = computeDigest("Header", bytes.header);
  require(document.querySelector("[data-digest]").textContent === digest, `the header's bytes hash to ${digest}`);
  requireShown("field", header);
  requireMillionths(header);
  require(bytes.decisions.length === header.num_decisions, "decisions are missing or too many");
  require(computeRoot(bytes.decisions) === header.decisions_root, "the decisions do not hash to the header's root");
  requireRows(bytes.decisions.map(readDecision));
  requireSealsShown(bytes.seals);
  const sealed = await requireSealed(header, digest, bytes.seals, genesis);
  require(bytes.next_parent === null || bytes.next_parent === digest, "the next block names another parent");
  return `the header hashes to ${digest.slice(0, 16)}, which ${sealed}, and ${bytes.decisions.length} decisions to its root`;
}

function checkVotes(hex, decision) {
  require(computeDigest("CountedVotes", hex) === decision.votes, "the votes do not hash to the decision's digest");
  const votes = readVotes(hex);
  const shown = Array.from(document.querySelectorAll("[data-vote]"), (row) => row.dataset.vote);
  require(votes.map((vote) => `${vote.validator}:${vote.score}`).join() === shown.join(), "this page shows other votes");
  // where most found a fault, the score is the worst one, whatever the others voted
  const isFault = 2 * votes.filter((vote) => vote.fault).length > votes.length;
  const expected = isFault ? -1_000_000 : computeLowerMedian(votes.map((vote) => vote.score));
  require(expected === decision.score, "the score is not the median of the votes");
}

async function checkUpdate(bytes, genesis) {
  const header = readHeader(bytes.header), decision = readDecision(bytes.decision);
  requireShown("decision", decision);
  requireMillionths(decision);
  require(document.querySelector("[data-outcome]").textContent.trim() === describeOutcome(decision), "this page shows another outcome than the bytes hold");
  require(isWeight(document.querySelector("[data-weight]").textContent, decision.weight), "this page shows another weight than the bytes hold");
  require(document.querySelector("[data-height]").textContent === header.height, "the proof is of another block");
  require(bytes.size === header.num_decisions, "the proof is of another tree");
  require(isIncluded(bytes.decision, bytes.index, bytes.size, bytes.path, header.decisions_root), "the Merkle proof does not lead to the header's root");
  if (bytes.votes !== null) checkVotes(bytes.votes, decision);
  const sealed = await requireSealed(header, computeDigest("Header", bytes.header), bytes.seals, genesis);
  return `the decision is number ${bytes.index + 1} of ${bytes.size} under the root in block ${header.height}, which ${sealed}`;
}

function mark(kind, word, sentence) {
  const place = document.getElementById("checks");
  const strong = document.createElement("strong");
  strong.textContent = word;
  place.className = `checks ${kind}`;
  place.replaceChildren(strong, ` ${sentence}`);
}

async function get(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return answer;
}

async function check() {
  const { kind, bytes } = document.getElementById("checks").dataset;
  mark("", "Checking in your browser", "…");
  try {
    const [found, genesis] = await Promise.all([get(bytes), get("/genesis")]);
    const data = new Uint8Array(await genesis.arrayBuffer());
    mark("good", "Verified in your browser:", `${await (kind === "block" ? checkBlock : checkUpdate)(await found.json(), data)}.`);
  } catch (error) {
    if (error instanceof TypeError) mark("", "Not checked:", "the bytes cannot be fetched; reload the page.");
    else mark("bad", "BROKEN:", `${error.message}.`);
  }
}

check();
