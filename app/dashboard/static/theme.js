// Light or dark: what the system says, until somebody chooses. The server reads the cookie, so that nothing flashes.

const YEAR = 31536000;

function current() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

export function startTheme() {
  const button = document.querySelector("[data-theme-toggle]");
  if (!button) return;
  const name = () => { button.textContent = current() === "dark" ? "Light theme" : "Dark theme"; };
  name();
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = current() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    document.cookie = location.protocol === "https:"
      ? `__Host-theme=${next}; path=/; max-age=${YEAR}; samesite=lax; secure`
      : `theme=${next}; path=/; max-age=${YEAR}; samesite=lax`;
    name();
    document.dispatchEvent(new CustomEvent("dashboard:theme"));
  });
}
