// Pages that ask first are shown in a dialog instead; without this, the links and buttons simply lead to them.

const dialog = document.getElementById("dialog");

async function show(address, options) {
  const answer = await fetch(address, { ...options, headers: { "X-Dialog": "1" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const confirm = page.querySelector("[data-confirm]");
  if (!confirm) return false; // an error, or the log-in page
  const form = confirm.querySelector("form");
  if (!form.hasAttribute("action")) form.setAttribute("action", address);
  dialog.replaceChildren(document.adoptNode(confirm));
  dialog.showModal();
  const first = dialog.querySelector("input:not([type=hidden])") ?? dialog.querySelector("[data-close]");
  first?.focus();
  return true;
}

export function startDialogs() {
  document.addEventListener("click", async (event) => {
    if (event.target.closest("[data-close]") && dialog.open) {
      event.preventDefault();
      dialog.close();
      return;
    }
    if (event.target === dialog) dialog.close();
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (!(await show(link.href).catch(() => false))) location.assign(link.href);
  });
  document.addEventListener("submit", async (event) => {
    if (!event.submitter?.matches("button[data-dialog]")) return;
    event.preventDefault();
    const form = event.target; // whose .action would be its field of that name
    const submitter = event.submitter;
    const body = new URLSearchParams(new FormData(form, submitter));
    const shown = await show(form.getAttribute("action"), { method: "POST", body }).catch(() => false);
    if (shown) return;
    submitter.removeAttribute("data-dialog"); // let the server say what is wrong
    form.requestSubmit(submitter);
  });
}
