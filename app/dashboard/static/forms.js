// Buttons that only redraw a form (add, remove, show as) redraw it in place; typing in other fields is kept.

async function redraw(form, name, value) {
  const body = new URLSearchParams(new FormData(form));
  body.append(name, value);
  const answer = await fetch(form.getAttribute("action") || location.href, { method: "POST", body });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const drawn = page.getElementById(form.id);
  if (!drawn) {
    location.reload();
    return;
  }
  const open = new Set([...form.querySelectorAll("details[open] > summary")].map((each) => each.textContent));
  const focused = document.activeElement?.id;
  form.replaceChildren(...document.adoptNode(drawn).childNodes);
  for (const summary of form.querySelectorAll("details > summary")) {
    if (open.has(summary.textContent)) summary.parentElement.open = true;
  }
  form.dispatchEvent(new CustomEvent("dashboard:changed", { bubbles: true }));
  const list = name === "_add" ? form.querySelector(`button[name="_add"][value="${CSS.escape(value)}"]`)?.closest("fieldset") : null;
  const fresh = list ? [...list.querySelectorAll(":scope > .item:last-of-type :is(input:not([type=hidden]), textarea, select)")][0] : null;
  (fresh ?? (focused ? document.getElementById(focused) : null))?.focus();
}

export function startForms() {
  for (const form of document.querySelectorAll("form[data-form]")) {
    form.addEventListener("submit", (event) => {
      const { name, value } = event.submitter ?? {};
      if (!["_add", "_remove", "_mode", "_refresh"].includes(name)) return;
      event.preventDefault();
      redraw(form, name, value).catch(() => location.reload());
    });
    form.addEventListener("change", (event) => {
      if (event.target.matches("[data-refresh]")) redraw(form, "_refresh", "1").catch(() => undefined);
    });
  }
}
