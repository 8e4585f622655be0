// All events, live.

import { html, useEffect, useRef, useState } from "./html.js";
import { useApi } from "./data.js";
import { EventList, did, says } from "./event_row.js";
import { Badge, Choice, Field, Page, Section, number } from "./parts.js";
import { filter } from "./route.js";
import { PER_SECOND, useFollow } from "./stream.js";

const KINDS = ["telemetry", "state", "connected", "disconnected", "command-settled", "timer", "topic"];

export function followPath(query) {
    const params = new URLSearchParams({ executions: "true", perSecond: PER_SECOND });
    for (const name of ["device", "kind", "plugin"]) if (query[name]) params.set(name, query[name]);
    return `/v1/events:follow?${params}`;
}

/// The state of the stream, in words.
export function Flow({ of }) {
    const kind = { live: "good", paused: "warn" }[of.state] ?? "bad";
    return html`<p role="status" class="hint"><${Badge} kind=${kind}>${of.state}<//> ${of.rate >= 1 && `${number(of.rate)} a second. `}
        ${of.left > 0 && html`<strong>A sample: at most ${PER_SECOND} a second are shown; ${number(of.left)} were left out.</strong>`}</p>`;
}

export function Live({ query }) {
    const [text, setText] = useState(query.text ?? "");
    const waits = useRef();
    useEffect(() => setText(query.text ?? ""), [query.text]);
    const plugins = useApi("/v1/plugins");
    const paused = query.paused === "yes";
    const wanted = (query.text ?? "").toLowerCase();
    const takes = wanted ? ({ kind, item }) => {
        const line = `${item.device ?? ""} ${item.plugin ?? ""} ${item.kind ?? ""} ${kind === "execution" ? did(item) : says(item)} ${(item.logs ?? []).join(" ")}`;
        return line.toLowerCase().includes(wanted);
    } : null;
    const flow = useFollow(followPath(query), paused, takes);
    const names = (plugins.data?.plugins ?? []).map((one) => [one.name, one.name]);
    const type = (event) => {
        const value = event.target.value;
        setText(value);
        clearTimeout(waits.current);
        waits.current = setTimeout(() => filter({ text: value }, { replace: true }), 250);
    };
    const actions = html`<button class=${paused ? "main" : ""} aria-pressed=${paused} onClick=${() => filter({ paused: paused ? "" : "yes" }, { replace: true })}>${paused ? "resume" : "pause"}</button>`;
    return html`<${Page} title="Live" hint="Events from devices and executions of plugins. Each line links to its effects." actions=${actions}>
        <${Section} title="Show"><form class="filters" onSubmit=${(event) => event.preventDefault()}>
            <${Field} label="Device" placeholder="lamp-1" value=${query.device ?? ""} onChange=${(event) => filter({ device: event.target.value.trim() })} />
            <${Choice} label="Kind" value=${query.kind ?? ""} options=${[["", "all"], ...KINDS.map((kind) => [kind, kind])]} onChange=${(kind) => filter({ kind })} />
            <${Choice} label="Plugin" value=${query.plugin ?? ""} options=${[["", "all"], ...names]} onChange=${(plugin) => filter({ plugin })} />
            <${Field} label="Text" type="search" value=${text} onInput=${type} hint=${wanted && flow.left > 0 ? "Only the sample is searched." : ""} /></form><//>
        <section class="card" aria-label="Events"><${Flow} of=${flow} />
            ${flow.rows.length === 0 && html`<p class="dim">Nothing has come since this page was opened.</p>`}<${EventList} rows=${flow.rows} label="Events, newest first" /></section><//>`;
}
