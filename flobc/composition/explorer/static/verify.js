// Shows how far the light client is, until it has ended.

const progress = document.getElementById("progress");

if (progress.dataset.state === "running") {
  const events = new EventSource("/verify/events");
  events.onmessage = (event) => {
    const { state, html } = JSON.parse(event.data);
    progress.innerHTML = html;
    progress.dataset.state = state;
    if (state !== "running") events.close();
  };
}
