// Keeps the overview new: the server sends its changing part whenever the chain grows.

const live = document.getElementById("live");
const connection = document.getElementById("connection");
let waiting = null;
let height = null;

function say(kind, sentence) {
  if (connection.textContent === sentence) return;
  connection.className = `connection ${kind}`;
  connection.textContent = sentence;
}

function show() {
  // what somebody is on with the keyboard, or marks, is not taken away under the hand
  const selection = document.getSelection();
  const isHeld = live.contains(document.activeElement) || (!selection.isCollapsed && live.contains(selection.anchorNode));
  if (waiting === null || isHeld) return;
  live.innerHTML = waiting;
  waiting = null;
}

function take(event) {
  const { html, condition, height: newest } = JSON.parse(event.data);
  waiting = html;
  show();
  if (condition === "live") say("good", "Live: this page follows the chain.");
  else if (condition === "reconnecting") say("bad", "Reconnecting: the explorer has lost its ledger.");
  else say("", "Catching up with the chain …");
  document.title = height !== null && newest !== height ? `${newest} · Overview · FLoBC explorer` : document.title;
  height = newest;
}

function follow() {
  const events = new EventSource("/events");
  events.onmessage = take;
  events.onerror = () => {
    say("bad", "Disconnected: trying to reach the explorer again …");
    // a server that answered with an error is not tried again by the browser itself
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
  };
  addEventListener("pagehide", () => events.close(), { once: true });
}

live.addEventListener("focusout", () => setTimeout(show));
addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
say("", "Connecting …");
follow();
