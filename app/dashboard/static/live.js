// Keeps the regions marked data-live as the server would draw them now: asks for a number that grows with every event,
// and reads the page again when it has grown.

const LOOK_MS = 1500;
const OFTEN_MS = 3000;
const PATIENCE_MS = 15000;
const HEADERS = { "X-Live": "1" };

let position = null;
let looking = false;
let refreshedAt = 0;
let failures = 0;

function isInUse(region) {
  const active = document.activeElement;
  if (active && active !== document.body && region.contains(active) && active.matches("input, textarea, select")) return true;
  if (region.querySelector('input[name="id"]:checked')) return true;
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && region.contains(selection.anchorNode));
}

function replace(region, fresh) {
  const open = [...region.querySelectorAll("details")].map((each) => each.open);
  const focused = region.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  for (const { name, value } of [...fresh.attributes]) region.setAttribute(name, value);
  if (!fresh.hasAttribute("data-live-often")) region.removeAttribute("data-live-often");
  region.replaceChildren(...document.adoptNode(fresh).childNodes);
  region.querySelectorAll("details").forEach((each, number) => { if (open[number]) each.open = true; });
  if (focused) region.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  region.dispatchEvent(new CustomEvent("dashboard:changed", { bubbles: true }));
}

async function refresh() {
  const answer = await fetch(location.href, { headers: HEADERS });
  if (answer.status === 401 || answer.redirected) {
    location.reload();
    return;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(region.id);
    if (!fresh || isInUse(region)) continue;
    if (fresh.outerHTML !== region.dataset.drawn) {
      const html = fresh.outerHTML;
      replace(region, fresh);
      region.dataset.drawn = html;
    }
  }
  // What a page shows for the first time (its first task, say) has no region to go to yet.
  const missing = [...page.querySelectorAll("[data-live]")].some((fresh) => !document.getElementById(fresh.id));
  if (missing && !document.querySelector("dialog[open]")) location.reload();
  refreshedAt = Date.now();
  document.dispatchEvent(new CustomEvent("dashboard:refreshed"));
}

function tell(isAway) {
  const state = document.querySelector("[data-live-state]");
  if (!state) return;
  state.hidden = false;
  state.classList.toggle("away", isAway);
  state.textContent = isAway ? "No connection" : "Live";
}

async function look() {
  if (looking || document.hidden) return;
  looking = true;
  try {
    const answer = await fetch("/live", { headers: HEADERS });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const seen = (await answer.json()).position;
    const isOld = Date.now() - refreshedAt > (document.querySelector("[data-live-often]") ? OFTEN_MS : PATIENCE_MS);
    if (seen !== position || isOld) await refresh();
    position = seen;
    failures = 0;
    tell(false);
  } catch {
    failures += 1;
    if (failures > 2) tell(true);
  } finally {
    looking = false;
  }
}

export function startLive() {
  if (!document.querySelector("[data-live]")) return;
  refreshedAt = Date.now();
  setInterval(look, LOOK_MS);
  document.addEventListener("visibilitychange", look);
  look();
}
