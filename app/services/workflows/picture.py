"""A workflow as a picture: steps in layers from left to right, as numbers for programs and as SVG for people. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from taskledger_sdk.workflows import Definition

WIDTH, HEIGHT = 190, 46  # of a step
GAP_X, GAP_Y, MARGIN = 56, 16, 24
SWEEPS = 4
MAX_LABEL = 24
COLOURS = {
    "WAITING": ("#f4f4f5", "#a1a1aa"),
    "STARTED": ("#dbeafe", "#2563eb"),
    "COMPLETED": ("#dcfce7", "#16a34a"),
    "FAILED": ("#fee2e2", "#dc2626"),
    "CANCELLED": ("#ffedd5", "#ea580c"),
    "SKIPPED": ("#fafafa", "#d4d4d8"),
    "UNDONE": ("#f3e8ff", "#9333ea"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One step and where its upper left corner is."""

    key: str
    type: str
    state: str | None
    compensation_status: str | None
    x: int
    y: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """All of it; lengths in pixels. `edges` are pairs of keys."""

    title: str
    nodes: Sequence[Node]
    edges: Sequence[tuple[str, str]]
    width: int
    height: int

    def as_json(self) -> dict[str, Any]:
        """For the dashboard."""
        nodes = [
            {"key": each.key, "type": each.type, "state": each.state, "undo_state": each.compensation_status,
             "x": each.x, "y": each.y, "width": WIDTH, "height": HEIGHT}
            for each in self.nodes
        ]  # fmt: skip
        edges = [{"from": before, "to": after} for before, after in self.edges]
        return {"title": self.title, "width": self.width, "height": self.height, "nodes": nodes, "edges": edges}


def draw(
    definition: Definition, *, title: str, states: Mapping[str, tuple[str | None, str | None]] | None = None
) -> Picture:
    """The steps of a definition, with state and compensation status of each where they are known."""
    layers = _ordered(definition, _layers(definition))
    tallest = max(len(layer) for layer in layers)
    height = tallest * (HEIGHT + GAP_Y) - GAP_Y
    nodes = []
    for number, layer in enumerate(layers):
        top = (height - (len(layer) * (HEIGHT + GAP_Y) - GAP_Y)) // 2
        for place, key in enumerate(layer):
            state, compensation_status = (states or {}).get(key, (None, None))
            x, y = MARGIN + number * (WIDTH + GAP_X), MARGIN + top + place * (HEIGHT + GAP_Y)
            type_ = definition.steps[key].said
            nodes.append(Node(key=key, type=type_, state=state, compensation_status=compensation_status, x=x, y=y))
    edges = [(before, step.key) for step in definition.steps.values() for before in step.after]
    width = len(layers) * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    return Picture(title=title, nodes=nodes, edges=edges, width=width, height=height + 2 * MARGIN)


def _layers(definition: Definition) -> list[list[str]]:
    """Each step as far right as its longest way from the beginning; the steps come in an order that allows that."""
    depth: dict[str, int] = {}
    for key, step in definition.steps.items():
        depth[key] = max((depth[before] + 1 for before in step.after), default=0)
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for key, number in depth.items():
        layers[number].append(key)
    return layers


def _ordered(definition: Definition, layers: list[list[str]]) -> list[list[str]]:
    """Within a layer, steps near those that they are joined to, so that few lines cross (the barycentre method)."""
    for sweep in range(SWEEPS):
        rightward = sweep % 2 == 0
        place = {key: number / len(layer) for layer in layers for number, key in enumerate(layer)}
        for layer in layers if rightward else reversed(layers):
            joined = {key: definition.steps[key].after if rightward else definition.dependants[key] for key in layer}
            middle = {
                key: sum(place[each] for each in others) / len(others) if others else place[key]
                for key, others in joined.items()
            }
            layer.sort(key=middle.__getitem__)
            place |= {key: number / len(layer) for number, key in enumerate(layer)}
    return layers


def svg(picture: Picture) -> str:
    """The picture as an SVG document; states are written, not only coloured."""
    at = {node.key: node for node in picture.nodes}
    size = f'width="{picture.width}" height="{picture.height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title" {size}',
        f' viewBox="0 0 {picture.width} {picture.height}" font-family="system-ui, sans-serif" font-size="12">',
        f'<title id="title">{escape(picture.title)}</title>',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
        '<path d="M0 0 8 4 0 8z" fill="#71717a"/></marker></defs>',
        f'<rect {size} fill="#ffffff"/>',
    ]
    lines += [_line(at[before], at[after]) for before, after in picture.edges]
    lines += [_box(node) for node in picture.nodes]
    return "\n".join([*lines, "</svg>\n"])


def _line(before: Node, after: Node) -> str:
    x1, y1 = before.x + WIDTH, before.y + HEIGHT // 2
    x2, y2 = after.x, after.y + HEIGHT // 2
    bend = (x2 - x1) // 2
    return (
        f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" fill="none" stroke="#71717a" '
        'marker-end="url(#arrow)"/>'
    )


def _box(node: Node) -> str:
    shown = _shown_state(node)
    fill, stroke = COLOURS["UNDONE" if shown == "UNDONE" else node.state or "WAITING"]
    title = f"{node.type} · {shown}" if shown else node.type
    return (
        f"<g><title>{escape(f'{node.key}: {title}')}</title>"
        f'<rect x="{node.x}" y="{node.y}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{fill}" stroke="{stroke}"/>'
        f'<text x="{node.x + 12}" y="{node.y + 19}" font-weight="600" fill="#18181b">{_short(node.key)}</text>'
        f'<text x="{node.x + 12}" y="{node.y + 35}" font-size="10" fill="#3f3f46">{_short(title, 34)}</text></g>'
    )


def _shown_state(node: Node) -> str | None:
    words = {"DONE": "UNDONE", "BY_HAND": "UNDONE", "STARTED": "UNDOING", "FAILED": "NOT UNDONE"}
    return words.get(node.compensation_status or "", node.state)


def _short(text: str, most: int = MAX_LABEL) -> str:
    return escape(text if len(text) <= most else f"{text[: most - 1]}…")
