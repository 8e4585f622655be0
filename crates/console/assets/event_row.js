// One event or one execution as a line that links to its effects.

import { html } from "./html.js";
import { link, short } from "./names.js";
import { Badge, clock, inline } from "./parts.js";

/// What an event says, in one line.
export function says(event) {
    switch (event.kind) {
        case "telemetry": return `${event.subfolder ? `${event.subfolder}: ` : ""}${inline(event.binaryData)}`;
        case "state": return `state ${event.version}: ${inline(event.binaryData)}`;
        case "disconnected": return event.reason;
        case "command-settled": return `${event.commandId} ${event.status}`;
        case "timer": return `${event.plugin}: ${event.name}${event.late ? " (late)" : ""}`;
        case "topic": return `${event.topic}: ${inline(event.binaryData)}`;
        default: return "";
    }
}

const one = (effect) => {
    const [[kind, what]] = Object.entries(effect);
    const target = what.device ? short(what.device) : (what.topic ?? what.name ?? what.key ?? "");
    return `${kind} ${target}`;
};

/// What an execution did, in one line.
export function did(execution) {
    if (execution.outcome === "dead") return `dead letter: ${execution.error}`;
    const effects = execution.effects ?? [];
    const shown = effects.slice(0, 4).map(one).join(", ");
    return effects.length ? `${shown}${effects.length > 4 ? ` and ${effects.length - 4} more` : ""}` : "nothing";
}

export const address = ({ kind, item }) => link("why", kind === "execution" ? `${item.event}.${item.plugin}` : item.id);

export function EventRow({ row }) {
    const { kind, item } = row;
    const execution = kind === "execution";
    return html`<li><a href=${address(row)}><span class="mono">${clock(item.time)}</span>
        <span>${execution ? html`<${Badge} kind=${item.outcome === "dead" ? "bad" : "plugin"}>${item.outcome === "dead" ? "failed" : "plugin"}<//>` : html`<${Badge}>${item.kind}<//>`}</span>
        <span>${execution ? item.plugin : item.device ? short(item.device) : item.deviceNumId ? `device ${item.deviceNumId}, gone` : "–"}</span>
        <span class="text mono">${execution ? did(item) : says(item)}</span></a></li>`;
}

export function EventList({ rows, label }) {
    return html`<ul class="live" aria-label=${label}>${rows.map((row) => html`<${EventRow} key=${row.key} row=${row} />`)}</ul>`;
}
