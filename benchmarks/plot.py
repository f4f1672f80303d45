"""A bar chart as SVG, without a plotting library."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

ROW, LEFT, WIDTH = 26, 260, 560


def bars(values: Sequence[tuple[str, float]], *, title: str) -> str:
    """One bar for each value, the longest first; ours are marked by their colour."""
    ordered = sorted(values, key=lambda each: -each[1])
    most = max(value for _, value in ordered) if ordered else 1
    height = ROW * (len(ordered) + 2)
    view = f"0 0 {LEFT + WIDTH + 90} {height}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="{ROW - 6}" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (name, value) in enumerate(ordered, start=1):
        y, long = ROW * place + 8, max(1.0, WIDTH * value / most)
        colour = "#2563eb" if name.startswith("Taskledger") else "#9ca3af"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y + 2}" width="{long:.1f}" height="18" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + long + 6:.1f}" y="{y + 15}">{value:,.0f}</text>')
    return "\n".join([*parts, "</svg>", ""])
