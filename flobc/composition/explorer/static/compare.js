// Hands another chain's curves to the explorer, which draws them beside this chain's and keeps nothing.

const compared = document.getElementById("compared");

document.getElementById("other").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  compared.textContent = "Drawing …";
  try {
    const answer = await fetch("/training/compare", { method: "POST", headers: { "content-type": "text/csv" }, body: file });
    const text = await answer.text();
    if (answer.ok) compared.innerHTML = text;
    else compared.textContent = new DOMParser().parseFromString(text, "text/html").querySelector("main .empty").textContent;
  } catch {
    compared.textContent = "The explorer does not answer; try again.";
  }
});
