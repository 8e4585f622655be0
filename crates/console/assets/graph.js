// Which device causes effects on which, through which plugin, how often, and where there are cycles. Built from the newest executions with effects
// in the journal. A trigger by a topic or a timer is known only if it is among the newest events.

import { html } from "./html.js";
import { get } from "./api.js";
import { reading, useApi } from "./data.js";
import { link, short } from "./names.js";
import { Badge, Loaded, Page, Section, Table, number, span } from "./parts.js";

/// Executions and events that are read; devices or topics that are drawn on a side.
const READ = 1_000;
const DRAWN = 24;
const ROW = 34;
/// Widths of the drawing and of a box, and letters of a name in it: on a phone, and elsewhere.
const NARROW = { width: 316, box: 88, letters: 12 };
const WIDE = { width: 860, box: 190, letters: 24 };

const targetOf = (effect) => {
    const [[kind, what]] = Object.entries(effect);
    if (what.device) return { kind, name: short(what.device), device: true };
    return kind === "publish" ? { kind, name: what.topic, device: false } : null;
};

const sourceOf = (event) => (event.device ? short(event.device) : event.topic ?? (event.kind === "timer" ? "a timer" : null));

/// A plugin's method call as an execution with one effect.
const asExecution = ({ cause: { plugin }, device, eventDevice }) => ({ event: plugin.event, device: eventDevice, plugin: plugin.name, effects: [{ "method call": { device } }] });

/// `{edges, unknown}`: an edge for each source, plugin and target, with how often.
export function edgesOf(executions, events, calls) {
    const known = new Map(events.map((event) => [event.id, event]));
    const edges = new Map();
    let unknown = 0;
    for (const { event, device, plugin, effects = [] } of [...executions, ...calls.map(asExecution)]) {
        const source = device ? short(device) : known.has(event) ? sourceOf(known.get(event)) : null;
        const sourceDevice = Boolean(device ?? known.get(event)?.device);
        if (!source) {
            unknown += 1;
            continue;
        }
        for (const target of effects.map(targetOf).filter(Boolean)) {
            const key = JSON.stringify([source, plugin, target.name, target.kind]);
            const edge = edges.get(key) ?? { source, sourceDevice, plugin, target: target.name, device: target.device, kind: target.kind, count: 0 };
            edge.count += 1;
            edges.set(key, edge);
        }
    }
    const all = [...edges.values()].sort((a, b) => b.count - a.count);
    const circles = circling(all);
    return { unknown, edges: all.map((edge) => ({ ...edge, loop: circles(edge) })) };
}

/// Whether the edge is part of a cycle: its target leads back to its source.
function circling(edges) {
    const next = new Map();
    for (const { source, target } of edges) next.set(source, (next.get(source) ?? new Set()).add(target));
    const leads = (from, to) => {
        const [seen, left] = [new Set(), [from]];
        while (left.length) {
            const at = left.pop();
            if (at === to) return true;
            if (seen.has(at)) continue;
            seen.add(at);
            left.push(...(next.get(at) ?? []));
        }
        return false;
    };
    return ({ source, target }) => leads(target, source);
}

const rate = (count, ms) => `${((count / ms) * 60_000).toFixed(1)} a minute`;

const cut = (text, letters) => (text.length > letters ? `${text.slice(0, letters - 1)}…` : text);

function Drawing({ edges, ms }) {
    const { width, box: boxWidth, letters } = matchMedia("(max-width: 46rem)").matches ? NARROW : WIDE;
    const column = (name) => [...new Set(edges.map((edge) => edge[name]))].slice(0, DRAWN);
    const [sources, plugins, targets] = [column("source"), column("plugin"), column("target")];
    const height = Math.max(sources.length, plugins.length, targets.length) * ROW + 10;
    const place = (names) => new Map(names.map((name, n) => [name, ((n + 0.5) * height) / names.length]));
    const [at1, at2, at3] = [place(sources), place(plugins), place(targets)];
    const [x1, x2, x3] = [5, (width - boxWidth) / 2, width - boxWidth - 5];
    const lines = new Map();
    const add = (key, path, loop, count) => {
        const line = lines.get(key) ?? { path, loop, count: 0 };
        lines.set(key, { path, loop: line.loop || loop, count: line.count + count });
    };
    const curve = (x, y, to, below) => `M${x} ${y} C${(x + to) / 2} ${y} ${(x + to) / 2} ${below} ${to} ${below}`;
    for (const { source, plugin, target, loop, count } of edges) {
        if (!at1.has(source) || !at2.has(plugin) || !at3.has(target)) continue;
        add(`1 ${source} ${plugin}`, curve(x1 + boxWidth, at1.get(source), x2, at2.get(plugin)), loop, count);
        add(`2 ${plugin} ${target}`, curve(x2 + boxWidth, at2.get(plugin), x3, at3.get(target)), loop, count);
    }
    const most = Math.max(1, ...[...lines.values()].map((line) => line.count));
    const box = (x, kind) => ([name, y]) => html`<g key=${name}><title>${name}</title><rect class="node ${kind}" x=${x} y=${y - 12} width=${boxWidth} height="24" rx="6" /><text x=${x + 9} y=${y + 4}>${cut(name, letters)}</text></g>`;
    return html`<div class="scroll" tabindex="0" role="group" aria-label="Graph; the table below has the same content"><svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${`${sources.length} sources, ${plugins.length} plugins, ${targets.length} targets`}>
        ${[...lines].map(([key, { path, loop, count }]) => html`<path key=${key} class=${`edge ${loop ? "loop" : ""}`} d=${path} stroke-width=${1 + (3 * count) / most}><title>${rate(count, ms)}${loop ? ", in a circle" : ""}</title></path>`)}
        ${[...at1].map(box(x1, ""))}${[...at2].map(box(x2, "plugin"))}${[...at3].map(box(x3, ""))}
        ${boxWidth === WIDE.box && [...at3].map(([name, y]) => html`<text key=${`rate ${name}`} class="rate" x=${x3 - 6} y=${y - 6}>${rate(edges.reduce((sum, edge) => sum + (edge.target === name ? edge.count : 0), 0), ms)}</text>`)}</svg></div>`;
}

const Name = ({ name, device }) => (device ? html`<a href=${link("device", name)}>${name}</a>` : html`<code>${name}</code>`);

export function Graph() {
    const found = useApi(reading("graph", async (signal) => {
        const [{ executions }, { events }, { methodCalls }] = await Promise.all([get(`/v1/executions?pageSize=${READ}&interesting=true&withDevice=true`, signal), get(`/v1/events?pageSize=${READ}`, signal), get(`/v1/methodCalls?pageSize=${READ}&withDevice=true`, signal)]);
        const began = Math.min(...executions.map((one) => Date.parse(one.time)), ...(executions.length < READ ? methodCalls.map((one) => Date.parse(one.time)) : []));
        // Of the same time, so that rates can be compared.
        const calls = methodCalls.filter((one) => one.cause.plugin && Date.parse(one.time) >= began);
        return { ...edgesOf(executions, events, calls), ms: Math.max(1_000, Date.now() - began), count: executions.length, calls: calls.length };
    }), { every: 10_000 });
    return html`<${Page} title="Graph" hint="Which device causes effects on which device, through which plugin."><${Loaded} of=${found} empty=${(data) => data.edges.length === 0 && "No plugin had effects within the newest thousand executions and events."}>${({ edges, unknown, ms, count, calls }) => html`
        <${Section} title="Causes and effects"><p class="hint">A sample: the newest ${number(count)} executions in which something happened${calls ? `, and ${number(calls)} method ${calls === 1 ? "call" : "calls"}` : ""}, of the last ${span(ms)}${unknown ? `; ${number(unknown)} of them are left out: their event was of a topic or timer, or of a device that is gone, and is not among the newest thousand` : ""}. Lines in red go in a circle.</p>
            <${Drawing} edges=${edges} ms=${ms} /><//>
        <${Section} title="In words"><${Table} label="Causes and effects" head=${["From", "Plugin", "To", "What", html`<th scope="col" class="num">How often</th>`, ""]}>${edges.slice(0, 200).map((edge) => html`<tr key=${JSON.stringify(edge)}><td><${Name} name=${edge.source} device=${edge.sourceDevice} /></td><td><a href=${link("plugins", edge.plugin)}>${edge.plugin}</a></td><td><${Name} name=${edge.target} device=${edge.device} /></td><td>${edge.kind}</td>
            <td class="num">${number(edge.count)}, ${rate(edge.count, ms)}</td><td>${edge.loop && html`<${Badge} kind="bad">in a circle<//>`}</td></tr>`)}<//>${edges.length > 200 && html`<p class="dim">and ${edges.length - 200} more</p>`}<//>`}<//><//>`;
}
