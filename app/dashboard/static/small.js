// Copy buttons, selecting all of a page, and buttons that are only needed without scripts.

function revealWithin(root) {
  for (const each of root.querySelectorAll(".copy[hidden], [data-select-all][hidden]")) each.hidden = false;
  for (const each of root.querySelectorAll("[data-without-script]")) each.hidden = true;
}

async function copy(button) {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    const range = document.createRange(); // no clipboard without TLS: select it, so that Ctrl-C does
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = said; }, 1500);
}

export function startSmallThings() {
  revealWithin(document);
  document.addEventListener("dashboard:changed", (event) => revealWithin(event.target));
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".copy");
    if (button) copy(button);
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-select-all]")) return;
    const form = event.target.closest("form");
    for (const box of form.querySelectorAll('input[name="id"]')) box.checked = event.target.checked;
  });
  for (const form of document.querySelectorAll("[data-filters]")) {
    form.addEventListener("change", (event) => {
      if (event.target.matches("select, input[type=checkbox]")) form.requestSubmit();
    });
    // An address without what is empty is one that people can read.
    form.addEventListener("formdata", (event) => {
      for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
    });
  }
}
