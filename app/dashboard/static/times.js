// "3 min ago" stays true while the page is open; the exact moment is in the title.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

export function ago(seconds) {
  const distance = Math.abs(seconds);
  if (distance < 2) return "just now";
  const [size, unit] = UNITS.find(([each]) => distance >= each);
  const told = `${Math.floor(distance / size)} ${unit}`;
  return seconds > 0 ? `${told} ago` : `in ${told}`;
}

export function startTimes() {
  setInterval(() => {
    if (document.hidden) return;
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const text = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }, 1000);
}
