// The first page: problems, then the load.

import { html, useMemo } from "./html.js";
import { text } from "./api.js";
import { Chart } from "./chart.js";
import { reading, useApi } from "./data.js";
import { hits, parse } from "./metrics.js";
import { link } from "./names.js";
import { Loaded, Page, Section, Time, number, size, span } from "./parts.js";

/// Less free disk space than this is shown as a problem.
const LITTLE_BYTES = 1024 ** 3;

/// What there is now: `[{what, more, href}]`.
function wrong(status, metrics, approvals) {
    const found = [];
    const add = (what, more, href) => found.push({ what, more, href });
    for (const problem of status.problems) add(problem);
    const { broken = 0, "waiting-for-consent": waiting = 0 } = status.plugins;
    if (broken) add(`${broken} ${broken === 1 ? "plugin is" : "plugins are"} broken`, "", "#/plugins?state=broken");
    if (waiting) add(`${waiting} ${waiting === 1 ? "plugin waits" : "plugins wait"} for consent`, "", "#/plugins?state=waiting-for-consent");
    if (status.deadLetters) add(`${status.deadLetters}${status.deadLettersMore ? " or more" : ""} dead ${status.deadLetters === 1 ? "letter" : "letters"}`, "events that a plugin could not handle", "#/dead-letters");
    if (approvals) add(`The effects of ${number(approvals)} ${approvals === 1 ? "event wait" : "events wait"} for approval`, "", "#/approvals");
    if (status.diskFreeBytes && Number(status.diskFreeBytes) < LITTLE_BYTES) add(`${size(status.diskFreeBytes)} free on the disk`);
    for (const { labels, value } of hits(metrics, "panics_total")) add(`The task ${labels.task} panicked`, `${times(value)}: a defect of the host`);
    return found;
}

const times = (value) => `${number(value)} ${value === 1 ? "time" : "times"}`;

/// What has happened since the host started: limits that were hit, and refused requests of clients.
function noted(metrics) {
    const of = (name, show) => hits(metrics, name).map(({ labels, value }) => ({ key: `${name} ${Object.values(labels)}`, text: show(labels), value }));
    return [
        ...of("limit_hits_total", ({ limit }) => html`limit <code>${limit}</code>`),
        ...of("plugin_limit_hits_total", ({ limit, plugin }) => html`limit <code>${limit}</code> of plugin <a href=${link("plugins", plugin)}>${plugin}</a>`),
        ...of("mqtt_refused_total", ({ reason }) => html`refused to a client: <code>${reason}</code>`),
    ];
}

function Wrong({ status }) {
    const waiting = useApi("/v1/approvals", { every: 10_000 });
    const metrics = useApi(reading("metrics", async (signal) => parse(await text("/metrics", signal))), { every: 10_000 });
    return html`<${Section} title="Problems"><${Loaded} of=${metrics}>${(all) => {
        const [found, since] = [wrong(status, all, waiting.data?.approvals.length), noted(all)];
        return html`${found.length === 0
            ? html`<p class="fine">The host reports no problems.</p>`
            : html`<ul class="wrong">${found.map(({ what, more, href }) => html`<li key=${what}>${href ? html`<a href=${href}>${what}</a>` : html`<strong>${what}</strong>`} ${more && html`<span class="dim">${more}</span>`}</li>`)}</ul>`}
            ${since.length > 0 && html`<h3>Limits hit and clients refused since the host started</h3><ul class="wrong">${since.map(({ key, text: what, value }) => html`<li key=${key}>${what} <span class="dim">${times(value)}</span></li>`)}</ul>`}`;
    }}<//><//>`;
}

const Tile = ({ label, value, more, href }) => html`<div class="tile"><dt>${label}</dt><dd><strong>${href ? html`<a href=${href}>${value}</a>` : value}</strong>${more && html`<small>${more}</small>`}</dd></div>`;

function Tiles({ status }) {
    const up = Date.parse(status.time) - Date.parse(status.startTime);
    const age = status.oldestEventTime && span(Date.parse(status.time) - Date.parse(status.oldestEventTime));
    return html`<dl class="tiles">
        <${Tile} label="Devices" value=${number(status.devices.registered)} more=${`${number(status.devices.connected)} connected`} href="#/devices" />
        <${Tile} label="MQTT connections" value=${number(status.connections)} />
        <${Tile} label="Events so far" value=${number(status.lastEvent)} href="#/live" />
        <${Tile} label="Commands open" value=${number(status.commandsOpen)} />
        <${Tile} label="Plugins running" value=${number(status.plugins.running ?? 0)} href="#/plugins" />
        <${Tile} label="Journal" value=${size(status.journalBytes)} more=${age ? `goes back ${age}` : ""} />
        ${[["Round trip of a config", "delivery", "to the device's PUBACK"], ["Commit", "commit", "until it is on the disk"]].map(([label, name, what]) => {
            const { count, p50Us, p95Us, p99Us } = status.latencies[name];
            return html`<${Tile} key=${name} label=${label} value=${count ? took(p50Us) : "–"} more=${count ? `median; 95 % ${took(p95Us)}, 99 % ${took(p99Us)}, ${what}` : "none yet"} />`;
        })}
        ${status.diskFreeBytes && html`<${Tile} label="Disk free" value=${size(status.diskFreeBytes)} />`}
        <${Tile} label="Version" value=${status.version} more=${`up for ${span(up)}`} /></dl>`;
}

/// Microseconds in the unit that fits.
const took = (us) => (us < 1_000 ? `${us} µs` : us < 1e6 ? `${(us / 1_000).toFixed(us < 1e4 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`);

/// The rate per second of a counter between two samples.
function rates(values, times) {
    return values.map((value, n) => (n === 0 ? null : Math.max(0, (value - values[n - 1]) / (times[n] - times[n - 1]))));
}

function Series() {
    const series = useApi("/v1/status/series", { every: 10_000 });
    const shown = useMemo(() => {
        const all = series.data;
        if (!all) return null;
        const times = all.times.map((time) => Date.parse(time) / 1_000);
        const rate = (label, values) => ({ label, values: rates(values, times) });
        return {
            times,
            flow: [rate("events", all.events), rate("handled by plugins", all.executions), rate("effects", all.effects)],
            times99: [["round trip, 99 %", all.deliveryP99Us], ["round trip, median", all.deliveryP50Us], ["commit, 99 %", all.commitP99Us]].map(([label, values]) => ({ label, values: values.map((us) => (us == null ? null : us / 1_000)) })),
            packets: [rate("received", all.publishesIn), rate("sent", all.publishesOut)],
            connections: [{ label: "connections", values: all.connections }, { label: "devices connected", values: all.devicesConnected }],
        };
    }, [series.data]);
    return html`<${Section} title="The last hour"><p class="hint">One sample every ten seconds, stored in the host's memory: it starts again after a restart.</p>
        <${Loaded} of=${series} empty=${(all) => all.times.length < 2 && "The first sample is taken after ten seconds."}>${() => html`<div class="charts">
            <${Chart} title="Events and effects per second" times=${shown.times} lines=${shown.flow} unit="/s" />
            <${Chart} title="MQTT messages per second" times=${shown.times} lines=${shown.packets} unit="/s" />
            <${Chart} title="Round trips and commits, ms" times=${shown.times} lines=${shown.times99} unit=" ms" />
            <${Chart} title="Connections" times=${shown.times} lines=${shown.connections} /></div>`}<//><//>`;
}

export function Overview() {
    const status = useApi("/v1/status", { every: 5_000 });
    return html`<${Page} title="Overview"><${Loaded} of=${status}>${(data) => html`<${Wrong} status=${data} /><${Tiles} status=${data} />`}<//><${Series} /><//>`;
}
